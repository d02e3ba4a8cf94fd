//! Units as systemd sees them: all that a plan or the checks ask for in one question, since one `systemctl`
//! takes as long as all the rest of a quick look. And the one way in which units are started.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use chom_format::UnitName;

use crate::sys::{Command, Effect, Output, Sys, SysError};

const PROPERTIES: &str = "Id,Names,LoadState,ActiveState,SubState,UnitFileState,NeedDaemonReload,CanReload,\
    NRestarts,MainPID,Type,InvocationID,FragmentPath,Result,StateChangeTimestampMonotonic,\
    ActiveEnterTimestampMonotonic";

/// The units of a manifest as they were at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    units: BTreeMap<UnitName, UnitState>,
    /// When systemd was asked; never, when it was not.
    at: Option<Instant>,
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
    /// Names one run of the unit: another one after every start and restart.
    pub invocation: String,
    /// When its state changed last, reloads included; the manager's own clock.
    pub changed: String,
    /// When it became active, in microseconds of CLOCK_MONOTONIC; 0 when it is not.
    pub since: u64,
    /// Its unit file.
    pub fragment: String,
    /// `simple`, `notify`, `oneshot`; empty for units that are no services.
    pub kind: String,
    /// How it ended: `success`, `exit-code`, `timeout`, `start-limit-hit`.
    pub result: String,
}

impl UnitState {
    /// Whether systemd knows a unit of this name.
    pub fn exists(&self) -> bool {
        !matches!(self.load.as_str(), "" | "not-found")
    }

    /// Whether its processes run, or it has done its work and counts as there.
    pub fn is_running(&self) -> bool {
        matches!(self.active.as_str(), "active" | "reloading" | "refreshing") && self.sub != "auto-restart"
    }

    /// Whether it ran to its end, as it should: a job, and no service that goes on.
    pub fn is_done(&self) -> bool {
        let ended = self.kind == "oneshot" && self.active == "inactive" && self.result == "success";
        ended && !self.invocation.is_empty()
    }

    /// Whether it is started at boot.
    pub fn is_enabled(&self) -> bool {
        matches!(self.file.as_str(), "enabled" | "enabled-runtime" | "alias")
    }
}

impl Snapshot {
    /// Asks systemd for these units. A host that is a directory has no manager, and so no unit that runs.
    pub fn read<'a>(sys: &dyn Sys, names: impl IntoIterator<Item = &'a UnitName>) -> Result<Self, SysError> {
        let names: Vec<&UnitName> = names.into_iter().collect();
        if names.is_empty() || sys.root() != Path::new("/") {
            return Ok(Self::default());
        }
        let mut argv = vec!["systemctl", "show", "--no-pager", "--property", PROPERTIES, "--"];
        argv.extend(names.iter().map(|name| name.as_str()));
        let output = sys.ask(&Command::new(argv))?;
        if !output.success() {
            return Err(SysError::other("ask", "systemd", output.complaint()));
        }
        Ok(Self::parse(&names, &output.text()))
    }

    /// Reads the answer of `systemctl show`: one block for each name, in the order of the names.
    fn parse(names: &[&UnitName], answer: &str) -> Self {
        let blocks = answer.split("\n\n").map(state);
        let units = names.iter().map(|name| (*name).clone()).zip(blocks).collect();
        Self { units, at: Some(Instant::now()) }
    }

    /// Whether all of these were asked for, not longer ago than this.
    pub fn holds<'a>(&self, mut names: impl Iterator<Item = &'a UnitName>, age: Duration) -> bool {
        self.at.is_some_and(|at| at.elapsed() <= age) && names.all(|name| self.units.contains_key(name))
    }

    /// A unit as it was; one that is not known at all when it was not asked for.
    pub fn unit(&self, name: &UnitName) -> UnitState {
        self.units.get(name).cloned().unwrap_or_default()
    }
}

/// One unit as it is now.
pub fn read_one(sys: &dyn Sys, name: &UnitName) -> Result<UnitState, SysError> {
    Ok(Snapshot::read(sys, [name])?.unit(name))
}

/// Starts, restarts, reloads or stops a unit, and returns what was said. When systemd refuses because it was started too
/// often of late, that is forgotten and it is asked again: it was we who came so often, and a service that ran before
/// would stay down for it.
pub fn run(sys: &mut dyn Sys, verb: &str, unit: &UnitName, timeout: Duration) -> Result<Output, SysError> {
    let command = |verb| Command::new(["systemctl", verb, unit.as_str()]).timeout(timeout);
    let output = sys.effect(&Effect::Run(&command(verb)))?;
    if output.success() || read_one(sys, unit)?.result != "start-limit-hit" {
        return Ok(output);
    }
    sys.effect(&Effect::Run(&command("reset-failed")))?;
    sys.effect(&Effect::Run(&command(verb)))
}

fn state(block: &str) -> UnitState {
    let fields: BTreeMap<&str, &str> = block.lines().filter_map(|line| line.split_once('=')).collect();
    let text = |name| fields.get(name).copied().unwrap_or_default().to_owned();
    let number = |name| text(name).parse().unwrap_or(0);
    let time = |name| text(name).parse().unwrap_or(0);
    UnitState {
        load: text("LoadState"),
        active: text("ActiveState"),
        sub: text("SubState"),
        file: text("UnitFileState"),
        stale: text("NeedDaemonReload") == "yes",
        can_reload: text("CanReload") == "yes",
        restarts: number("NRestarts"),
        main_pid: number("MainPID"),
        invocation: text("InvocationID"),
        changed: text("StateChangeTimestampMonotonic"),
        since: time("ActiveEnterTimestampMonotonic"),
        fragment: text("FragmentPath"),
        kind: text("Type"),
        result: text("Result"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_gets_its_block() {
        let (a, b): (UnitName, UnitName) = ("a.service".parse().unwrap(), "b.service".parse().unwrap());
        let answer = "LoadState=loaded\nActiveState=active\nSubState=running\nUnitFileState=enabled\nMainPID=7\n\
            CanReload=yes\nNeedDaemonReload=no\n\nLoadState=not-found\nActiveState=inactive\nSubState=dead\n";
        let snapshot = Snapshot::parse(&[&a, &b], answer);
        let (a, b) = (snapshot.unit(&a), snapshot.unit(&b));
        assert!(a.is_running() && a.is_enabled() && a.can_reload && !a.stale);
        assert_eq!(a.main_pid, 7);
        assert_eq!((b.load.as_str(), b.is_running(), b.is_enabled()), ("not-found", false, false));
    }

    #[test]
    fn a_unit_that_waits_for_its_restart_does_not_run() {
        let state = state("ActiveState=activating\nSubState=auto-restart");
        assert!(!state.is_running());
    }
}
