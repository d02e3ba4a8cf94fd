//! `chom-install plan`: what install would do, and whether it may.

use std::path::PathBuf;

use chom_format::exit::Explain as _;
use chom_format::{Exit, StepId};
use clap::Args;

use super::bundle::BundleArgs;
use super::{Ctx, Error};
use crate::plan::Style;
use crate::run;

/// Show what install would do; changes nothing
#[derive(Debug, Args)]
pub struct Plan {
    #[command(flatten)]
    bundle: BundleArgs,
    /// Look at a directory as if it were the host's `/`
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
    /// Plan for another host than the bundle's
    #[arg(long)]
    any_host: bool,
    /// Agree to a step that cannot be undone (repeatable)
    #[arg(long, value_name = "STEP")]
    accept: Vec<StepId>,
    /// Also the steps that change nothing, every check of preflight, and diffs of any length
    #[arg(long)]
    all: bool,
}

impl Plan {
    /// Runs the command.
    pub fn run(self, ctx: &mut Ctx) -> Result<Exit, Error> {
        let progress = ctx.progress();
        let looked =
            run::look(self.bundle.bundle.as_deref(), &self.root, self.any_host, &self.accept, &progress);
        progress.end();
        let looked = looked?;
        let verdict = looked.preflight.verdict();
        if ctx.printer.json_wanted() {
            ctx.printer.json_line(&looked);
        } else {
            if let Some(plan) = &looked.plan {
                ctx.printer.styled(plan.show(Style { color: ctx.printer.data_in_color(), all: self.all }));
            }
            if let Some(line) = looked.recorded.as_ref().and_then(run::Recorded::line) {
                ctx.printer.data(format_args!("{line}\n"));
            }
            ctx.printer.data(looked.preflight.table(self.all));
        }
        match verdict {
            // The table above has said what and why.
            Err(refused) if !ctx.printer.json_wanted() || looked.plan.is_some() => Ok(refused.exit()),
            Err(refused) => Err(refused.into()),
            Ok(()) => Ok(Exit::Done),
        }
    }
}
