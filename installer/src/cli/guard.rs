//! `chom-install guard`: what systemd runs while a transaction is exposed.

use chom_format::Exit;
use clap::Args;

use super::{Ctx, Error};
use crate::run;

/// Watch over an exposed transaction, and take it back unless it is confirmed (systemd runs this)
#[derive(Debug, Args)]
#[command(hide = true)]
pub struct Guard {
    /// The transaction
    #[arg(value_name = "ID")]
    id: u64,
}

impl Guard {
    /// Runs the command.
    pub fn run(self, ctx: &mut Ctx) -> Result<Exit, Error> {
        let progress = ctx.progress();
        let outcome = run::watchdog(self.id, &progress);
        progress.end();
        Ok(ctx.end(&outcome?))
    }
}
