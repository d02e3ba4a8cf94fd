//! `chom-bundle check`: every mistake of the inventory at once.

use chom_format::Exit;
use clap::Args;
use serde_json::json;

use super::{Ctx, Error};
use crate::advice::advice;
use crate::build;
use crate::problem::{Problem, Problems};
use crate::render::{Renderer, Sources};
use crate::resolve::Fleet;
use crate::stack::Catalog;

/// Check the inventory and the stacks, and explain every mistake
#[derive(Debug, Args)]
pub struct Check {}

impl Check {
    /// Runs the command.
    pub fn run(self, ctx: &mut Ctx) -> Result<Exit, Error> {
        let outcome = ctx.resolve().and_then(|resolved| {
            Problems::check(resolved.problems.clone())?;
            resolved.fleet.iter().try_for_each(|fleet| renders(fleet, &resolved.catalog))?;
            Ok(resolved)
        });
        let advice = match &outcome {
            Ok(resolved) => {
                resolved.fleet.iter().flat_map(|fleet| advice(fleet, ctx.request().beside())).collect()
            }
            Err(_) => Vec::new(),
        };
        let problems: Vec<_> = outcome.as_ref().err().into_iter().flat_map(Problems::iter).collect();
        if ctx.printer.json_wanted() {
            ctx.printer.json(
                &json!({ "format": 1, "ok": problems.is_empty(), "problems": problems, "warnings": advice }),
            );
            return Ok(if problems.is_empty() { Exit::Done } else { Exit::BadInput });
        }
        let resolved = outcome?;
        advice.iter().for_each(|advice| ctx.printer.warn(advice));
        let hosts = resolved.fleet.iter().flat_map(|fleet| fleet.hosts.values());
        for host in hosts {
            let parts: Vec<&str> = host.enabled().iter().map(|part| part.name.as_str()).collect();
            ctx.printer.line(format_args!("{}: {}", host.name, parts.join(" ")));
        }
        ctx.printer.say(format_args!("{} has no mistakes", resolved.inventory.file));
        Ok(Exit::Done)
    }
}

// What is checked is all that `render` and `build` would refuse: every host, and all of its mistakes.
fn renders(fleet: &Fleet, catalog: &Catalog) -> Result<(), Problems> {
    let sources = Sources::new(catalog);
    let renderer = Renderer::new(fleet, &sources)?;
    let found: Vec<Problem> = fleet
        .hosts
        .values()
        .filter_map(|host| build::rendered(&renderer, host, None).err())
        .flat_map(|problems| problems.iter().cloned().collect::<Vec<_>>())
        .collect();
    Problems::check(found)
}
