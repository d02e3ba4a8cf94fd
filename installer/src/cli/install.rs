//! `chom-install install`: all of it, or nothing.

use std::sync::Arc;
use std::time::Duration;

use chom_format::{Exit, StepId};
use clap::Args;

use super::bundle::BundleArgs;
use super::consent::Agreement;
use super::{Ctx, Error};
use crate::engine::Position;
use crate::run::{self, Confirming};

/// Seconds in which a changed firewall is to be confirmed.
const WITHIN: u64 = 120;

/// Install the bundle: show the plan, ask, apply, check; put all back if anything fails
#[derive(Debug, Clone, Args)]
pub struct Install {
    #[command(flatten)]
    bundle: BundleArgs,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Install on another host than the bundle's
    #[arg(long)]
    any_host: bool,
    /// Agree to a step that cannot be undone (repeatable)
    #[arg(long, value_name = "STEP")]
    accept: Vec<StepId>,
    /// Let a changed firewall stand at once: nobody has to confirm it
    #[arg(long)]
    no_confirm: bool,
    /// Take a changed firewall back unless it is confirmed within so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = WITHIN, value_parser = clap::value_parser!(u64).range(10..=86_400))]
    confirm_within: u64,
    /// Install as a unit of systemd, which goes on when this connection is cut; prints its number and word
    #[arg(long)]
    detach: bool,
    /// This is the unit that installs this transaction
    #[arg(long, value_name = "ID", hide = true, requires = "yes", conflicts_with = "detach")]
    ticket: Option<u64>,
    /// Rehearsal: fail after the effects of this step, or at `check` or `commit`
    #[arg(long, value_name = "STEP")]
    fail_at: Option<Position>,
    /// Rehearsal: be interrupted in the middle of this step, or at `check` or `commit`
    #[arg(long, value_name = "STEP")]
    interrupt_at: Option<Position>,
}

impl Install {
    /// Runs the command.
    pub fn run(self, ctx: &mut Ctx) -> Result<Exit, Error> {
        let consent = Agreement::new(Arc::clone(&ctx.printer), self.yes)?;
        let asked = run::Install {
            bundle: self.bundle.bundle,
            any_host: self.any_host,
            accepted: self.accept,
            confirming: Confirming {
                skip: self.no_confirm,
                within: Duration::from_secs(self.confirm_within),
            },
            detach: self.detach,
            ticket: self.ticket,
            fail_at: self.fail_at,
            interrupt_at: self.interrupt_at,
        };
        let progress = ctx.progress();
        let outcome = run::install(&asked, &consent, &progress);
        progress.end();
        Ok(ctx.end(&outcome?))
    }
}
