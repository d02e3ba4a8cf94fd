//! Everything that a host is, read from outside while it runs, and the comparison of two such readings.
//!
//! Owns what counts as the state of a host: the tree of its root file system, packages, accounts, units,
//! firewall and listening sockets. What does not count stands in [`skip`], path by path, with the reason.
//! It never writes to the host and runs nothing in it but `systemctl`.

mod diff;
pub mod entry;
pub mod skip;
mod system;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::thread;

use serde::{Deserialize, Serialize};

pub use diff::{Difference, Part};
pub use entry::Entry;
pub use system::{Package, UnitState, User};
pub use tree::HashCache;

use super::error::RehearseError;
use super::host::Host;

/// The state of a host at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Capture {
    /// Every path of the root file system that counts, absolute.
    pub tree: BTreeMap<String, Entry>,
    /// By `name:architecture`.
    pub packages: BTreeMap<String, Package>,
    /// Lines of `/etc/passwd`, by name.
    pub users: BTreeMap<String, User>,
    /// Lines of `/etc/group`, by name: id and members.
    pub groups: BTreeMap<String, String>,
    /// Units that are on disk or active, by name.
    pub units: BTreeMap<String, UnitState>,
    /// `nft -s list ruleset`, read with this machine's own nft.
    pub firewall: String,
    /// `protocol address:port program`.
    pub sockets: BTreeSet<String>,
}

impl Capture {
    /// Reads a running host. Contents that have not changed since they were last read are not read again.
    pub fn take(host: &Host, hashes: &mut HashCache) -> Result<Self, RehearseError> {
        let root = host.root();
        let name = host.name().as_str();
        // systemd takes its time to list its units, in which the tree can be read.
        thread::scope(|scope| {
            let units = scope.spawn(|| system::units(host));
            let tree = tree::read(&root, name, hashes)?;
            let units = units
                .join()
                .map_err(|_| system::failure("units", name, "a thread has died".to_owned()))??;
            Ok(Self {
                tree,
                units,
                packages: system::packages(&root, name)?,
                users: system::users(&root, name)?,
                groups: system::groups(&root, name)?,
                firewall: system::firewall(host)?,
                sockets: system::sockets(host)?,
            })
        })
    }

    /// What is not as it was; empty when nothing is.
    pub fn diff(before: &Self, after: &Self) -> Vec<Difference> {
        diff::compare(before, after)
    }
}

/// The running services of a host and how each was started: what a second run must leave exactly so.
pub fn services(host: &Host) -> Result<BTreeMap<String, system::Started>, RehearseError> {
    system::services(host)
}

pub use system::Started;
