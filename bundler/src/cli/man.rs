//! `chom-bundle man`: the manual, one page a command.

use chom_format::Exit;
use clap::Args;

use super::{Ctx, Error};
use crate::ui::manual;

/// Print the manual page of the program or of one command, as roff (`chom-bundle man facts | man -l -`)
#[derive(Debug, Args)]
pub struct Man {
    /// The command; the program itself when it is not given
    command: Option<String>,
}

impl Man {
    /// Runs the command.
    pub fn run(self, ctx: &mut Ctx) -> Result<Exit, Error> {
        ctx.printer.own(manual::page(super::command(), self.command.as_deref())?);
        Ok(Exit::Done)
    }
}
