//! What lies where the plan wants to write.

use std::collections::BTreeSet;

use chom_format::HostPath;
use chom_format::step::Phase;

use super::Finding;
use crate::plan::Plan;
use crate::step::{Decision, Detail, Planned, Upcoming};
use crate::sys::mounts::Mount;
use crate::sys::{Kind, Sys, mounts};

const SHOWN: usize = 10;
/// Links that every merged Debian system has.
const OF_THE_SYSTEM: [&str; 7] = ["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/var/run", "/var/lock"];

/// Steps that must not be done. When one of the first phase is among them, only those: what comes later builds
/// on it, and would be refused for lack of it.
pub(super) fn refusals(plan: &Plan) -> Vec<Finding> {
    let refused = |planned: &'_ &Planned| matches!(planned.decision, Decision::Refuse { .. });
    let basic = plan.steps.iter().filter(refused).any(|planned| planned.phase == Phase::Prepare);
    let told = plan.steps.iter().filter(|planned| !basic || planned.phase == Phase::Prepare);
    let finding = |planned: &Planned| match &planned.decision {
        Decision::Refuse { conflict, remedy } => {
            Some(Finding::fail("conflict", format!("{}: {conflict}", planned.id), remedy.clone()))
        }
        Decision::Keep { .. } | Decision::Change(_) => None,
    };
    told.filter_map(finding).collect()
}

/// Can everything be written: no read-only mount, no immutable file or directory, no mount point to replace?
pub(super) fn writable(sys: &dyn Sys, plan: &[Planned]) -> Finding {
    const CHECK: &str = "writable";
    let mounts = mounts::read().unwrap_or_default();
    let on_host = crate::facts::is_host(sys.root());
    let mut problems = BTreeSet::new();
    for path in written(plan) {
        let place = nearest(sys, &path);
        let is_ro = sys.space(&place).is_ok_and(|space| space.read_only);
        let mount = mounts::of(&mounts, place.as_str()).filter(|_| on_host);
        if is_ro || mount.is_some_and(|mount| mount.read_only) {
            problems.insert(format!(
                "{} is mounted read-only",
                mount.map_or(place.as_str(), |mount| &mount.point)
            ));
            continue;
        }
        if mount.is_some_and(|mount| mount.point == path.as_str()) && !is_dir(sys, &path) {
            problems.insert(format!("{path} is a mount point: it cannot be replaced"));
        }
        let parent = path.parent().map(|parent| nearest(sys, &parent));
        for guarded in [Some(path), parent].into_iter().flatten() {
            if sys.is_immutable(&guarded) {
                problems.insert(format!("{guarded} is immutable (chattr +i or +a)"));
            }
        }
    }
    if on_host {
        problems.extend(mounted(&mounts, plan));
    }
    if problems.is_empty() {
        return Finding::pass(CHECK, "all places can be written");
    }
    let remedy = if problems.iter().any(|problem| problem.contains("immutable")) {
        "find out why it is protected, then: chattr -i -a PATH"
    } else if problems.iter().any(|problem| problem.contains("cannot be replaced")) {
        "find out what it is for, then: umount PLACE (bind mounts are listed by: findmnt)"
    } else {
        "mount -o remount,rw PLACE; when the system did it by itself, look into: dmesg"
    };
    Finding::fail(CHECK, list(problems.into_iter()), remedy)
}

/// File systems that are mounted on or below what is to be replaced or removed as a whole.
fn mounted(mounts: &[Mount], plan: &[Planned]) -> Vec<String> {
    let replaced = changes(plan).filter(|(_, upcoming)| !matches!(upcoming, Upcoming::Dir));
    let lines = replaced.flat_map(|(path, _)| {
        let found = mounts::at_or_below(mounts, path.as_str());
        found.map(move |mount| match mount.point == path.as_str() {
            true => format!("{path} is a mount point: it cannot be replaced"),
            false => format!("{path} cannot be replaced: {} is mounted in it", mount.point),
        })
    });
    lines.collect()
}

/// Files that somebody else put where ours will be, and directories where files should be or the reverse.
pub(super) fn in_the_way(sys: &dyn Sys, plan: &[Planned], ours: &BTreeSet<HostPath>) -> Vec<Finding> {
    let (mut foreign, mut clashes) = (Vec::new(), Vec::new());
    for (path, upcoming) in changes(plan) {
        let Some(kind) = sys.meta(path).ok().flatten().map(|meta| meta.kind) else { continue };
        let clash = match (upcoming, kind) {
            (Upcoming::Dir, Kind::Dir) => continue,
            (Upcoming::Dir, _) => Some("is no directory"),
            // A link takes the place of a whole directory; the step itself refuses what could not come back.
            (Upcoming::Link(_), Kind::Dir) => None,
            (_, Kind::Dir) => Some("is a directory, where a file should be"),
            _ => None,
        };
        match clash {
            Some(clash) => clashes.push(format!("{path} {clash}")),
            None if !ours.contains(path) => foreign.push(path.to_string()),
            None => {}
        }
    }
    let mut findings = Vec::new();
    if !clashes.is_empty() {
        findings.push(Finding::fail(
            "in-the-way",
            list(clashes.into_iter()),
            "move it away, for example to /root",
        ));
    }
    if foreign.is_empty() {
        findings.push(Finding::pass("foreign-files", "nothing of somebody else is replaced"));
    } else {
        let reason = format!("not from us and replaced: {}", list(foreign.into_iter()));
        findings.push(Finding::warn(
            "foreign-files",
            reason,
            "nothing to do: they are kept and come back with a rollback",
        ));
    }
    findings
}

/// Paths behind a link among their parents: what is written there lands in another tree. None is no finding.
pub(super) fn behind_links(sys: &dyn Sys, plan: &[Planned]) -> Option<Finding> {
    let mut links = BTreeSet::new();
    for (path, _) in changes(plan) {
        let mut parent = path.parent();
        while let Some(dir) = parent {
            let is_link = sys.meta(&dir).ok().flatten().is_some_and(|meta| meta.kind == Kind::Link);
            if is_link && !OF_THE_SYSTEM.contains(&dir.as_str()) {
                let target = sys.link(&dir).unwrap_or_default();
                links.insert(format!("{path} lies behind the link {dir} -> {target}"));
            }
            parent = dir.parent();
        }
    }
    if links.is_empty() {
        return None;
    }
    let remedy = "nothing to do when the link is meant: what is behind it comes back with a rollback as well";
    Some(Finding::warn("links", list(links.into_iter()), remedy))
}

pub(super) fn changes(plan: &[Planned]) -> impl Iterator<Item = (&HostPath, &Upcoming)> {
    plan.iter()
        .filter_map(|planned| match &planned.decision {
            Decision::Change(change) => Some(change.changes.iter()),
            _ => None,
        })
        .flatten()
        .map(|(path, upcoming)| (path, upcoming))
}

// Every path that will be written, our own state and what packages and accounts write to included.
fn written(plan: &[Planned]) -> BTreeSet<HostPath> {
    let mut paths: BTreeSet<HostPath> = changes(plan).map(|(path, _)| path.clone()).collect();
    let mut also = vec!["/var/lib/chom"];
    for planned in plan {
        let Decision::Change(change) = &planned.decision else { continue };
        paths.extend(change.writes.iter().map(|(path, _)| path.clone()));
        match &change.detail {
            Detail::Packages { .. } => also.extend(["/usr", "/etc", "/var/lib/dpkg", "/var/cache"]),
            Detail::Account { .. } => {
                also.extend(["/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow"])
            }
            Detail::Unit(_) => also.push("/etc/systemd/system"),
            Detail::Firewall(planned) if planned.sieve => also.extend(["/etc", "/etc/systemd/system"]),
            Detail::Firewall(_) => also.push("/etc/ufw"),
            Detail::None => {}
        }
    }
    paths.extend(also.iter().filter_map(|path| path.parse().ok()));
    paths
}

// The path itself, or the directory above it that exists.
fn nearest(sys: &dyn Sys, path: &HostPath) -> HostPath {
    let mut place = path.clone();
    while sys.meta(&place).ok().flatten().is_none() {
        let Some(parent) = place.parent() else { break };
        place = parent;
    }
    place
}

fn is_dir(sys: &dyn Sys, path: &HostPath) -> bool {
    sys.meta(path).ok().flatten().is_some_and(|meta| meta.kind == Kind::Dir)
}

pub(super) fn list(items: impl ExactSizeIterator<Item = String>) -> String {
    let total = items.len();
    let mut shown: Vec<String> = items.take(SHOWN).collect();
    if total > SHOWN {
        shown.push(format!("and {} more", total - SHOWN));
    }
    shown.join("\n")
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use std::fs;

    use super::*;
    use crate::step::{Change, Undo};
    use crate::sys::RealSys;

    fn planned(changes: &[(&str, Upcoming)]) -> Vec<Planned> {
        let changes = changes.iter().map(|(path, upcoming)| (path.parse().unwrap(), upcoming.clone()));
        let change = Change {
            verb: "replace",
            summary: "a file".into(),
            detail: Detail::None,
            diff: Vec::new(),
            undo: Undo::Exactly,
            writes: Vec::new(),
            changes: changes.collect(),
        };
        let (id, phase) = ("web/a".parse().unwrap(), Phase::Install);
        vec![Planned {
            id,
            component: "web".parse().unwrap(),
            phase,
            decision: Decision::Change(change),
            seen: Vec::new(),
        }]
    }

    #[test]
    fn foreign_files_are_named_and_clashes_refused() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("etc/web/dir")).unwrap();
        for file in ["hand-made", "ours"] {
            fs::write(root.path().join("etc/web").join(file), "x").unwrap();
        }
        let sys = RealSys::new(root.path());
        let link = |text: &str| Upcoming::Link(text.to_owned());
        let plan = planned(&[
            ("/etc/web", Upcoming::Dir),
            ("/etc/web/new", link("x")),
            ("/etc/web/hand-made", link("x")),
            ("/etc/web/ours", Upcoming::Absent),
        ]);
        let ours = BTreeSet::from(["/etc/web/ours".parse().unwrap()]);
        let findings = in_the_way(&sys, &plan, &ours);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].level, Level::Warn);
        assert_eq!(findings[0].reason, "not from us and replaced: /etc/web/hand-made");

        let plan = planned(&[("/etc/web/dir", Upcoming::Absent), ("/etc/web/ours", Upcoming::Dir)]);
        let findings = in_the_way(&sys, &plan, &ours);
        assert_eq!(findings[0].level, Level::Fail);
        assert_eq!(
            findings[0].reason,
            "/etc/web/dir is a directory, where a file should be\n/etc/web/ours is no directory"
        );
    }

    #[test]
    fn a_link_among_the_parents_is_named() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("srv/real")).unwrap();
        fs::create_dir_all(root.path().join("etc")).unwrap();
        std::os::unix::fs::symlink("/srv/real", root.path().join("etc/web")).unwrap();
        std::os::unix::fs::symlink("usr/lib", root.path().join("lib")).unwrap();
        let sys = RealSys::new(root.path());
        let plan = planned(&[("/etc/web/conf/a", Upcoming::Dir), ("/lib/x", Upcoming::Dir)]);
        let finding = behind_links(&sys, &plan).unwrap();
        assert_eq!(finding.level, Level::Warn);
        assert_eq!(finding.reason, "/etc/web/conf/a lies behind the link /etc/web -> /srv/real");
        assert_eq!(behind_links(&sys, &planned(&[("/etc/a", Upcoming::Dir)])), None);
    }

    #[test]
    fn an_immutable_file_is_named_before_anything_happens() {
        // Memory file systems have no such attribute.
        let root = tempfile::tempdir_in("/var/tmp").unwrap();
        fs::create_dir_all(root.path().join("etc")).unwrap();
        fs::write(root.path().join("etc/a"), "").unwrap();
        let chattr = |how: &str| {
            let done = std::process::Command::new("chattr").arg(how).arg(root.path().join("etc/a")).status();
            assert!(done.unwrap().success(), "chattr {how}: as root, on a disk");
        };
        chattr("+i");
        let finding = writable(&RealSys::new(root.path()), &planned(&[("/etc/a", Upcoming::Absent)]));
        chattr("-i");
        assert_eq!(finding.level, Level::Fail, "{finding:?}");
        assert!(finding.reason.contains("/etc/a is immutable"), "{finding:?}");
    }

    #[test]
    fn places_that_can_be_written_can() {
        let root = tempfile::tempdir().unwrap();
        let finding = writable(&RealSys::new(root.path()), &planned(&[("/etc/web/a", Upcoming::Dir)]));
        assert_eq!(finding.level, Level::Pass, "{finding:?}");
    }
}
