//! `chom-install status`: what is installed, and is it healthy now?

use chom_format::Exit;
use clap::Args;

use super::{Ctx, Error};
use crate::run;

/// Tell what is installed, whether a run is at work, and ask every check once
#[derive(Debug, Args)]
pub struct Status {
    /// Tell of this transaction alone: how far it is, or how it ended; no check is asked
    #[arg(long, value_name = "ID")]
    transaction: Option<u64>,
}

impl Status {
    /// Runs the command.
    pub fn run(self, ctx: &mut Ctx) -> Result<Exit, Error> {
        if let Some(id) = self.transaction {
            let followed = run::follow(id)?;
            if ctx.printer.json_wanted() {
                ctx.printer.json_line(&followed);
            } else {
                ctx.printer.data(&followed);
            }
            return Ok(followed.code());
        }
        let status = run::status()?;
        if ctx.printer.json_wanted() {
            ctx.printer.json_line(&status);
        } else {
            ctx.printer.data(&status);
        }
        Ok(status.code())
    }
}
