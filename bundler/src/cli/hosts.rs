//! `--host` and `--all`, for the commands that work on hosts.

use chom_format::HostName;
use clap::Args;

use crate::resolve::Fleet;
use crate::resolve::choose::{self, ChoiceError};

/// `--host NAME` (repeatable) or `--all`. With neither, the only host of the inventory is meant.
#[derive(Debug, Clone, Default, Args)]
pub struct Hosts {
    /// A host of the inventory (repeatable)
    #[arg(long, value_name = "NAME", conflicts_with = "all")]
    pub host: Vec<String>,
    /// Every host of the inventory
    #[arg(long)]
    pub all: bool,
}

impl Hosts {
    /// The chosen hosts, sorted, each once.
    pub fn pick(&self, fleet: &Fleet) -> Result<Vec<HostName>, ChoiceError> {
        choose::hosts(fleet, &self.host, self.all)
    }
}
