//! Options that every command takes.

use clap::Args;

use crate::logger::Talk;
use crate::sys::Fault;
use crate::ui::Color;

/// Options that every command takes.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Global options")]
pub struct Globals {
    /// Print the result as JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// When to use colour
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value_t)]
    pub color: Color,
    /// Say nothing but errors and warnings
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say more
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// For tests, with CHOM_FAULTS=1: let an effect go wrong, as in `kill-after@120`
    #[arg(long, global = true, hide = true, value_name = "KIND@NUMBER")]
    pub fault: Option<Fault>,
}

impl Globals {
    /// How much is said on stderr.
    pub fn talk(&self) -> Talk {
        match (self.quiet, self.verbose) {
            (true, _) => Talk::Quiet,
            (false, true) => Talk::Verbose,
            (false, false) => Talk::Normal,
        }
    }
}
