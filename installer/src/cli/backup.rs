//! `chom-install backup`: create, list, verify, restore.

use std::path::PathBuf;
use std::sync::Arc;

use chom_format::{Exit, PartName};
use clap::{Args, Subcommand};

use super::consent::Agreement;
use super::{Ctx, Error};
use crate::run;

/// Make, list, verify and restore backups of what stands on this host
#[derive(Debug, Args)]
pub struct Backup {
    #[command(subcommand)]
    command: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Create(Create),
    List(List),
    Verify(Verify),
    Restore(Restore),
}

/// Make a backup now, and take away those that are not kept any longer
#[derive(Debug, Args)]
struct Create {}

/// List the backups that lie on this host, oldest first
#[derive(Debug, Args)]
struct List {}

/// Read a backup back to its last byte; changes nothing
#[derive(Debug, Args)]
struct Verify {
    /// Which [default: the newest]
    #[arg(value_name = "ID")]
    id: Option<u64>,
    /// The file with the private key, to look into an encrypted one
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
}

/// Bring a backup back as a transaction: show the plan, ask, apply, check; put all back if anything fails
#[derive(Debug, Args)]
struct Restore {
    /// Which
    #[arg(value_name = "ID")]
    id: u64,
    /// Only this part (repeatable)
    #[arg(long, value_name = "NAME")]
    only: Vec<PartName>,
    /// The file with the private key of an encrypted one
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
    /// It may be a backup of another host
    #[arg(long)]
    any_host: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

impl Backup {
    /// Runs the command.
    pub fn run(self, ctx: &mut Ctx) -> Result<Exit, Error> {
        let progress = ctx.progress();
        match self.command {
            What::Create(_) => {
                let created = run::backup_create(&progress);
                progress.end();
                show(ctx, &created?);
            }
            What::List(_) => show(ctx, &run::backup_list()?),
            What::Verify(asked) => {
                let verdict = run::backup_verify(asked.id, asked.identity.as_deref(), &progress);
                progress.end();
                show(ctx, &verdict?);
            }
            What::Restore(asked) => {
                let consent = Agreement::new(Arc::clone(&ctx.printer), asked.yes)?;
                let (id, only, identity, any_host) = (asked.id, asked.only, asked.identity, asked.any_host);
                let asked = run::RestoreAsked { id, only, identity, any_host };
                let agreed = |plan: &crate::plan::Plan| consent.agree_to_restore(id, plan);
                let outcome = run::backup_restore(&asked, &agreed, &progress);
                progress.end();
                return Ok(ctx.end(&outcome?));
            }
        }
        Ok(Exit::Done)
    }
}

fn show(ctx: &Ctx, result: &(impl serde::Serialize + std::fmt::Display)) {
    if ctx.printer.json_wanted() {
        ctx.printer.json_line(result);
    } else {
        ctx.printer.data(result);
    }
}
