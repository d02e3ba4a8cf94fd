//! `chom-install confirm`: the host is still within reach, and what was installed shall stand.

use chom_format::Exit;
use clap::Args;

use super::{Ctx, Error};
use crate::nonce::Nonce;
use crate::run;

/// Confirm a changed firewall over a fresh connection, so that the transaction stands
#[derive(Debug, Args)]
pub struct Confirm {
    /// The transaction, as the run that waits has said
    #[arg(value_name = "ID")]
    id: u64,
    /// The word of its exposure, as the run that waits has said
    #[arg(long, value_name = "WORD")]
    nonce: Nonce,
}

impl Confirm {
    /// Runs the command.
    pub fn run(self, ctx: &mut Ctx) -> Result<Exit, Error> {
        let progress = ctx.progress();
        let outcome = run::confirm(self.id, &self.nonce, &progress);
        progress.end();
        Ok(ctx.end(&outcome?))
    }
}
