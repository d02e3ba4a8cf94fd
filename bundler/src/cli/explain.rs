//! `chom-bundle explain`: each value of a host, and where it came from.

use chom_format::Exit;
use clap::Args;
use serde_json::json;

use super::{Ctx, Error};
use crate::problem::Problems;
use crate::resolve::outline::outline;

/// Show each value of a host and where it came from
#[derive(Debug, Args)]
pub struct Explain {
    /// The host; the only one of the inventory when it is not given
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// A key such as `ssh.port` or `components.prometheus`: its value, and what every layer says of it
    #[arg(value_name = "KEY")]
    key: Option<String>,
}

impl Explain {
    /// Runs the command.
    pub fn run(self, ctx: &mut Ctx) -> Result<Exit, Error> {
        let resolved = ctx.resolve()?;
        let key = self.key.unwrap_or_default();
        let outlines = outline(&resolved.trace, self.host.as_deref(), &key)?;
        if ctx.printer.json_wanted() {
            ctx.printer.json(&json!({ "format": 1, "hosts": outlines, "problems": resolved.problems }));
        } else {
            for outline in &outlines {
                if outlines.len() > 1 {
                    ctx.printer.line(format_args!("{}:", outline.host));
                }
                ctx.printer.data(outline.table(!key.is_empty()));
            }
            // A table of wrong values helps to mend them, but it is no success.
            Problems::check(resolved.problems.clone())?;
        }
        Ok(if resolved.problems.is_empty() { Exit::Done } else { Exit::BadInput })
    }
}
