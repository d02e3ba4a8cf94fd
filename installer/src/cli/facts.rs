//! `chom-install facts`: what this host is.

use std::path::PathBuf;

use chom_format::Exit;
use clap::Args;

use super::{Ctx, Error};

/// Measure this host: processors, memory, disks, release, addresses, keys
#[derive(Debug, Args)]
pub struct Facts {
    /// Look at a directory as if it were the host's `/`
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
}

impl Facts {
    /// Runs the command.
    pub fn run(self, ctx: &mut Ctx) -> Result<Exit, Error> {
        let facts = crate::facts::measure(&self.root);
        if ctx.printer.json_wanted() {
            ctx.printer.json(&facts);
        } else {
            ctx.printer.data(crate::facts::table(&facts));
        }
        Ok(Exit::Done)
    }
}
