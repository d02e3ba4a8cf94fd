//! The changes of packages, units and firewall as data: what the plan decided is what apply does.

use chom_format::step::Rule;
use chom_format::{AccountName, Digest, PackageName};
use serde::Serialize;

/// What a change does, for the kinds whose `apply` needs more than the step itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Detail {
    /// The step itself says it all.
    #[default]
    None,
    /// Packages that dpkg will unpack.
    Packages {
        /// In the order in which apt names them.
        moves: Vec<PackageMove>,
        /// Of dpkg's own list of packages, as the plan found it.
        status: Option<Digest>,
    },
    /// An account is made.
    Account {
        /// User and group.
        name: AccountName,
    },
    /// A unit is enabled, started, reloaded.
    Unit(UnitMove),
    /// Rules of the firewall.
    Firewall(FirewallMove),
}

impl Detail {
    /// Whether there is nothing to tell.
    pub fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }
}

/// One package on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PackageMove {
    /// Which.
    pub name: PackageName,
    /// The version that is there now; none when it is new.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The version that will be there.
    pub to: String,
}

/// What is done to a unit, in this order: daemon-reload, reset-failed, enable or disable, run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct UnitMove {
    /// The manager reads unit files again.
    pub daemon_reload: bool,
    /// Its failure is forgotten first.
    pub reset_failed: bool,
    /// Enabled or disabled; none when that is right already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable: Option<bool>,
    /// Started, stopped, reloaded or restarted; none when it is left alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<Run>,
}

/// What happens to the processes of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "named after systemctl's verbs")]
pub enum Run {
    Start,
    Stop,
    Reload,
    Restart,
}

/// What is done to the firewall.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct FirewallMove {
    /// Rules to add, the openings for ssh first.
    pub add: Vec<Rule>,
    /// Rules of ours that nobody wants any longer.
    pub remove: Vec<Rule>,
    /// The firewall is switched on, after the rules are in.
    pub enable: bool,
    /// By a table of nftables that is ours, because there is no ufw; the rules are then all there are.
    pub sieve: bool,
}
