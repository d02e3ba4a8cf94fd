//! The command line: one file a command, no logic in any of them.
//!
//! A command is a clap `Args` struct with `run(self, &mut Ctx) -> Result<Exit, Error>`. To add one: its file,
//! its `mod` line, its variant in [`Command`] and its arm in `Command::run`.

mod build;
mod check;
mod completions;
pub mod context;
mod deploy;
mod diff;
pub mod error;
mod explain;
mod facts;
mod fetch;
pub mod globals;
pub mod hosts;
mod init;
mod inspect;
mod lock;
mod man;
pub mod payloads;
pub mod push;
pub mod rehearse;
mod render;
mod schema;
mod verify;

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::process::ExitCode;

use chom_format::{Exit, HostState};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

pub use context::Ctx;
pub use error::Error;
pub use globals::Globals;
pub use hosts::Hosts;

use crate::ui::Printer;

/// Turns one inventory into one verified, reproducible bundle per host.
#[derive(Debug, Parser)]
#[command(name = "chom-bundle", version, about, max_term_width = 110)]
pub struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

/// The commands.
#[allow(missing_docs, reason = "each variant is documented on its struct, which clap prints")]
#[derive(Debug, Subcommand)]
pub enum Command {
    Init(init::Init),
    Check(check::Check),
    Explain(explain::Explain),
    Facts(facts::Facts),
    Lock(lock::Lock),
    Fetch(fetch::Fetch),
    Schema(schema::Schema),
    Render(render::Render),
    Build(build::Build),
    Verify(verify::Verify),
    Inspect(inspect::Inspect),
    Diff(diff::Diff),
    Completions(completions::Completions),
    Man(man::Man),
    Push(push::Push),
    Deploy(deploy::Deploy),
    Rehearse(Box<rehearse::RehearseArgs>),
}

impl Command {
    fn run(self, ctx: &mut Ctx) -> Result<Exit, Error> {
        match self {
            Self::Init(command) => command.run(ctx),
            Self::Check(command) => command.run(ctx),
            Self::Explain(command) => command.run(ctx),
            Self::Facts(command) => command.run(ctx),
            Self::Lock(command) => command.run(ctx),
            Self::Fetch(command) => command.run(ctx),
            Self::Schema(command) => command.run(ctx),
            Self::Render(command) => command.run(ctx),
            Self::Build(command) => command.run(ctx),
            Self::Verify(command) => command.run(ctx),
            Self::Inspect(command) => command.run(ctx),
            Self::Diff(command) => command.run(ctx),
            Self::Completions(command) => command.run(ctx),
            Self::Man(command) => command.run(ctx),
            Self::Push(command) => command.run(ctx),
            Self::Deploy(command) => command.run(ctx),
            Self::Rehearse(command) => command.run(ctx),
        }
    }
}

/// Runs the program with these arguments, the first of which is its name.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match parse(args) {
        Ok(cli) => cli,
        Err(refusal) => {
            // Help for a reader that left is no failure.
            let _ = refusal.print();
            if !refusal.use_stderr() {
                return Exit::Done.code().into();
            }
            let _ = writeln!(io::stderr(), "host is now: {}", HostState::NotConcerned);
            return Exit::BadInput.code().into();
        }
    };
    cli.globals.start_log();
    let mut ctx = Ctx::new(cli.globals);
    let exit = match cli.command.run(&mut ctx) {
        Ok(exit) => exit,
        Err(error) => {
            error.print(&ctx.printer);
            error.exit()
        }
    };
    finish(&ctx.printer, exit).code().into()
}

/// The command line as clap sees it, for the completions and the manual.
pub fn command() -> clap::Command {
    Cli::command()
}

fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let matches = command().try_get_matches_from(args)?;
    Cli::from_arg_matches(&matches)
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
    #[test]
    fn the_command_line_is_consistent() {
        super::command().debug_assert();
    }
}
