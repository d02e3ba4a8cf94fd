//! `chom-bundle completions`: completions for a shell.

use chom_format::Exit;
use clap::Args;
use clap_complete::Shell;

use super::{Ctx, Error};

/// Print the completions for a shell.
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    /// Runs the command.
    pub fn run(self, ctx: &mut Ctx) -> Result<Exit, Error> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut super::command(), "chom-bundle", &mut script);
        ctx.printer.own(String::from_utf8_lossy(&script));
        Ok(Exit::Done)
    }
}
