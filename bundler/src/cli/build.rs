//! `chom-bundle build`: the tarball of each chosen host.

use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::{env, mem};

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
use crate::pack::{self, Draft, Packed, summary};
use crate::render::{Renderer, Sources};
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

/// What a lock stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Terms {
    /// People have read it: one that does not match the inventory is refused.
    Reviewed,
    /// Nobody reads it: one that does not match is made anew.
    Scratch,
}

/// The lock that a build follows.
struct Wanted<'a> {
    path: &'a Path,
    terms: Terms,
    reading: JoinHandle<Result<LockFile, LockFileError>>,
}

impl Build {
    /// The bundle of one host, for a command that goes on with it.
    pub(super) fn of(host: &HostName, payloads: Payloads, installer: Option<PathBuf>) -> Self {
        let hosts = Hosts { host: vec![host.to_string()], all: false };
        Self { hosts, output: PathBuf::from("dist"), installer, payloads }
    }

    /// Runs the command.
    pub fn run(self, ctx: &mut Ctx) -> Result<Exit, Error> {
        let bundles = self.bundles(ctx, &payloads::lock_path(ctx), Terms::Reviewed)?;
        if ctx.printer.json_wanted() {
            ctx.printer.json(&json!({ "format": 1, "bundles": bundles }));
        }
        for bundle in bundles.iter().filter(|_| !ctx.printer.json_wanted()) {
            ctx.printer.line(bundle.path.display());
        }
        Ok(Exit::Done)
    }

    /// Builds, after locking and fetching what is missing.
    pub(super) fn bundles(&self, ctx: &Ctx, lock: &Path, terms: Terms) -> Result<Vec<Packed>, Error> {
        let mtime = pack::mtime(
            env::var_os("SOURCE_DATE_EPOCH").map(|text| text.to_string_lossy().into_owned()).as_deref(),
        )?;
        // Read beside the inventory: neither needs the other, and both take about as long.
        let path = lock.to_owned();
        let reading = thread::spawn(move || LockFile::read(&path));
        let cache = self.payloads.open()?;
        let mut draft = self.draft(&cache);
        let (fleet, catalog) = ctx.fleet()?;
        let hosts = self.hosts.pick(&fleet)?;
        let lock = self.locked(ctx, &fleet, &hosts, &cache, Wanted { path: lock, terms, reading })?;
        let sources = Sources::new(&catalog);
        let renderer = Renderer::new(&fleet, &sources)?;
        let kit = Kit { fleet: &fleet, renderer: &renderer, lock: &lock, cache: &cache };
        let target = Target { output: &self.output, installer: self.installer.as_deref(), mtime };
        let mut bundles = Vec::new();
        for host in hosts.iter().filter_map(|name| fleet.hosts.get(name)) {
            let built = build::build(&kit, host, &target, draft.take())?;
            built.warnings.iter().for_each(|warning| ctx.printer.warn(warning));
            ctx.printer.detail(format_args!("{}: installer from {}", host.name, built.installer));
            let (size, sha256) = (summary::size(built.packed.size), built.packed.sha256);
            ctx.printer.say(format_args!("{}: {size}, sha256 {sha256}", host.name));
            bundles.push(built.packed);
        }
        // Nothing of it holds anything but memory, and to take that apart piece by piece takes longer than to render.
        mem::forget(renderer);
        mem::forget((sources, fleet, catalog, lock));
        Ok(bundles)
    }

    // Of one host, and named here: which ones `--all` means is known when the inventory is read, and that is too late.
    fn draft(&self, cache: &Cache) -> Option<Draft> {
        match self.hosts.host.as_slice() {
            [host] => Draft::begin(&self.output, &host.parse().ok()?, cache),
            _ => None,
        }
    }

    // A lock that is there is followed to the letter; one that is not there is made, and that is said.
    fn locked(
        &self,
        ctx: &Ctx,
        fleet: &Fleet,
        hosts: &[HostName],
        cache: &Cache,
        Wanted { path, terms, reading }: Wanted<'_>,
    ) -> Result<LockFile, Error> {
        let mut request = LockRequest::of(fleet)?;
        let options = self.payloads.options();
        // The reading has no panic in it; were there one, the file is simply read again.
        let read = reading.join().unwrap_or_else(|_| LockFile::read(path)).and_then(|file| match terms {
            Terms::Scratch if file.lock.matches(&request).is_err() => {
                Err(LockFileError::Missing(path.to_owned()))
            }
            _ => Ok(file),
        });
        let file = match read {
            Err(LockFileError::Missing(_)) if !options.offline => {
                ctx.printer.say(format_args!("there is no {}: locking and fetching first", path.display()));
                let progress = payloads::progress(&ctx.printer);
                let wanted = LockOptions {
                    cache: cache.clone(),
                    keyring: None,
                    update: false,
                    fetch: options.clone(),
                };
                LockFile::write(path, &resolve(&request, None, &wanted, &*progress)?)?;
                LockFile::read(path)?
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
