//! `chom-bundle init`: an inventory to start from.

use std::path::{Path, PathBuf};

use chom_format::Exit;
use clap::Args;

use super::{Ctx, Error};
use crate::inventory::init;

/// Write an inventory to start from, or the present shape of an old one
#[derive(Debug, Args)]
pub struct Init {
    /// An inventory of the old shape (top-level `observability:` and `vpsmanager:`) to convert
    #[arg(long, value_name = "OLD")]
    from: Option<PathBuf>,
    /// Where to write it, `-` for standard output; the inventory when it is not given
    #[arg(long, value_name = "NEW")]
    output: Option<PathBuf>,
}

impl Init {
    /// Runs the command.
    pub fn run(self, ctx: &mut Ctx) -> Result<Exit, Error> {
        let (text, refused) = match &self.from {
            Some(old) => init::from_old(old)?,
            None => (init::FRESH.to_owned(), Vec::new()),
        };
        let path = self.output.unwrap_or_else(|| ctx.globals.inventory.clone());
        if path == Path::new("-") {
            ctx.printer.data(text);
        } else {
            init::save(&path, &text)?;
            ctx.printer.say(format_args!("wrote {}", path.display()));
        }
        for problem in refused {
            ctx.printer.warn(format_args!("not taken over: {problem}"));
        }
        ctx.printer.say("next: `chom-bundle check`");
        Ok(Exit::Done)
    }
}
