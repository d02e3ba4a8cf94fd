//! `chom-install history`: the transactions that the host knows.

use chom_format::Exit;
use clap::Args;

use super::{Ctx, Error};
use crate::run;

/// List the transactions that this host knows, oldest first
#[derive(Debug, Args)]
pub struct History {}

impl History {
    /// Runs the command.
    pub fn run(self, ctx: &mut Ctx) -> Result<Exit, Error> {
        let history = run::history()?;
        if ctx.printer.json_wanted() {
            ctx.printer.json_line(&history);
        } else {
            ctx.printer.data(history);
        }
        Ok(Exit::Done)
    }
}
