//! `chom-bundle build`: the tarball of each chosen host.

use std::env;
use std::path::PathBuf;
use std::thread::{self, JoinHandle};

use chom_format::{Exit, HostName};
use clap::Args;
use serde_json::json;

use super::hosts::Hosts;
use super::payloads::{self, Payloads};
use super::{Ctx, Error};
use crate::build::{self, Kit, Target};
use crate::cache::Cache;
use crate::fetch;
use crate::lock::{LockFile, LockFileError, LockOptions, LockRequest, resolve};
use crate::pack::{self, summary};
use crate::render::Sources;
use crate::resolve::Fleet;

/// Build the bundle of each chosen host; without a chom.lock, lock and fetch first
#[derive(Debug, Args)]
pub struct Build {
    #[command(flatten)]
    hosts: Hosts,
    /// Write the bundles here
    #[arg(long, value_name = "DIR", default_value = "dist")]
    output: PathBuf,
    /// Put this chom-install into the bundle, and no other
    #[arg(long, value_name = "FILE")]
    installer: Option<PathBuf>,
    #[command(flatten)]
    payloads: Payloads,
}

impl Build {
    /// Runs the command.
    pub fn run(self, ctx: &mut Ctx) -> Result<Exit, Error> {
        let mtime = pack::mtime(
            env::var_os("SOURCE_DATE_EPOCH").map(|text| text.to_string_lossy().into_owned()).as_deref(),
        )?;
        // Read beside the inventory: neither needs the other, and both take about as long.
        let path = payloads::lock_path(ctx);
        let reading = thread::spawn(move || LockFile::read(&path));
        let (fleet, catalog) = ctx.fleet()?;
        let hosts = self.hosts.pick(&fleet)?;
        let cache = self.payloads.open()?;
        let lock = self.locked(ctx, &fleet, &hosts, &cache, reading)?;
        let sources = Sources::new(&catalog);
        let kit = Kit { fleet: &fleet, sources: &sources, lock: &lock, cache: &cache };
        let target = Target { output: &self.output, installer: self.installer.as_deref(), mtime };
        let mut bundles = Vec::new();
        for host in hosts.iter().filter_map(|name| fleet.hosts.get(name)) {
            let built = build::build(&kit, host, &target)?;
            built.warnings.iter().for_each(|warning| ctx.printer.warn(warning));
            ctx.printer.detail(format_args!("{}: installer from {}", host.name, built.installer));
            if !ctx.printer.json_wanted() {
                ctx.printer.line(built.packed.path.display());
                let (size, sha256) = (summary::size(built.packed.size), built.packed.sha256);
                ctx.printer.say(format_args!("{}: {size}, sha256 {sha256}", host.name));
            }
            bundles.push(built.packed);
        }
        if ctx.printer.json_wanted() {
            ctx.printer.json(&json!({ "format": 1, "bundles": bundles }));
        }
        Ok(Exit::Done)
    }

    // A lock that is there is followed to the letter; one that is not there is made, and that is said.
    fn locked(
        &self,
        ctx: &Ctx,
        fleet: &Fleet,
        hosts: &[HostName],
        cache: &Cache,
        reading: JoinHandle<Result<LockFile, LockFileError>>,
    ) -> Result<LockFile, Error> {
        let mut request = LockRequest::of(fleet)?;
        let path = payloads::lock_path(ctx);
        let options = self.payloads.options();
        // The reading has no panic in it; were there one, the file is simply read again.
        let file = match reading.join().unwrap_or_else(|_| LockFile::read(&path)) {
            Err(LockFileError::Missing(_)) if !options.offline => {
                ctx.printer.say(format_args!("there is no {}: locking and fetching first", path.display()));
                let progress = payloads::progress(&ctx.printer);
                let wanted = LockOptions {
                    cache: cache.clone(),
                    keyring: None,
                    update: false,
                    fetch: options.clone(),
                };
                LockFile::write(&path, &resolve(&request, None, &wanted, &*progress)?)?;
                LockFile::read(&path)?
            }
            other => other?,
        };
        request.hosts.retain(|host| hosts.contains(&host.host));
        file.lock.matches(&request)?;
        if !fetch::missing(&file.lock, hosts, cache)?.is_empty() {
            let progress = payloads::progress(&ctx.printer);
            fetch::fetch(&file.lock, hosts, cache, &request.mirrors, &options, &*progress)?;
        }
        Ok(file)
    }
}
