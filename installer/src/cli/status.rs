//! `chom-install status`: what is installed, and is it healthy now?

use chom_format::Exit;
use clap::Args;

use super::{Ctx, Error};
use crate::run;

/// Tell what is installed, whether a run is at work, and ask every check once
#[derive(Debug, Args)]
pub struct Status {}

impl Status {
    /// Runs the command.
    pub fn run(self, ctx: &mut Ctx) -> Result<Exit, Error> {
        let status = run::status()?;
        if ctx.printer.json_wanted() {
            ctx.printer.json_line(&status);
        } else {
            ctx.printer.data(&status);
        }
        Ok(status.code())
    }
}
