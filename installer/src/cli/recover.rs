//! `chom-install recover`: take back what a run that was cut off left half done.

use chom_format::Exit;
use clap::Args;

use super::{Ctx, Error};
use crate::run;

/// Take back what a run that was cut off left half done
#[derive(Debug, Args)]
pub struct Recover {}

impl Recover {
    /// Runs the command.
    pub fn run(self, ctx: &mut Ctx) -> Result<Exit, Error> {
        let progress = ctx.progress();
        let outcome = run::recover(&progress);
        progress.end();
        Ok(ctx.end(&outcome?))
    }
}
