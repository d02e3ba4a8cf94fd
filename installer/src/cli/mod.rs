//! The command line: one file a command, no logic in any of them.
//!
//! A command is a clap `Args` struct with `run(self, &mut Ctx) -> Result<Exit, Error>`. To add one: its
//! file, its `mod` line, its variant in [`Command`] and its arm in `Command::run`.

mod bundle;
mod consent;
mod context;
mod error;
mod facts;
mod globals;
mod history;
mod install;
mod plan;
mod recover;
mod rollback;
mod status;
mod verify;

use std::ffi::OsString;
use std::process::ExitCode;

use chom_format::Exit;
use clap::{Parser, Subcommand};

pub use context::Ctx;
pub use error::Error;
pub use globals::Globals;

use crate::ui::Printer;

/// Installs, verifies and rolls back a bundle on this host. Without a command: install.
#[derive(Debug, Parser)]
#[command(name = "chom-install", version, about, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(flatten)]
    install: install::Install,
    #[command(subcommand)]
    command: Option<Command>,
}

/// The commands.
#[allow(missing_docs, reason = "each variant is documented on its struct, which clap prints")]
#[derive(Debug, Subcommand)]
pub enum Command {
    Install(install::Install),
    Plan(plan::Plan),
    Verify(verify::Verify),
    Status(status::Status),
    History(history::History),
    Rollback(rollback::Rollback),
    Recover(recover::Recover),
    Facts(facts::Facts),
}

impl Command {
    fn run(self, ctx: &mut Ctx) -> Result<Exit, Error> {
        match self {
            Self::Install(command) => command.run(ctx),
            Self::Plan(command) => command.run(ctx),
            Self::Verify(command) => command.run(ctx),
            Self::Status(command) => command.run(ctx),
            Self::History(command) => command.run(ctx),
            Self::Rollback(command) => command.run(ctx),
            Self::Recover(command) => command.run(ctx),
            Self::Facts(command) => command.run(ctx),
        }
    }
}

/// Runs the program with these arguments, the first of which is its name.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(refusal) => {
            // Help for a reader that left is no failure.
            let _ = refusal.print();
            return if refusal.use_stderr() { Exit::BadInput } else { Exit::Done }.code().into();
        }
    };
    let mut ctx = Ctx::new(cli.globals);
    let command = cli.command.unwrap_or(Command::Install(cli.install));
    let exit = match command.run(&mut ctx) {
        Ok(exit) => exit,
        Err(error) => {
            error.print(&ctx.printer);
            error.exit()
        }
    };
    finish(&ctx.printer, exit).code().into()
}

fn finish(printer: &Printer, exit: Exit) -> Exit {
    match printer.finish() {
        Err(error) if exit == Exit::Done => {
            printer.error(format_args!("the result could not be written to standard output: {error}"));
            Exit::Failed
        }
        _ => exit,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
