//! `chom-bundle push`: the bundle, on its host, verified there, and nothing more.

use std::path::{Path, PathBuf};

use chom_format::{Exit, HostName};
use clap::Args;
use serde_json::json;

use super::build::{Build, Terms};
use super::payloads::{self, Payloads};
use super::{Ctx, Error, Hosts};
use crate::deploy::Target;
use crate::resolve::Fleet;

/// Which bundles go to which hosts.
#[derive(Debug, Args)]
pub struct Sources {
    #[command(flatten)]
    hosts: Hosts,
    /// This tarball, and build none
    #[arg(long, value_name = "FILE", conflicts_with = "all")]
    bundle: Option<PathBuf>,
    /// Put this chom-install into the bundle, and no other
    #[arg(long, value_name = "FILE", conflicts_with = "bundle")]
    installer: Option<PathBuf>,
    #[command(flatten)]
    payloads: Payloads,
}

impl Sources {
    /// The bundle of each chosen host, built where none is named.
    pub fn bundles(&self, ctx: &Ctx) -> Result<(Fleet, Vec<(HostName, PathBuf)>), Error> {
        let (fleet, _) = ctx.fleet()?;
        let mut bundles = Vec::new();
        for name in self.hosts.pick(&fleet)? {
            let path = match &self.bundle {
                Some(bundle) => bundle.clone(),
                None => {
                    let build = Build::of(&name, self.payloads.clone(), self.installer.clone());
                    let built = build.bundles(ctx, &payloads::lock_path(ctx), Terms::Reviewed)?;
                    built.into_iter().next().map(|bundle| bundle.path).unwrap_or_default()
                }
            };
            bundles.push((name, path));
        }
        Ok((fleet, bundles))
    }
}

/// Upload the bundle of each chosen host into a private folder there, and verify it there
#[derive(Debug, Args)]
pub struct Push {
    #[command(flatten)]
    sources: Sources,
}

impl Push {
    /// Runs the command.
    pub fn run(self, ctx: &mut Ctx) -> Result<Exit, Error> {
        let (fleet, bundles) = self.sources.bundles(ctx)?;
        let beside: PathBuf = ctx.request().beside().to_owned();
        let mut pushed = Vec::new();
        for (name, bundle) in bundles {
            let Some(host) = fleet.hosts.get(&name) else { continue };
            let place = Target::new(host, Path::new(&beside))?.upload(&bundle)?;
            if !ctx.printer.json_wanted() {
                ctx.printer.line(format_args!("{name}: {}", place.folder));
            }
            pushed.push(json!({ "host": name, "folder": place.folder }));
        }
        if ctx.printer.json_wanted() {
            ctx.printer.json_line(&json!({ "format": 1, "hosts": pushed }));
        }
        Ok(Exit::Done)
    }
}
