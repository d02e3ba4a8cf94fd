//! `chom-bundle check`: every mistake of the inventory at once.

use chom_format::Exit;
use clap::Args;
use serde_json::json;

use super::{Ctx, Error};
use crate::problem::Problems;

/// Check the inventory and the stacks, and explain every mistake
#[derive(Debug, Args)]
pub struct Check {}

impl Check {
    /// Runs the command.
    pub fn run(self, ctx: &mut Ctx) -> Result<Exit, Error> {
        let outcome = ctx.resolve().and_then(|resolved| {
            Problems::check(resolved.problems.clone())?;
            Ok(resolved)
        });
        let problems: Vec<_> = outcome.as_ref().err().into_iter().flat_map(Problems::iter).collect();
        if ctx.printer.json_wanted() {
            ctx.printer.json(&json!({ "format": 1, "ok": problems.is_empty(), "problems": problems }));
            return Ok(if problems.is_empty() { Exit::Done } else { Exit::BadInput });
        }
        let resolved = outcome?;
        let hosts = resolved.fleet.iter().flat_map(|fleet| fleet.hosts.values());
        for host in hosts {
            let parts: Vec<&str> = host.enabled().iter().map(|part| part.name.as_str()).collect();
            ctx.printer.line(format_args!("{}: {}", host.name, parts.join(" ")));
        }
        ctx.printer.say(format_args!("{} has no mistakes", resolved.inventory.file));
        Ok(Exit::Done)
    }
}
