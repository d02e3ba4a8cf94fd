//! `chom-bundle inspect`: what a bundle is and holds.

use std::path::PathBuf;

use chom_format::Exit;
use clap::Args;

use super::{Ctx, Error};
use crate::pack::Bundle;

/// Verify a bundle and show what it holds: host, payloads, settings, steps, checks
#[derive(Debug, Args)]
pub struct Inspect {
    /// The bundle, tarball or unpacked folder
    bundle: PathBuf,
    /// List every step, check and file
    #[arg(long)]
    long: bool,
}

impl Inspect {
    /// Runs the command.
    pub fn run(self, ctx: &mut Ctx) -> Result<Exit, Error> {
        let bundle = Bundle::read(&self.bundle)?;
        if ctx.printer.json_wanted() {
            ctx.printer.json(&bundle.to_json());
        } else {
            ctx.printer.data(bundle.to_text(self.long));
        }
        Ok(Exit::Done)
    }
}
