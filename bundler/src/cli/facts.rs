//! `chom-bundle facts`: what a host really has, against what the inventory says.

use std::path::PathBuf;

use chom_format::Exit;
use clap::Args;
use serde_json::json;

use super::{Ctx, Error, Hosts};
use crate::edit::{Saved, write_specs};
use crate::facts;

/// Measure hosts and compare with the inventory; with --write, write what was measured into it
#[derive(Debug, Args)]
pub struct Facts {
    #[command(flatten)]
    hosts: Hosts,
    /// Facts carried back by hand: what `chom-install facts --json` printed on the host
    #[arg(long, value_name = "FILE", conflicts_with = "all")]
    from: Option<PathBuf>,
    /// Write `specs` of the host into the inventory; every other byte of it stays
    #[arg(long)]
    write: bool,
    /// The installer that measures, instead of the one that belongs to this program
    #[arg(long, value_name = "FILE", conflicts_with = "from")]
    installer: Option<PathBuf>,
}

impl Facts {
    /// Runs the command.
    pub fn run(self, ctx: &mut Ctx) -> Result<Exit, Error> {
        let (fleet, _) = ctx.fleet()?;
        let request = ctx.request();
        let mut results = Vec::new();
        for host in self.hosts.pick(&fleet)?.iter().filter_map(|name| fleet.hosts.get(name)) {
            let measured = match &self.from {
                Some(path) => facts::from_file(path)?,
                None => crate::remote::facts::measure(host, request.beside(), self.installer.as_deref())?,
            };
            facts::belongs(host, &measured)?;
            let rows = facts::compare(host, &measured);
            if !ctx.printer.json_wanted() {
                ctx.printer.line(format_args!("{}, measured {}", host.name, measured.detected_at));
                ctx.printer.data(facts::table(&rows));
            }
            let saved = self
                .write
                .then(|| write_specs(&request.inventory, host.name.as_str(), &measured))
                .transpose()?;
            match &saved {
                Some(Saved::Replaced { backup }) => {
                    ctx.printer.say(format_args!(
                        "{} written; as it was: {}",
                        request.inventory.display(),
                        backup.display()
                    ));
                }
                Some(Saved::Unchanged) => {
                    ctx.printer.say(format_args!("{} says so already", request.inventory.display()))
                }
                None => {}
            }
            results.push(json!({ "host": host.name, "facts": measured, "compared": rows, "saved": saved }));
        }
        if ctx.printer.json_wanted() {
            ctx.printer.json(&json!({ "format": 1, "hosts": results }));
        }
        Ok(Exit::Done)
    }
}
