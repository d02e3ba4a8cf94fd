//! Compares two readings of a host. Pure; each difference is one plain line that says what was and what is.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use chom_format::diff::Edit;
use serde::{Deserialize, Serialize};

use super::Capture;
use super::entry::Entry;
use super::system::{Package, UnitState, User};

/// Something that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Difference {
    /// Of what.
    pub part: Part,
    /// Which: a path, a package, a unit...
    pub name: String,
    /// What was, and what is.
    pub change: String,
}

/// The part of a host that a difference is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// The root file system.
    Path,
    /// dpkg and apt.
    Package,
    /// `/etc/passwd` and `/etc/shadow`.
    User,
    /// `/etc/group`.
    Group,
    /// systemd.
    Unit,
    /// nftables.
    Firewall,
    /// Who listens where.
    Socket,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Path => "path",
            Self::Package => "package",
            Self::User => "user",
            Self::Group => "group",
            Self::Unit => "unit",
            Self::Firewall => "firewall",
            Self::Socket => "socket",
        })
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.part, self.name, self.change)
    }
}

pub(super) fn compare(before: &Capture, after: &Capture) -> Vec<Difference> {
    let mut all = Vec::new();
    maps(&mut all, Part::Path, &before.tree, &after.tree, |entry| entry.kind.to_string(), entries);
    maps(&mut all, Part::Package, &before.packages, &after.packages, package, packages);
    maps(&mut all, Part::User, &before.users, &after.users, user, users);
    maps(&mut all, Part::Group, &before.groups, &after.groups, String::clone, |was, is| {
        vec![changed("line", was, is)]
    });
    maps(&mut all, Part::Unit, &before.units, &after.units, unit, units);
    firewall(&mut all, &before.firewall, &after.firewall);
    sockets(&mut all, &before.sockets, &after.sockets);
    all
}

fn maps<T: PartialEq>(
    all: &mut Vec<Difference>,
    part: Part,
    before: &BTreeMap<String, T>,
    after: &BTreeMap<String, T>,
    tell: impl Fn(&T) -> String,
    compare: impl Fn(&T, &T) -> Vec<String>,
) {
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for name in names {
        let changes = match (before.get(name), after.get(name)) {
            (Some(was), Some(is)) if was != is => compare(was, is),
            (Some(was), None) => vec![format!("is gone; it was {}", tell(was))],
            (None, Some(is)) => vec![format!("was not there; it is {}", tell(is))],
            _ => Vec::new(),
        };
        all.extend(changes.into_iter().map(|change| Difference { part, name: name.clone(), change }));
    }
}

fn entries(was: &Entry, is: &Entry) -> Vec<String> {
    let mut changes = Vec::new();
    if was.kind != is.kind {
        changes.push(format!("was {}, is {}", was.kind, is.kind));
    }
    if was.mode != is.mode {
        changes.push(changed("mode", &format!("{:04o}", was.mode), &format!("{:04o}", is.mode)));
    }
    if (was.uid, was.gid) != (is.uid, is.gid) {
        changes.push(changed(
            "owner",
            &format!("{}:{}", was.uid, was.gid),
            &format!("{}:{}", is.uid, is.gid),
        ));
    }
    if was.mtime != is.mtime {
        changes.push(changed("mtime", &time(was.mtime), &time(is.mtime)));
    }
    let names: BTreeSet<&String> = was.xattrs.keys().chain(is.xattrs.keys()).collect();
    for name in names {
        let value =
            |entry: &Entry| entry.xattrs.get(name).map_or("none".to_owned(), |value| format!("\"{value}\""));
        if was.xattrs.get(name) != is.xattrs.get(name) {
            changes.push(changed(&format!("xattr {name}"), &value(was), &value(is)));
        }
    }
    changes
}

fn package(package: &Package) -> String {
    let auto = if package.auto { ", automatic" } else { "" };
    format!("{} ({}{auto})", package.version, package.status)
}

fn packages(was: &Package, is: &Package) -> Vec<String> {
    vec![format!("was {}, is {}", package(was), package(is))]
}

fn user(user: &User) -> String {
    format!("{}{}", user.line, if user.shadow { "" } else { " (no line in /etc/shadow)" })
}

fn users(was: &User, is: &User) -> Vec<String> {
    vec![changed("line", &user(was), &user(is))]
}

fn unit(unit: &UnitState) -> String {
    let file = if unit.file.is_empty() { "without a file" } else { &unit.file };
    let active = if unit.active.is_empty() { "inactive" } else { &unit.active };
    format!("{file}, {active}")
}

fn units(was: &UnitState, is: &UnitState) -> Vec<String> {
    vec![format!("was {}, is {}", unit(was), unit(is))]
}

fn firewall(all: &mut Vec<Difference>, was: &str, is: &str) {
    for (edit, _, line) in chom_format::diff::lines(was, is) {
        let what = match edit {
            Edit::Gone => "is gone",
            Edit::New => "was not there",
        };
        let name = format!("`{}`", line.trim());
        all.push(Difference { part: Part::Firewall, name, change: what.to_owned() });
    }
}

fn sockets(all: &mut Vec<Difference>, was: &BTreeSet<String>, is: &BTreeSet<String>) {
    let mut say = |name: &String, change: &str| {
        all.push(Difference { part: Part::Socket, name: name.clone(), change: change.to_owned() });
    };
    was.difference(is).for_each(|name| say(name, "nobody listens any more"));
    is.difference(was).for_each(|name| say(name, "nobody listened"));
}

fn changed(what: &str, was: &str, is: &str) -> String {
    format!("{what} was {was}, is {is}")
}

fn time(time: Option<(i64, u32)>) -> String {
    let Some((seconds, nanos)) = time else { return "not read".to_owned() };
    match i32::try_from(nanos).ok().and_then(|nanos| jiff::Timestamp::new(seconds, nanos).ok()) {
        Some(moment) => format!("{moment:.9}"),
        None => format!("{seconds}.{nanos:09}"),
    }
}

#[cfg(test)]
mod tests {
    use chom_format::Digest;

    use super::super::entry::Kind;
    use super::*;

    fn file(content: &str) -> Entry {
        let kind = Kind::File { size: content.len() as u64, sha256: Digest::of(content.as_bytes()) };
        Entry { kind, mode: 0o644, uid: 0, gid: 0, mtime: Some((1_700_000_000, 5)), xattrs: BTreeMap::new() }
    }

    fn lines(before: &Capture, after: &Capture) -> Vec<String> {
        compare(before, after).iter().map(Difference::to_string).collect()
    }

    #[test]
    fn nothing_differs_from_itself() {
        let capture = Capture { tree: [("/a".to_owned(), file("a"))].into(), ..Capture::default() };
        assert_eq!(compare(&capture, &capture), []);
    }

    #[test]
    fn every_property_of_a_path_has_its_line() {
        let before = Capture { tree: [("/a".to_owned(), file("a"))].into(), ..Capture::default() };
        let mut after = before.clone();
        let entry = after.tree.get_mut("/a").unwrap();
        entry.mode = 0o600;
        entry.gid = 7;
        entry.mtime = Some((1_700_000_000, 6));
        entry.xattrs.insert("user.x".to_owned(), "1".to_owned());
        entry.kind = Kind::Link { to: "b".to_owned() };
        assert_eq!(
            lines(&before, &after),
            [
                "path /a: was a file of 1 bytes, sha256 ca978112, is a link to b",
                "path /a: mode was 0644, is 0600",
                "path /a: owner was 0:0, is 0:7",
                "path /a: mtime was 2023-11-14T22:13:20.000000005Z, is 2023-11-14T22:13:20.000000006Z",
                "path /a: xattr user.x was none, is \"1\"",
            ]
        );
    }

    #[test]
    fn gone_and_new_in_every_part() {
        let unit = |file: &str, active: &str| UnitState { file: file.into(), active: active.into() };
        let before = Capture {
            units: [("a.service".to_owned(), unit("enabled", "active running"))].into(),
            groups: [("adm".to_owned(), "x:4:".to_owned())].into(),
            firewall: "table inet a {\n}\n".to_owned(),
            sockets: ["tcp 0.0.0.0:22 sshd".to_owned()].into(),
            ..Capture::default()
        };
        let after = Capture {
            units: [("a.service".to_owned(), unit("disabled", ""))].into(),
            groups: [("adm".to_owned(), "x:4:me".to_owned())].into(),
            packages: [(
                "jq:amd64".to_owned(),
                Package { version: "1".into(), status: "install ok installed".into(), auto: true },
            )]
            .into(),
            users: [("me".to_owned(), User { line: "x:1:1::/:/bin/sh".into(), shadow: false })].into(),
            ..Capture::default()
        };
        assert_eq!(
            lines(&before, &after),
            [
                "package jq:amd64: was not there; it is 1 (install ok installed, automatic)",
                "user me: was not there; it is x:1:1::/:/bin/sh (no line in /etc/shadow)",
                "group adm: line was x:4:, is x:4:me",
                "unit a.service: was enabled, active running, is disabled, inactive",
                "firewall `table inet a {`: is gone",
                "firewall `}`: is gone",
                "socket tcp 0.0.0.0:22 sshd: nobody listens any more",
            ]
        );
    }
}
