//! Options that every command takes.

use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;

use crate::ui::{Color, Talk};

/// Options that every command takes.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Global options")]
pub struct Globals {
    /// The inventory
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "CHOM_INVENTORY",
        default_value = "inventory.yaml"
    )]
    pub inventory: PathBuf,
    /// A folder that holds `targets/` and `templates/`, laid over the built-in ones (repeatable, later wins)
    #[arg(long, global = true, value_name = "DIR")]
    pub targets: Vec<PathBuf>,
    /// Set one value for this run, over inventory and environment (repeatable)
    #[arg(long, global = true, value_name = "HOST.KEY=VALUE")]
    pub set: Vec<String>,
    /// Print the result as JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// When to use colour
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value_t)]
    pub color: Color,
    /// Say nothing but errors and warnings
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say more; twice: also what the libraries do
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

impl Globals {
    /// How much is said on stderr.
    pub fn talk(&self) -> Talk {
        match (self.quiet, self.verbose) {
            (true, _) => Talk::Quiet,
            (false, 0) => Talk::Normal,
            (false, _) => Talk::Verbose,
        }
    }

    /// Starts the log of the libraries below us; without `-vv` only their errors are shown.
    pub fn start_log(&self) {
        let level = if self.verbose > 1 { log::LevelFilter::Debug } else { log::LevelFilter::Error };
        // A second start is a test's, and harmless.
        let _ = env_logger::Builder::new()
            .filter_level(level)
            .format(|out, record| {
                let said = record.args().to_string();
                writeln!(out, "{} {}: {}", record.level(), record.target(), chom_format::shown(&said))
            })
            .try_init();
    }
}
