//! The way back once others have worked with packages: dpkg itself removes ours, and what is theirs stays.
//!
//! What is to happen is decided from dpkg's list as it was before, as the step left it, and as it is now. Ours that are
//! gone already need nothing, newer ones of ours go, and ours that a package of others needs stay. What a person may
//! want is put aside first, for dpkg purges without asking. When dpkg's list is that of before by then, the rest is put
//! back exactly; otherwise what neither others nor dpkg have touched since, and all that is not as before is told.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use chom_format::HostPath;

use super::super::store::below;
use super::super::{Obstacle, Restored, Store, attic};
use super::accounts::Lines;
use super::areas;
use super::before::Before;
use super::delta::Delta;
use super::entry::{Entry, Scan};
use super::lock::Lock;
use super::packages::{Installed, merged, owned_paths};
use super::undo;
use crate::dpkg::{self, Status};
use crate::sys::{Command, Effect, Kind, Sys, SysError, text_at};

/// As many packages and paths as a person reads.
const MOST_NAMED: usize = 8;

/// What dpkg is to do, and what is told of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Way {
    purge: Vec<String>,
    /// Some of ours stay.
    stays: bool,
    told: Vec<String>,
}

impl Way {
    /// The way from here. None when nobody has changed packages since, or when dpkg's list is that of before already.
    pub(super) fn find(sys: &dyn Sys, before: &Before, delta: &Delta) -> Result<Option<Self>, SysError> {
        let now = Installed::read(sys)?;
        if now == delta.packages || now == before.packages {
            return Ok(None);
        }
        let brought = Self::decide(&before.packages, &delta.packages, &now, &BTreeMap::new()).purge;
        let leaving: BTreeSet<&str> = brought.iter().map(|key| name(key)).collect();
        let needed = dpkg::needed(&text_at(sys, Status::PATH)?, &leaving);
        Ok(Some(Self::decide(&before.packages, &delta.packages, &now, &needed)))
    }

    /// `needed`: packages that cannot leave, each with the one that needs it.
    fn decide(
        before: &Installed,
        after: &Installed,
        now: &Installed,
        needed: &BTreeMap<String, String>,
    ) -> Self {
        let mut way = Self::default();
        let ours = after.differing(before);
        let theirs: Vec<&str> = now.differing(after).into_iter().filter(|key| !ours.contains(key)).collect();
        if !theirs.is_empty() {
            let change = |key: &&str| match (after.version(key), now.version(key)) {
                (None, new) => format!("{} {} is new", name(key), new.unwrap_or_default()),
                (Some(_), None) => format!("{} is removed", name(key)),
                (Some(old), Some(new)) => format!("{} {old} is {new} now", name(key)),
            };
            let changes: Vec<String> = theirs.iter().map(change).collect();
            way.told.push(format!("packages that others changed since stay so: {}", some(&changes)));
        }
        for key in ours {
            let name = name(key);
            match (before.version(key), after.version(key), now.version(key)) {
                (Some(old), _, Some(found)) if old == found => {}
                (Some(old), _, Some(found)) => {
                    way.stays = true;
                    way.told.push(format!(
                        "package {name} stays {found}: {old}, which was there before, is not to be had again beside \
                         what others changed"
                    ));
                }
                (Some(_), _, None) => way.told.push(format!("package {name} was removed by others")),
                (None, _, None) => {
                    way.told.push(format!("package {name} was removed by others already"));
                    // Its configuration is left.
                    way.purge.extend(now.knows(key).then(|| key.to_owned()));
                }
                (None, brought, Some(found)) => {
                    if let Some(by) = needed.get(name) {
                        way.stays = true;
                        way.told.push(format!("package {name} {found} stays: {by} needs it"));
                        continue;
                    }
                    if let Some(brought) = brought.filter(|brought| *brought != found) {
                        way.told.push(format!(
                            "package {name} {found}, which others had brought in the place of {brought}, was removed"
                        ));
                    }
                    way.purge.push(key.to_owned());
                }
            }
        }
        way
    }

    /// What dpkg itself says against it, when it is asked what it would do.
    pub(super) fn obstacle(&self, sys: &dyn Sys) -> Result<Option<Obstacle>, SysError> {
        if self.purge.is_empty() || sys.root() != Path::new("/") {
            return Ok(None);
        }
        let output = sys.ask(&self.command(&["--simulate"]))?;
        Ok((!output.success()).then(|| Obstacle {
            reason: format!("dpkg would not remove what was installed: {}", output.complaint()),
            remedy: format!(
                "mend what it names, and see it by: {}",
                self.command(&["--simulate"]).argv.join(" ")
            ),
        }))
    }

    fn command(&self, options: &[&str]) -> Command {
        // A hold says that nothing shall be upgraded behind somebody's back; this is asked for.
        let argv = ["dpkg"].iter().chain(options).chain(&["--force-hold", "--purge", "--"]).copied();
        Command::new(argv.chain(self.purge.iter().map(|key| key.trim_end_matches(":all"))))
            .env("DEBIAN_FRONTEND", "noninteractive")
            .env("DEBIAN_PRIORITY", "critical")
    }

    /// Goes it.
    pub(super) fn go(
        self,
        sys: &mut dyn Sys,
        lock: &mut Lock,
        store: &Store,
        before: &Before,
        delta: &Delta,
    ) -> Result<Restored, SysError> {
        let seen = Seen::before_dpkg(sys, before, delta)?;
        let lines = Lines::read(sys)?;
        let mut kept = seen.put_aside(sys, store, delta)?;
        if !self.purge.is_empty() {
            let output = lock.run(sys, self.command(&[]))?;
            if !output.success() {
                let reason = format!("packages could not be removed: {}", output.complaint());
                return Ok(Restored::Stuck { reason });
            }
        }
        let exactly = Installed::read(sys)? == before.packages;
        let rest = if exactly {
            kept.extend(seen.keep_changed(sys, store)?);
            delta.taken_for_ours(&|_, _| true)
        } else {
            let owned = owned_paths(sys, &Scan::take(sys, Some(&before.scan))?)?;
            delta.taken_for_ours(&|path, change| seen.is_due(path, change, &owned, self.stays))
        };
        let mut told = self.told;
        let mut differs = !exactly;
        match undo::undo(sys, store, before, &rest)? {
            Restored::Foreign { kept: more } => kept.extend(more),
            stuck @ Restored::Stuck { .. } => return Ok(stuck),
            Restored::Left { told: more, kept: others, differs: too } => {
                told.extend(more);
                kept.extend(others);
                differs |= too;
            }
            Restored::Restored | Restored::AlreadyBefore => {}
        }
        let held = lines.bring_back(sys, delta)?;
        differs |= !held.is_empty();
        told.extend(held);
        if !exactly {
            let remaining = delta.remaining(sys, before, &BTreeSet::new())?;
            let named: Vec<String> = remaining
                .into_iter()
                .filter(|(path, _)| !areas::is_dpkg_database(path.as_str()))
                .map(|(path, how)| format!("{path} {how}"))
                .collect();
            if !named.is_empty() {
                told.push(format!("not as before, by these packages: {}", some(&named)));
            }
        }
        Ok(Restored::Left { told, kept, differs })
    }
}

/// How the paths of the step looked before dpkg began.
struct Seen {
    /// As the step left them.
    untouched: BTreeSet<HostPath>,
    /// Those of the step that were there before it, and that others have changed since.
    changed: Vec<HostPath>,
    /// Owned by a package.
    owned: BTreeSet<String>,
    /// Of these, not as their package brought them.
    edited: BTreeSet<String>,
}

impl Seen {
    fn before_dpkg(sys: &dyn Sys, before: &Before, delta: &Delta) -> Result<Self, SysError> {
        let owned = owned_paths(sys, &before.scan)?;
        let edited = edited(sys, &before.scan, &before.packages, delta)?;
        let (mut untouched, mut changed) = (BTreeSet::new(), Vec::new());
        for (path, change) in &delta.paths {
            let now = Entry::look(sys, path)?;
            let same = match (&change.is, &now) {
                (Some(is), Some(now)) => is.looks_like(now),
                (None, None) => true,
                _ => false,
            };
            if same {
                untouched.insert(path.clone());
            } else if change.was.is_some()
                && now.is_some_and(|now| now.kind == Kind::File)
                && !areas::is_made_anew(path.as_str())
            {
                changed.push(path.clone());
            }
        }
        Ok(Self { untouched, changed, owned, edited })
    }

    /// Puts aside what dpkg and its scripts would take along: edited configuration, and names that others or services
    /// made in directories of the packages.
    fn put_aside(&self, sys: &mut dyn Sys, store: &Store, delta: &Delta) -> Result<Vec<HostPath>, SysError> {
        let mut kept = Vec::new();
        for (path, _) in delta.paths.iter().rev().filter(|(_, change)| change.was.is_none()) {
            let text = path.as_str();
            let Some(now) = Entry::look(sys, path)?.filter(|_| !areas::is_dpkg_database(text)) else {
                continue;
            };
            if now.kind == Kind::Dir {
                let names = sys.list(path)?;
                if areas::is_opaque(text) && !names.is_empty() {
                    // A script may want to find it, of a package that stays as well.
                    kept.push(attic::put_away(sys, store, path)?);
                    sys.effect(&Effect::MakeDir { path, attrs: &now.attrs })?;
                    continue;
                }
                for name in names {
                    let within = below(path, &name)?;
                    if !delta.paths.contains_key(&within) && !self.owned.contains(within.as_str()) {
                        kept.push(attic::put_away(sys, store, &within)?);
                    }
                }
            } else if now.kind == Kind::File && self.is_edited(path) {
                kept.push(attic::keep_copy(sys, store, path)?);
            }
        }
        Ok(kept)
    }

    fn is_edited(&self, path: &HostPath) -> bool {
        match self.owned.contains(path.as_str()) {
            true => self.edited.contains(path.as_str()),
            false => !self.untouched.contains(path),
        }
    }

    /// Copies of what others have changed, before it becomes what it was.
    fn keep_changed(&self, sys: &mut dyn Sys, store: &Store) -> Result<Vec<HostPath>, SysError> {
        let mut kept = Vec::new();
        for path in &self.changed {
            if sys.meta(path)?.is_some_and(|meta| meta.kind == Kind::File) {
                kept.push(attic::keep_copy(sys, store, path)?);
            }
        }
        Ok(kept)
    }

    /// Whether a path is still ours to put back, beside packages of others.
    fn is_due(
        &self,
        path: &HostPath,
        change: &super::delta::Change,
        owned: &BTreeSet<String>,
        stays: bool,
    ) -> bool {
        let dir = change.was.as_ref().is_some_and(|was| was.kind == Kind::Dir);
        // Of a directory from before only the time is ours, and only while it holds the names of before.
        if areas::is_dpkg_database(path.as_str()) || dir {
            return dir && !areas::is_dpkg_database(path.as_str());
        }
        // What a script made cannot be told to be that of a package that goes when others stay.
        !stays && !owned.contains(path.as_str()) && (change.was.is_none() || self.untouched.contains(path))
    }
}

/// The paths of installed packages of ours that are not as their package brought them, as dpkg tells.
fn edited(
    sys: &dyn Sys,
    scan: &Scan,
    before: &Installed,
    delta: &Delta,
) -> Result<BTreeSet<String>, SysError> {
    if sys.root() != Path::new("/") {
        return Ok(BTreeSet::new());
    }
    let now = Installed::read(sys)?;
    let ours = delta.packages.differing(before).into_iter().filter(|key| now.knows(key));
    let names = ours.map(|key| key.trim_end_matches(":all"));
    let command = Command::new(["dpkg", "--verify"].into_iter().chain(names)).timeout(super::lock::PATIENCE);
    let text = sys.ask(&command)?.text();
    // `??5?????? c /etc/redis/redis.conf`
    let path = |line: &str| line.find(" /").map(|at| merged(scan, line.get(at + 1..).unwrap_or_default()));
    Ok(text.lines().filter_map(path).collect())
}

/// The number of the Debian release that a host has, which its base files carry.
pub(super) fn release(installed: &Installed) -> Option<&str> {
    let key = installed.keys().find(|key| name(key) == "base-files")?;
    installed.version(key)?.split(['.', '+', '-', '~']).next()
}

fn name(key: &str) -> &str {
    key.split(':').next().unwrap_or_default()
}

fn some(all: &[String]) -> String {
    let more = all.len().saturating_sub(MOST_NAMED);
    let text = all.iter().take(MOST_NAMED).cloned().collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{text}, and {more} more") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn installed(text: &str) -> Installed {
        let stanza = |word: &str| {
            let (name, version) = word.split_once('=').unwrap();
            format!(
                "Package: {name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {version}\n\n"
            )
        };
        Installed::of(&Status::parse(&text.split_whitespace().map(stanza).collect::<String>()))
    }

    #[test]
    fn ours_go_and_theirs_stay() {
        let (before, after) = ("base-files=13.1 ssl=1 tool=1", "base-files=13.1 ssl=2 tool=1 web=1 lib=1");
        for (now, needed, purge, told) in [
            ("base-files=13.1 ssl=2 tool=2 web=1 lib=1 x=1", "", "web lib", "tool 1 is 2 now, x 1 is new"),
            ("base-files=13.1 ssl=2 web=1 lib=1", "", "web lib", "tool is removed"),
            ("base-files=13.1 ssl=2 tool=1 lib=1", "", "lib", "package web was removed by others already"),
            (
                "base-files=13.1 ssl=2 tool=1 web=2 lib=1",
                "",
                "web lib",
                "web 2, which others had brought in the place of 1, was removed",
            ),
            ("base-files=13.1 ssl=2 tool=1 web=1 lib=1 x=1", "lib", "web", "package lib 1 stays: x needs it"),
            ("base-files=13.1 ssl=3 tool=1 web=1 lib=1", "", "web lib", "package ssl stays 3"),
            ("base-files=13.1 tool=1", "", "", "package ssl was removed by others;"),
        ] {
            let needed = needed.split_whitespace().map(|name| (name.to_owned(), "x".to_owned())).collect();
            let way = Way::decide(&installed(before), &installed(after), &installed(now), &needed);
            let mut wanted: Vec<String> =
                purge.split_whitespace().map(|name| format!("{name}:amd64")).collect();
            wanted.sort();
            assert_eq!(way.purge, wanted, "{now}");
            let all = way.told.join("; ") + ";";
            assert!(all.contains(told), "{now}: {all}");
        }
        let way =
            Way::decide(&installed("a=1"), &installed("a=1 b=1"), &installed("a=1 b=2"), &BTreeMap::new());
        assert!(!way.stays && way.told.len() == 1, "{way:?}");
    }

    #[test]
    fn base_files_tell_the_release() {
        for (version, wanted) in [("12.4+deb12u5", "12"), ("13.8+deb13u1", "13"), ("14", "14")] {
            assert_eq!(release(&installed(&format!("base-files={version}"))), Some(wanted));
        }
        assert_eq!(release(&installed("other=1")), None);
    }
}
