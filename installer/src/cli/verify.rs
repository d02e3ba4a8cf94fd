//! `chom-install verify`: is every byte of the bundle as it was made, and is this its host?

use std::path::PathBuf;

use chom_format::Exit;
use clap::Args;

use super::bundle::BundleArgs;
use super::{Ctx, Error};
use crate::run;

/// Check every byte of the bundle; changes nothing
#[derive(Debug, Args)]
pub struct Verify {
    #[command(flatten)]
    bundle: BundleArgs,
    /// Compare with the host whose `/` is this directory
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
}

impl Verify {
    /// Runs the command.
    pub fn run(self, ctx: &mut Ctx) -> Result<Exit, Error> {
        let progress = ctx.progress();
        let verified = run::verify(self.bundle.bundle.as_deref(), &self.root, &progress);
        progress.end();
        let verified = verified?;
        if ctx.printer.json_wanted() {
            ctx.printer.json_line(&verified);
        } else {
            ctx.printer.data(verified);
        }
        Ok(Exit::Done)
    }
}
