//! Units as systemd sees them, read for all units of a manifest in one question.

use std::collections::BTreeMap;

use chom_format::UnitName;

/// The units of a manifest as they were at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    units: BTreeMap<UnitName, UnitState>,
}

/// One unit, in systemd's own words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnitState {
    /// `loaded`, `not-found`, `masked`, `error`.
    pub load: String,
    /// `active`, `inactive`, `failed`, `activating`.
    pub active: String,
    /// `running`, `exited`, `dead`, `auto-restart`.
    pub sub: String,
    /// `enabled`, `disabled`, `static`, `masked`; empty when there is no unit file.
    pub file: String,
    /// The unit file on the disk is newer than what the manager has read.
    pub stale: bool,
    /// It has an `ExecReload`.
    pub can_reload: bool,
    /// Times that systemd restarted it by itself.
    pub restarts: u32,
    /// First process; 0 when there is none.
    pub main_pid: u32,
}

impl Snapshot {
    /// A unit as it was; one that is not known at all when it was not asked for.
    pub fn unit(&self, name: &UnitName) -> UnitState {
        self.units.get(name).cloned().unwrap_or_default()
    }
}
