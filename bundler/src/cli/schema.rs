//! `chom-bundle schema`: the JSON schema of the inventory.

use chom_format::Exit;
use clap::Args;

use super::{Ctx, Error};
use crate::inventory::schema;

/// Print the JSON schema of inventory.yaml, with the settings of all components, for an editor
#[derive(Debug, Args)]
pub struct Schema {}

impl Schema {
    /// Runs the command.
    pub fn run(self, ctx: &mut Ctx) -> Result<Exit, Error> {
        ctx.printer.json(&schema::full(&ctx.catalog()?));
        Ok(Exit::Done)
    }
}
