//! `chom-install recover`: take back what a run that was cut off left half done.

use chom_format::Exit;
use clap::Args;

use super::{Ctx, Error};
use crate::run;

/// Take back what a run that was cut off left half done
#[derive(Debug, Args)]
pub struct Recover {
    /// While the host comes up: what lies on the disk now, the rest once it is up. For the boot unit
    #[arg(long, hide = true)]
    boot: bool,
}

impl Recover {
    /// Runs the command.
    pub fn run(self, ctx: &mut Ctx) -> Result<Exit, Error> {
        let progress = ctx.progress();
        let outcome = if self.boot { run::recover_at_boot(&progress) } else { run::recover(&progress) };
        progress.end();
        Ok(ctx.end(&outcome?))
    }
}
