//! `chom-bundle deploy`: the bundle, on its host, installed, and confirmed.

use std::path::PathBuf;
use std::time::Duration;

use chom_format::Exit;
use clap::Args;
use serde_json::json;

use super::push::Sources;
use super::{Ctx, Error};
use crate::deploy::{Patience, Target, Terms, deploy};

/// Build, upload, install and confirm: each chosen host in turn; the first that fails ends it
#[derive(Debug, Args)]
pub struct Deploy {
    #[command(flatten)]
    sources: Sources,
    /// Let a changed firewall stand at once, without a confirmation over a fresh connection
    #[arg(long)]
    no_confirm: bool,
    /// The host takes a changed firewall back unless it is confirmed within so many seconds
    #[arg(long, value_name = "SECONDS")]
    confirm_within: Option<u64>,
    /// Ask a host that does not answer again for so many seconds, before it is left to itself
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    patience: u64,
    /// One more argument for chom-install (repeatable)
    #[arg(long, value_name = "ARG", allow_hyphen_values = true)]
    installer_arg: Vec<String>,
}

impl Deploy {
    /// Runs the command.
    pub fn run(self, ctx: &mut Ctx) -> Result<Exit, Error> {
        let terms = Terms {
            no_confirm: self.no_confirm,
            confirm_within: self.confirm_within,
            further: self.installer_arg.clone(),
        };
        let patience = Patience(Duration::from_secs(self.patience));
        let (fleet, bundles) = self.sources.bundles(ctx)?;
        let beside: PathBuf = ctx.request().beside().to_owned();
        let mut done = Vec::new();
        for (name, bundle) in bundles {
            let Some(host) = fleet.hosts.get(&name) else { continue };
            let target = Target::new(host, &beside)?;
            let tell = |text: &str| ctx.printer.say(format_args!("{name}: {text}"));
            let deployed = deploy(&target, &bundle, &terms, patience, &tell)?;
            if !ctx.printer.json_wanted() {
                let how = match (deployed.transaction, deployed.confirmed) {
                    (None, _) => "nothing to do".to_owned(),
                    (Some(id), true) => format!("transaction {id} stands, confirmed over a fresh connection"),
                    (Some(id), false) => format!("transaction {id} stands"),
                };
                ctx.printer.line(format_args!("{name}: {how}; the host is {}", deployed.state));
            }
            done.push(deployed);
        }
        if ctx.printer.json_wanted() {
            ctx.printer.json_line(&json!({ "format": 1, "hosts": done }));
        }
        Ok(Exit::Done)
    }
}
