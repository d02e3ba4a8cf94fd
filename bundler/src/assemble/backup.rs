//! What of the host is backed up, and the timer that does it: a unit of ours like every other, file by file and step by
//! step.

use std::time::Duration;

use chom_format::backup::{BackupPart, BackupSpec};
use chom_format::step::{ActivateSpec, DirSpec, FileSpec, InstallSpec, Owner, Step, UnitSpec};
use chom_format::{HostPath, Mode, RelPath};

use super::{Work, ids};
use crate::child::{Child, ChildError};
use crate::problem::Problem;

const DIR: &str = "/etc/chom";
/// What is backed up, and how. The installer goes by the manifest that stands; this is for people, and makes another
/// policy a change that the plan shows, and that a transaction brings.
const NOTE: &str = "/etc/chom/backup.json";
const SERVICE: &str = "/etc/systemd/system/chom-backup.service";
const TIMER: &str = "/etc/systemd/system/chom-backup.timer";
/// Starting and stopping a timer is a matter of moments.
const TIMEOUT: u32 = 30;

impl Work<'_> {
    /// What is backed up; nothing when no component names anything. What cannot be is told.
    pub(super) fn backup(&mut self) -> Option<BackupSpec> {
        let spec = self.spec();
        let entries = || self.rendered.components.iter().flat_map(|component| &component.backup);
        let mut problems = Vec::new();
        for (name, fault) in spec.faults() {
            let part = name.and_then(|name| spec.parts.iter().rposition(|part| part.name == name));
            problems.push(match part.and_then(|part| entries().nth(part)) {
                Some(entry) => entry.at.problem(fault, "see docs/backup.md"),
                None => self.odd("directory", fault, "give the backups a directory of their own"),
            });
        }
        if spec.parts.is_empty() && self.host.backup.schedule.is_some() {
            let message =
                "a backup is wanted regularly, and no component of the host names anything to be backed up";
            problems.push(self.odd("schedule", message.to_owned(), "remove the schedule"));
        }
        self.problems.extend(problems);
        (!spec.parts.is_empty()).then_some(spec)
    }

    fn spec(&self) -> BackupSpec {
        let mut parts = Vec::new();
        for component in &self.rendered.components {
            parts.extend(component.backup.iter().map(|entry| BackupPart {
                name: ids::part(&component.name, &entry.value.id),
                component: component.name.clone(),
                limit: entry.value.limit,
                stop: entry.value.stop.clone(),
                timeout_s: entry.value.timeout,
                source: entry.value.source.clone(),
            }));
        }
        BackupSpec { policy: self.host.backup.policy.clone(), parts }
    }

    /// The directory of [`NOTE`].
    pub(super) fn backup_dir(&self) -> Option<DirSpec> {
        let nothing = self.rendered.components.iter().all(|component| component.backup.is_empty());
        let (path, mode) = (ids::fixed(DIR), Mode::from_bits(0o755));
        (!nothing).then(|| DirSpec { path, mode, owner: root(), data: false })
    }

    /// What is backed up, for people; and the timer with what it starts, when one is wanted.
    pub(super) fn backup_files(&mut self) -> Vec<Step<InstallSpec>> {
        let mut files = Vec::new();
        let spec = self.spec();
        if !spec.parts.is_empty()
            && let Ok(text) = serde_json::to_string_pretty(&spec)
        {
            files.push(self.file(NOTE, format!("{text}\n")));
        }
        files.extend(self.timer_files());
        files
    }

    fn timer_files(&mut self) -> Vec<Step<InstallSpec>> {
        let Some(schedule) = self.host.backup.schedule.clone() else { return Vec::new() };
        if let Err(why) = asked(&schedule) {
            let problem = self.odd(
                "schedule",
                format!("systemd does not take `{schedule}`: {why}"),
                "man systemd.time",
            );
            self.problems.push(problem);
        }
        let dir = self.host.backup.policy.dir.clone();
        let service = format!(
            "# Written by chom. Backs up what stands on this host; see: chom-install backup list\n\
             [Unit]\n\
             Description=Backup of what stands on this host\n\
             ConditionPathExists=/var/lib/chom/chom-install\n\
             RequiresMountsFor={dir}\n\
             \n\
             [Service]\n\
             Type=oneshot\n\
             ExecStart=/var/lib/chom/chom-install --quiet backup create\n\
             TimeoutStartSec=6h\n\
             Nice=10\n\
             IOSchedulingClass=idle\n"
        );
        let timer = format!(
            "# Written by chom.\n\
             [Unit]\n\
             Description=Backups of what stands on this host\n\
             \n\
             [Timer]\n\
             OnCalendar={schedule}\n\
             \n\
             [Install]\n\
             WantedBy=timers.target\n"
        );
        [(SERVICE, service), (TIMER, timer)].into_iter().map(|(path, text)| self.file(path, text)).collect()
    }

    /// The timer itself.
    pub(super) fn timer(&self) -> Option<Step<ActivateSpec>> {
        self.host.backup.schedule.as_ref()?;
        let spec = UnitSpec {
            unit: ids::fixed("chom-backup.timer"),
            enable: true,
            start: true,
            restart_on: vec![ids::fixed(TIMER)],
            reload_on: Vec::new(),
            runs: std::collections::BTreeMap::new(),
            writes: Vec::new(),
            timeout_s: TIMEOUT,
        };
        let component = ids::fixed("chom-backup");
        Some(Step { id: ids::of(&component, "timer"), component, spec: ActivateSpec::Unit(spec) })
    }

    fn file(&mut self, path: &'static str, text: String) -> Step<InstallSpec> {
        let path: HostPath = ids::fixed(path);
        let place = path
            .relative()
            .map_or_else(|| ids::fixed("files"), |path| ids::fixed::<RelPath>("files").join(&path));
        let content = self.content(place, text.into_bytes());
        let owner = root();
        let component = ids::fixed("chom-backup");
        let id = ids::of(&component, path.as_str());
        let spec = InstallSpec::File(FileSpec { path, content, mode: Mode::from_bits(0o644), owner });
        Step { id, component, spec }
    }

    fn odd(&self, key: &str, message: String, remedy: &str) -> Problem {
        Problem::at("inventory", (0, 0), format!("hosts.{}.backup.{key}", self.host.name), message, remedy)
    }
}

fn root() -> Owner {
    Owner { user: ids::fixed("root"), group: ids::fixed("root") }
}

/// Asks systemd, where there is one: it knows days that a month does not have.
fn asked(schedule: &str) -> Result<(), String> {
    let child = Child::new("systemd-analyze", Duration::from_secs(10)).args(["calendar", schedule]);
    match child.output() {
        Err(ChildError::Failed { stderr, .. }) => Err(stderr.lines().next().unwrap_or_default().to_owned()),
        // Not there, or not of an age that knows the question: the form was checked without it.
        Ok(_) | Err(_) => Ok(()),
    }
}
