//! A unit: whether it runs, and the links by which it is enabled or masked.
//!
//! Its unit file and drop-ins are paths, and are put back as such. The links are put back here one by one and
//! not by `systemctl disable`, which would take every link of the unit away, also those that were there
//! before. Before any path comes back a unit that this run started or restarted is stopped; after that
//! it is started again when it ran before, with the files of before. What it writes outside its data is a part of it
//! ([`super::written`]).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use chom_format::{HostPath, UnitName};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::kind::{Pass, Policy, ResourceKind, room_of_saved};
use super::store::below;
use super::written::{self, Written};
use super::{Declared, Fingerprint, ResourceHandler, Restored, Saved, Store, from_value, to_value};
use crate::redact;
use crate::sys::{Attrs, Command, Effect, Kind, Sys, SysError, named};
use crate::systemd::{self, UnitState};

const UNITS: &str = "/etc/systemd/system";
const RUN: &str = "/run";
const LINK_DIRS: [&str; 3] = [".wants", ".requires", ".upholds"];
const RUN_LEVELS: [&str; 8] = ["0", "1", "2", "3", "4", "5", "6", "S"];
// Longer than systemd's own patience with a unit that does not stop.
const TIMEOUT: Duration = Duration::from_secs(150);
const POLL: Duration = Duration::from_millis(100);

pub(super) struct UnitResource<'a> {
    pub(super) unit: &'a UnitName,
    pub(super) writes: &'a [HostPath],
}

/// What is saved, and what is compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    /// It runs. A unit that had failed and one that was stopped are the same here; see `lost`.
    running: bool,
    /// It is masked, at boot or now.
    masked: bool,
    /// Links that enable, alias or mask it.
    links: BTreeMap<HostPath, Link>,
    /// What it writes outside its data.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    written: Written,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Link {
    target: String,
    attrs: Attrs,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Before {
    seen: Seen,
    /// Names one run of the unit.
    invocation: String,
    /// Moves with every reload, and is kept by the manager when it reads its files again.
    changed: String,
    /// Directories for links that were there.
    dirs: Vec<HostPath>,
    /// There was such a unit. Links to one that there was not are ours to take, whoever made them.
    #[serde(default = "yes")]
    existed: bool,
    /// It had failed.
    #[serde(default)]
    failed: bool,
}

// What an older journal does not tell is read the careful way.
fn yes() -> bool {
    true
}

impl ResourceKind for UnitResource<'_> {
    fn words(&self) -> String {
        format!("unit {}", self.unit)
    }

    fn policy(&self) -> Policy {
        Policy {
            pass: Pass::Units,
            made_at_path: false,
            any_step_changes: true,
            services_stop: true,
            outlived_by_children: false,
            manager_reloads: true,
            keeps_what_others_made: false,
            asks_for_earlier: false,
        }
    }

    fn room_at(&self) -> Result<HostPath, SysError> {
        named("/etc")
    }

    fn room(&self, objects: &[u64]) -> u64 {
        room_of_saved(objects)
    }

    fn may_change(&self, path: &HostPath) -> bool {
        self.writes.contains(path)
    }

    fn own_paths(&self) -> Vec<HostPath> {
        self.writes.to_vec()
    }

    fn files(&self, _: &dyn Sys) -> Result<Vec<HostPath>, SysError> {
        Ok(Vec::new())
    }
}

impl ResourceHandler for UnitResource<'_> {
    fn save(&self, sys: &mut dyn Sys, store: &Store) -> Result<Saved, SysError> {
        let state = self.state(sys)?;
        let (written, objects) = written::save(sys, store, self.writes)?;
        let seen = Seen { written, ..self.seen(sys, &state)? };
        let fingerprint = Fingerprint::of(&seen);
        let existed = state.exists();
        let failed = state.active == "failed";
        let (invocation, changed) = (state.invocation, state.changed);
        let before = Before { seen, invocation, changed, dirs: dirs(sys)?, existed, failed };
        Ok(Saved { state: to_value(&before)?, objects, fingerprint })
    }

    fn fingerprint(&self, sys: &dyn Sys) -> Result<Fingerprint, SysError> {
        Ok(Fingerprint::of(&self.seen(sys, &self.state(sys)?)?))
    }

    fn after(&self, sys: &mut dyn Sys, _: &Store, _: &Saved) -> Result<Value, SysError> {
        to_value(&self.seen(sys, &self.state(sys)?)?)
    }

    fn listings(&self, sys: &dyn Sys) -> Result<Vec<HostPath>, SysError> {
        let run: HostPath = named(RUN)?;
        let mut listings = vec![named(UNITS)?];
        listings.extend(dirs(sys)?);
        listings.extend(run_levels()?);
        // Directories in memory change their times with every socket.
        let lasting = |dir: &HostPath| !dir.is_within(&run);
        listings.extend(self.writes.iter().filter_map(HostPath::parent).filter(lasting));
        Ok(listings)
    }

    fn declared(
        &self,
        sys: &dyn Sys,
        _: &Store,
        saved: &Saved,
        _: Option<&Value>,
    ) -> Result<Declared, SysError> {
        let before: Before = saved.read()?;
        let now = self.seen(sys, &UnitState::default())?;
        let links = before.seen.links.into_keys().chain(now.links.into_keys());
        let paths = links.chain(self.writes.iter().cloned()).chain(dirs(sys)?).collect();
        Ok(Declared { paths, ..Declared::default() })
    }

    fn quiesce(
        &self,
        sys: &mut dyn Sys,
        store: &Store,
        saved: &Saved,
        after: Option<&Value>,
    ) -> Result<(), SysError> {
        let before: Before = saved.read()?;
        let now = self.state(sys)?;
        if let Some(after) = after {
            let after: Seen = from_value(after)?;
            written::keep_foreign(sys, store, &before.seen.written, &after.written)?;
        }
        let idle = matches!(now.active.as_str(), "" | "inactive" | "failed");
        let same_run = before.seen.running && now.invocation == before.invocation;
        if !idle && !same_run {
            self.systemctl(sys, "stop")?;
        }
        // Before the directories of these links are compared, lest they pass for somebody else's.
        if !before.existed {
            let seen = self.seen(sys, &now)?;
            self.restore_links(sys, &before, &seen)?;
        }
        // What is in the way of it now is told by `restore`.
        written::put_back(sys, store, &before.seen.written).map(drop)
    }

    fn restore(
        &self,
        sys: &mut dyn Sys,
        store: &Store,
        saved: &Saved,
        after: Option<&Value>,
    ) -> Result<Restored, SysError> {
        let before: Before = saved.read()?;
        let state = self.state(sys)?;
        let now = self.seen(sys, &state)?;
        let ours = match after {
            // Units are stopped before anything else is put back, so only the links can tell.
            Some(after) => from_value::<Seen>(after)?.links == now.links || now.links == before.seen.links,
            None => true,
        };
        if self.restore_links(sys, &before, &now)? || state.stale {
            self.manager(sys, "daemon-reload")?;
        }
        if let Some(reason) = self.restore_running(sys, &before)? {
            return Ok(Restored::Stuck { reason });
        }
        match written::put_back(sys, store, &before.seen.written)? {
            Err(reason) => return Ok(Restored::Stuck { reason }),
            Ok(kept) if !kept.is_empty() => return Ok(Restored::Foreign { kept }),
            Ok(_) => {}
        }
        Ok(match (ours, now == before.seen) {
            (false, _) => Restored::Foreign { kept: Vec::new() },
            (true, true) => Restored::AlreadyBefore,
            (true, false) => Restored::Restored,
        })
    }

    // A unit is started, stopped and forgiven, and never told to fail; to start it for that would be to try our luck.
    fn lost(&self, sys: &dyn Sys, saved: &Saved) -> Result<Option<String>, SysError> {
        let before: Before = saved.read()?;
        let lost = before.failed && self.state(sys)?.active != "failed";
        Ok(lost.then(|| {
            format!(
                "unit {0} had failed before, and is stopped now: systemd cannot be told that it failed; to try it \
                 again: systemctl start {0}",
                self.unit
            )
        }))
    }

    // Whether it runs is the boot's business first, which goes by the links.
    fn restore_early(
        &self,
        sys: &mut dyn Sys,
        store: &Store,
        saved: &Saved,
        after: Option<&Value>,
    ) -> Result<Option<Restored>, SysError> {
        let before: Before = saved.read()?;
        if let Some(after) = after {
            let after: Seen = from_value(after)?;
            written::keep_foreign(sys, store, &before.seen.written, &after.written)?;
        }
        if let Err(reason) = written::put_back(sys, store, &before.seen.written)? {
            return Ok(Some(Restored::Stuck { reason }));
        }
        let now = self.seen(sys, &UnitState::default())?;
        self.restore_links(sys, &before, &now)?;
        Ok(None)
    }

    fn differences(
        &self,
        sys: &dyn Sys,
        _: &Store,
        saved: &Saved,
        _: Option<&Value>,
        _: &BTreeSet<HostPath>,
    ) -> Result<Vec<String>, SysError> {
        let before: Before = saved.read()?;
        let now = self.seen(sys, &self.state(sys)?)?;
        Ok(differences(&before.seen, &now))
    }
}

impl UnitResource<'_> {
    fn state(&self, sys: &dyn Sys) -> Result<UnitState, SysError> {
        systemd::read_one(sys, self.unit)
    }

    fn seen(&self, sys: &dyn Sys, state: &UnitState) -> Result<Seen, SysError> {
        let mut links = BTreeMap::new();
        let mut places = vec![named(UNITS)?];
        places.extend(dirs(sys)?);
        for dir in places {
            self.links_in(sys, &dir, &mut links, &|name| name == self.unit.as_str())?;
        }
        let stem = self.unit.as_str().trim_end_matches(".service");
        for dir in run_levels()? {
            // `S01nginx`
            self.links_in(sys, &dir, &mut links, &|name| name.get(3..) == Some(stem))?;
        }
        let written = written::look(sys, self.writes)?;
        Ok(Seen { running: state.is_running(), masked: state.load == "masked", links, written })
    }

    // Links of its name, and links of another name that lead to it.
    fn links_in(
        &self,
        sys: &dyn Sys,
        dir: &HostPath,
        links: &mut BTreeMap<HostPath, Link>,
        named: &dyn Fn(&str) -> bool,
    ) -> Result<(), SysError> {
        for name in sys.list(dir)? {
            let place = below(dir, &name)?;
            if sys.meta(&place)?.map(|meta| meta.kind) != Some(Kind::Link) {
                continue;
            }
            let target = sys.link(&place)?;
            let leads_here = target.rsplit('/').next() == Some(self.unit.as_str());
            if !named(&name) && !leads_here {
                continue;
            }
            if let Some(attrs) = sys.attrs(&place)? {
                links.insert(place, Link { target, attrs });
            }
        }
        Ok(())
    }

    /// Whether anything was to be done.
    fn restore_links(&self, sys: &mut dyn Sys, before: &Before, now: &Seen) -> Result<bool, SysError> {
        let wanted = &before.seen.links;
        for path in now.links.keys().filter(|path| !wanted.contains_key(*path)) {
            sys.effect(&Effect::Remove { path })?;
        }
        for (path, link) in wanted.iter().filter(|(path, link)| now.links.get(*path) != Some(*link)) {
            if let Some(dir) = path.parent()
                && sys.meta(&dir)?.is_none()
            {
                sys.effect(&Effect::MakeDir { path: &dir, attrs: &super::private(0o755) })?;
            }
            sys.effect(&Effect::MakeLink { path, target: &link.target, attrs: Some(&link.attrs) })?;
        }
        for dir in dirs(sys)?.iter().filter(|dir| !before.dirs.contains(dir)) {
            if sys.list(dir)?.is_empty() {
                sys.effect(&Effect::RemoveDir { path: dir })?;
            }
        }
        Ok(now.links != *wanted)
    }

    /// The reason why not, when it does not run as before.
    fn restore_running(&self, sys: &mut dyn Sys, before: &Before) -> Result<Option<String>, SysError> {
        let now = self.state(sys)?;
        if !before.seen.running {
            if now.is_running() || now.active == "activating" {
                self.systemctl(sys, "stop")?;
            }
            // One that had failed, whoever made it fail now, is as it was.
            if !before.failed && self.state(sys)?.active == "failed" {
                self.systemctl(sys, "reset-failed")?;
            }
            return Ok(None);
        }
        if now.is_running() && now.invocation == before.invocation {
            // The same processes as before; they have read our files if they were reloaded since.
            if now.can_reload && now.changed != before.changed {
                self.systemctl(sys, "reload")?;
            }
            return Ok(None);
        }
        if now.active == "failed" {
            self.systemctl(sys, "reset-failed")?;
        }
        let verb = if now.is_running() { "restart" } else { "start" };
        let complaint = self.systemctl(sys, verb)?;
        let deadline = Instant::now() + TIMEOUT;
        while Instant::now() < deadline {
            let now = self.state(sys)?;
            if now.is_running() {
                return Ok(None);
            }
            if matches!(now.active.as_str(), "failed" | "inactive") {
                break;
            }
            thread::sleep(POLL);
        }
        Ok(Some(format!(
            "it ran before and does not {verb} now; look at: journalctl -u {}\n{}",
            self.unit,
            redact::text(&complaint)
        )))
    }

    // What it says is no reason to stop putting things back: what counts is read from the unit afterwards.
    fn systemctl(&self, sys: &mut dyn Sys, verb: &str) -> Result<String, SysError> {
        Ok(systemd::run(sys, verb, self.unit, TIMEOUT)?.complaint())
    }

    fn manager(&self, sys: &mut dyn Sys, verb: &str) -> Result<(), SysError> {
        if sys.root() == Path::new("/") {
            sys.effect(&Effect::Run(&Command::new(["systemctl", verb]).timeout(TIMEOUT)))?;
        }
        Ok(())
    }
}

fn differences(before: &Seen, now: &Seen) -> Vec<String> {
    let mut lines = Vec::new();
    let word = |running| if running { "running" } else { "not running" };
    if before.running != now.running {
        lines.push(format!("it was {} and is {}", word(before.running), word(now.running)));
    }
    if before.masked != now.masked {
        lines.push(format!("it was {}masked", if before.masked { "" } else { "not " }));
    }
    lines.extend(
        now.links
            .keys()
            .filter(|path| !before.links.contains_key(*path))
            .map(|path| format!("{path} is new")),
    );
    for (path, link) in &before.links {
        match now.links.get(path) {
            None => lines.push(format!("{path} is missing")),
            Some(found) if found != link => lines.push(format!("{path} is another link")),
            Some(_) => {}
        }
    }
    lines.extend(written::differences(&before.written, &now.written));
    lines
}

// Directories in which links to units lie.
fn dirs(sys: &dyn Sys) -> Result<Vec<HostPath>, SysError> {
    let units = named(UNITS)?;
    let mut dirs = Vec::new();
    for name in sys.list(&units)? {
        if LINK_DIRS.iter().any(|suffix| name.ends_with(suffix)) {
            let dir = below(&units, &name)?;
            if sys.meta(&dir)?.is_some_and(|meta| meta.kind == Kind::Dir) {
                dirs.push(dir);
            }
        }
    }
    Ok(dirs)
}

// systemctl keeps the links of System V in step for units that also have an init script.
fn run_levels() -> Result<Vec<HostPath>, SysError> {
    RUN_LEVELS.iter().map(|level| named(&format!("/etc/rc{level}.d"))).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::sys::RealSys;

    fn store() -> Store {
        Store { objects: named("/objects").unwrap(), attic: named("/attic").unwrap() }
    }

    #[test]
    fn links_of_a_unit_that_was_not_there_go_before_paths_come_back() {
        let dir = tempfile::tempdir().unwrap();
        let wants = dir.path().join("etc/systemd/system/multi-user.target.wants");
        fs::create_dir_all(&wants).unwrap();
        let unit: UnitName = "a.service".parse().unwrap();
        let resource = UnitResource { unit: &unit, writes: &[] };
        let mut sys = RealSys::new(dir.path());
        let saved = resource.save(&mut sys, &store()).unwrap();
        symlink("/etc/systemd/system/a.service", wants.join("a.service")).unwrap();
        symlink("/etc/systemd/system/b.service", wants.join("b.service")).unwrap();
        resource.quiesce(&mut sys, &store(), &saved, None).unwrap();
        let left: Vec<_> = fs::read_dir(&wants).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["b.service"]);
    }

    #[test]
    fn links_come_back_exactly_and_only_those_of_the_unit() {
        let dir = tempfile::tempdir().unwrap();
        let units = dir.path().join("etc/systemd/system");
        fs::create_dir_all(units.join("multi-user.target.wants")).unwrap();
        fs::create_dir_all(dir.path().join("etc/rc2.d")).unwrap();
        symlink("/lib/systemd/system/a.service", units.join("multi-user.target.wants/a.service")).unwrap();
        symlink("/lib/systemd/system/b.service", units.join("multi-user.target.wants/b.service")).unwrap();
        let unit: UnitName = "a.service".parse().unwrap();
        let resource = UnitResource { unit: &unit, writes: &[] };
        let mut sys = RealSys::new(dir.path());
        let saved = resource.save(&mut sys, &store()).unwrap();

        fs::remove_file(units.join("multi-user.target.wants/a.service")).unwrap();
        fs::create_dir(units.join("x.target.wants")).unwrap();
        symlink("/lib/systemd/system/a.service", units.join("x.target.wants/a.service")).unwrap();
        symlink("/lib/systemd/system/a.service", units.join("alias.service")).unwrap();
        symlink("../init.d/a", dir.path().join("etc/rc2.d/S01a")).unwrap();
        let named = resource.differences(&sys, &store(), &saved, None, &BTreeSet::new()).unwrap();
        assert_eq!(named.len(), 4, "{named:?}");

        let restored = resource.restore(&mut sys, &store(), &saved, None).unwrap();
        assert_eq!(restored, Restored::Restored);
        assert_eq!(
            resource.differences(&sys, &store(), &saved, None, &BTreeSet::new()).unwrap(),
            Vec::<String>::new()
        );
        assert_eq!(resource.fingerprint(&sys).unwrap(), saved.fingerprint);
        assert!(!units.join("x.target.wants").exists());
        assert!(units.join("multi-user.target.wants/b.service").is_symlink());
        assert_eq!(resource.restore(&mut sys, &store(), &saved, None).unwrap(), Restored::AlreadyBefore);
    }
}
