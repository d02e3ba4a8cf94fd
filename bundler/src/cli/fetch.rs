//! `chom-bundle fetch`: everything that the lock names, into the cache.

use chom_format::Exit;
use clap::Args;
use serde_json::json;

use super::hosts::Hosts;
use super::payloads::{self, Payloads};
use super::{Ctx, Error};
use crate::fetch::fetch;
use crate::lock::{LockFile, LockRequest};

/// Download everything that chom.lock names for the chosen hosts
#[derive(Debug, Args)]
pub struct Fetch {
    #[command(flatten)]
    hosts: Hosts,
    #[command(flatten)]
    payloads: Payloads,
}

impl Fetch {
    /// Runs the command.
    pub fn run(self, ctx: &mut Ctx) -> Result<Exit, Error> {
        let (fleet, _) = ctx.fleet()?;
        let hosts = self.hosts.pick(&fleet)?;
        let mut request = LockRequest::of(&fleet)?;
        request.hosts.retain(|host| hosts.contains(&host.host));
        let file = LockFile::read(&payloads::lock_path(ctx))?;
        file.lock.matches(&request)?;
        let (cache, options) = (self.payloads.open()?, self.payloads.options());
        let progress = payloads::progress(&ctx.printer);
        let report = fetch(&file.lock, &hosts, &cache, &request.mirrors, &options, &*progress)?;
        drop(progress);
        if ctx.printer.json_wanted() {
            ctx.printer.json(&json!({ "format": 1, "fetched": report }));
            return Ok(Exit::Done);
        }
        ctx.printer.say(format_args!(
            "{} of {} objects were missing and are now in the cache",
            report.fetched, report.objects
        ));
        Ok(Exit::Done)
    }
}
