//! The command line: one file a command, no logic in any of them.
//!
//! A command is a clap `Args` struct with `run(self, &mut Ctx) -> Result<Exit, Error>`. To add one: its
//! file, its `mod` line, its variant in [`Command`] and its arm in `Command::run`.

mod backup;
mod bundle;
mod confirm;
mod consent;
mod context;
mod error;
mod facts;
mod globals;
mod guard;
mod history;
mod install;
mod plan;
mod recover;
mod rollback;
mod status;
mod verify;

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::process::ExitCode;

use chom_format::{Exit, HostState};
use clap::{CommandFactory, FromArgMatches as _, Parser, Subcommand};

pub use context::Ctx;
pub use error::Error;
pub use globals::Globals;

use crate::sys;
use crate::ui::Printer;

/// Installs, verifies and rolls back a bundle on this host, with no network and no library.
///
/// Without a command: install, with the options of that command.
#[derive(Debug, Parser)]
#[command(name = "chom-install", version, after_help = "Without a command: install, with its options.")]
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
    Install(install::Install),
    Plan(plan::Plan),
    Verify(verify::Verify),
    Status(status::Status),
    History(history::History),
    Rollback(rollback::Rollback),
    Confirm(confirm::Confirm),
    Recover(recover::Recover),
    Guard(guard::Guard),
    Backup(backup::Backup),
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
            Self::Confirm(command) => command.run(ctx),
            Self::Recover(command) => command.run(ctx),
            Self::Guard(command) => command.run(ctx),
            Self::Backup(command) => command.run(ctx),
            Self::Facts(command) => command.run(ctx),
        }
    }
}

/// Runs the program with these arguments, the first of which is its name.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match parse(args.into_iter().collect()) {
        Ok(cli) => cli,
        Err(refusal) => {
            // Help for a reader that left is no failure.
            let _ = refusal.print();
            if !refusal.use_stderr() {
                return Exit::Done.code().into();
            }
            let _ = writeln!(io::stderr(), "host is now: {}", HostState::Unchanged);
            return Exit::BadInput.code().into();
        }
    };
    let fault = cli.globals.fault;
    let mut ctx = Ctx::new(cli.globals);
    let armed = fault.map_or(Ok(()), sys::arm).map_err(Error::from);
    let exit = match armed.and_then(|()| cli.command.run(&mut ctx)) {
        Ok(exit) => exit,
        Err(error) => {
            error.print(&ctx.printer);
            error.exit()
        }
    };
    if let Some(fault) = fault.filter(|_| sys::faults_allowed()) {
        ctx.printer.always(format_args!("{fault}: {} effects in all", sys::effects()));
    }
    finish(&ctx.printer, exit).code().into()
}

// What breaks a host is in the help of those alone who have allowed it.
fn parse(args: Vec<OsString>) -> Result<Cli, clap::Error> {
    let mut command = Cli::command().mut_arg("fault", |fault| fault.hide(!sys::faults_allowed()));
    let matches = command.try_get_matches_from_mut(with_command(args))?;
    Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

// Puts `install` in front of options that stand alone. Options of install before another command stay what they
// are, and are refused there: `--yes rollback` must not lose its `--yes` without a word.
fn with_command(mut args: Vec<OsString>) -> Vec<OsString> {
    let cli = Cli::command();
    let install = cli.find_subcommand("install").into_iter().flat_map(clap::Command::get_arguments);
    let valued: Vec<String> = install
        .chain(cli.get_arguments())
        .filter(|argument| argument.get_action().takes_values())
        .filter_map(|argument| Some(format!("--{}", argument.get_long()?)))
        .collect();
    let mut words = args.iter().skip(1).map(|word| word.to_string_lossy());
    while let Some(word) = words.next() {
        if !word.starts_with('-') || ["-h", "--help", "-V", "--version"].contains(&&*word) {
            return args;
        }
        if valued.iter().any(|option| *option == word) {
            words.next();
        }
    }
    args.insert(args.len().min(1), "install".into());
    args
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
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn install_is_meant_when_nothing_is_said() {
        for (said, meant) in [
            ("x", "x install"),
            ("x --yes --json", "x install --yes --json"),
            ("x --bundle status", "x install --bundle status"),
            ("x --bundle=status", "x install --bundle=status"),
            ("x --color never", "x install --color never"),
            ("x --json history", "x --json history"),
            ("x --yes rollback", "x --yes rollback"),
            ("x rollback --yes", "x rollback --yes"),
            ("x --help", "x --help"),
            ("x -q --version", "x -q --version"),
        ] {
            let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
            assert_eq!(with_command(words(said)), words(meant), "{said}");
        }
        let parses =
            |text: &str| Cli::try_parse_from(with_command(text.split(' ').map(OsString::from).collect()));
        assert!(matches!(parses("x --yes --json").unwrap().command, Command::Install(_)));
        assert!(matches!(parses("x --json history").unwrap().command, Command::History(_)));
        assert!(parses("x --yes rollback").is_err());
    }
}
