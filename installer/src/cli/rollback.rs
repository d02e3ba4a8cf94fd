//! `chom-install rollback`: put the host back as it was before a transaction.

use std::sync::Arc;

use chom_format::Exit;
use clap::Args;

use super::consent::Agreement;
use super::{Ctx, Error};
use crate::run;

/// Put the host back as it was before the last transaction
#[derive(Debug, Args)]
pub struct Rollback {
    /// Back to this transaction: take back all that are newer (0: all there are)
    #[arg(long, value_name = "ID")]
    to: Option<u64>,
    /// Although originals are lost or damaged: put back what can be put back, and name the rest
    #[arg(long)]
    partly: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

impl Rollback {
    /// Runs the command.
    pub fn run(self, ctx: &mut Ctx) -> Result<Exit, Error> {
        let consent = Agreement::new(Arc::clone(&ctx.printer), self.yes)?;
        let progress = ctx.progress();
        let outcome =
            run::rollback(self.to, self.partly, &|known| consent.agree_to_roll_back(known), &progress);
        progress.end();
        Ok(ctx.end(&outcome?))
    }
}
