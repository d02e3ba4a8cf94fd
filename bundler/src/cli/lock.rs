//! `chom-bundle lock`: every payload of every host, pinned.

use std::path::PathBuf;

use chom_format::Exit;
use clap::Args;
use serde_json::json;

use super::payloads::{self, Payloads};
use super::{Ctx, Error};
use crate::lock::{LockFile, LockFileError, LockOptions, LockRequest, changes, resolve};

/// Pin every payload of every host in chom.lock
#[derive(Debug, Args)]
pub struct Lock {
    /// Take the newest of everything; without it, what still fits stays as it is
    #[arg(long)]
    update: bool,
    /// Write nothing; fail when chom.lock does not match the inventory
    #[arg(long, conflicts_with = "update")]
    check: bool,
    /// Debian's keyring, when it is not where Debian's package puts it
    #[arg(long, value_name = "FILE")]
    keyring: Option<PathBuf>,
    #[command(flatten)]
    payloads: Payloads,
}

impl Lock {
    /// Runs the command.
    pub fn run(self, ctx: &mut Ctx) -> Result<Exit, Error> {
        let (fleet, _) = ctx.fleet()?;
        let request = LockRequest::of(&fleet)?;
        let path = payloads::lock_path(ctx);
        let before = match LockFile::read(&path) {
            Ok(file) => Some(file),
            Err(LockFileError::Missing(_)) if !self.check => None,
            Err(error) => return Err(error.into()),
        };
        if self.check {
            before.iter().try_for_each(|file| file.lock.matches(&request))?;
            ctx.printer.say(format_args!("{} matches the inventory", path.display()));
            return Ok(Exit::Done);
        }
        let (cache, fetch) = (self.payloads.open()?, self.payloads.options());
        let options = LockOptions { cache, keyring: self.keyring, update: self.update, fetch };
        let before = before.map(|file| file.lock);
        let lock = resolve(&request, before.as_ref(), &options, &*payloads::progress(&ctx.printer))?;
        let changes = changes(before.as_ref(), &lock);
        let (sha256, changed) = LockFile::write(&path, &lock)?;
        if ctx.printer.json_wanted() {
            ctx.printer.json(&json!({
                "format": 1, "file": path, "sha256": sha256, "changed": changed, "changes": changes,
            }));
            return Ok(Exit::Done);
        }
        changes.iter().for_each(|change| ctx.printer.line(change));
        let what = if changed { "written: look at what changed, and commit it" } else { "unchanged" };
        ctx.printer.say(format_args!("{} {what}", path.display()));
        Ok(Exit::Done)
    }
}
