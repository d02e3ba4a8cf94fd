//! What the run changed: the difference of two looks at the system, as far as it is the run's.

use std::collections::{BTreeMap, BTreeSet};

use chom_format::{Digest, HostPath, PackageName};
use serde::{Deserialize, Serialize};

use super::super::Resource;
use super::areas;
use super::before::Before;
use super::claims::{Claims, last_sign_of_life};
use super::entry::{Entry, Scan};
use super::packages::Installed;
use crate::sys::{Kind, Stamp, Sys, SysError};

const ACCOUNT_FILES: [&str; 4] = ["/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow"];

/// The paths that changed.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Delta {
    pub(super) paths: BTreeMap<HostPath, Change>,
    /// What dpkg had installed when the step was done.
    pub(super) packages: Installed,
    /// The step was done: what differs from `is` now was changed by others since.
    pub(super) done: bool,
    /// Accounts that the step made; none when that was not noted.
    #[serde(default)]
    pub(super) accounts: Option<BTreeSet<String>>,
}

/// One path, before and after.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Change {
    pub(super) was: Option<Entry>,
    pub(super) is: Option<Entry>,
    /// It is the packages' work and can be had again; otherwise it is kept when it must leave.
    pub(super) ours: bool,
}

impl Change {
    pub(super) fn is_dir(&self) -> bool {
        [&self.was, &self.is].into_iter().flatten().any(|entry| entry.kind == Kind::Dir)
    }
}

impl Delta {
    /// Right after the step.
    pub(super) fn after(
        sys: &dyn Sys,
        before: &Before,
        brings: &[PackageName],
        replaces: &[PackageName],
    ) -> Result<Self, SysError> {
        let mut delta = Self::between(sys, before, brings, replaces, None)?;
        delta.packages = Installed::read(sys)?;
        delta.done = true;
        Ok(delta)
    }

    /// When the step was cut off: what is there now is its half-done work.
    pub(super) fn cut_off(
        sys: &dyn Sys,
        before: &Before,
        brings: &[PackageName],
        replaces: &[PackageName],
    ) -> Result<Self, SysError> {
        let until = last_sign_of_life(sys)?;
        Self::between(sys, before, brings, replaces, Some(until))
    }

    fn between(
        sys: &dyn Sys,
        before: &Before,
        brings: &[PackageName],
        replaces: &[PackageName],
        until: Option<Stamp>,
    ) -> Result<Self, SysError> {
        let now = Scan::take(sys, Some(&before.scan))?;
        let packages = brings.iter().chain(replaces);
        let claims = Claims::of(sys, &before.scan, &before.uids, packages, until)?;
        let mut delta = Self::default();
        let mut new = BTreeSet::new();
        for (path, is) in &now.0 {
            let was = before.scan.0.get(path);
            let ours = match was {
                Some(was) => changed(was, Some(is)) && claims.is_changed(path, was, Some(is)),
                None => claims.is_new(path, is, &new) && new.insert(path.clone()),
            };
            if ours {
                delta.add(path, was, Some(is), &claims);
            }
        }
        for (path, was) in before.scan.0.iter().filter(|(path, _)| !now.0.contains_key(*path)) {
            if claims.is_changed(path, was, None) {
                delta.add(path, Some(was), None, &claims);
            }
        }
        delta.add_shared_parents(before, &now, &claims);
        Ok(delta)
    }

    fn add(&mut self, path: &HostPath, was: Option<&Entry>, is: Option<&Entry>, claims: &Claims) {
        let ours = claims.listed.contains(path.as_str())
            || is_dpkg_temporary(path.name())
            || is.is_none_or(|is| !claims.is_later(is));
        let change = Change { was: was.cloned(), is: is.cloned(), ours };
        self.paths.insert(path.clone(), change);
    }

    /// Directories that others share, and that have a name more or less by us: their time goes back as well.
    fn add_shared_parents(&mut self, before: &Before, now: &Scan, claims: &Claims) {
        let parents: BTreeSet<HostPath> = self.paths.keys().filter_map(HostPath::parent).collect();
        for path in parents {
            if let (false, Some(was), Some(is)) =
                (self.paths.contains_key(&path), before.scan.0.get(&path), now.0.get(&path))
            {
                self.add(&path, Some(was), Some(is), claims);
            }
        }
    }

    /// Those of the paths that are due, to be put back whatever they have become: dpkg has been at work since, and what
    /// others had made of them is put aside.
    pub(super) fn taken_for_ours(&self, due: &dyn Fn(&HostPath, &Change) -> bool) -> Self {
        let paths = self.paths.iter().filter(|(path, change)| due(path, change));
        let paths = paths.map(|(path, change)| (path.clone(), Change { ours: true, ..change.clone() }));
        Self {
            paths: paths.collect(),
            packages: self.packages.clone(),
            done: false,
            accounts: self.accounts.clone(),
        }
    }

    /// Whether another resource, saved later, is put back with this.
    pub(super) fn settles(&self, other: &Resource) -> bool {
        match other {
            Resource::Path { path, .. } | Resource::Folder { path } | Resource::Listing { path } => {
                self.paths.contains_key(path) || self.is_below_new(path)
            }
            Resource::Account { .. } => ACCOUNT_FILES.iter().any(|file| self.paths.contains_key(*file)),
            Resource::System { .. }
            | Resource::Unit { .. }
            | Resource::Firewall
            | Resource::Database { .. } => false,
        }
    }

    fn is_below_new(&self, path: &HostPath) -> bool {
        let mut parent = path.parent();
        while let Some(dir) = parent {
            if self.paths.get(&dir).is_some_and(|change| change.was.is_none()) {
                return true;
            }
            parent = dir.parent();
        }
        false
    }

    /// What is still not as it was.
    pub(super) fn remaining(
        &self,
        sys: &dyn Sys,
        before: &Before,
        earlier: &BTreeSet<HostPath>,
    ) -> Result<Vec<(HostPath, &'static str)>, SysError> {
        let mut named = Vec::new();
        for (path, change) in self.paths.iter().filter(|(path, _)| !earlier.contains(*path)) {
            let now = Entry::look(sys, path)?;
            let difference = match (&change.was, &now) {
                (None, None) => None,
                (None, Some(_)) => Some("is still there"),
                (Some(_), None) => Some("is missing"),
                (Some(was), Some(now)) if was.kind == Kind::Dir && now.kind == Kind::Dir => {
                    differs_as_dir(sys, before, path, was, now)?.then_some("has other attributes")
                }
                (Some(was), Some(now)) if !was.looks_like(now) => Some("differs"),
                (Some(was), Some(_)) if was.kind == Kind::File => {
                    differs_in_content(sys, before, path)?.then_some("has other content")
                }
                (Some(_), Some(_)) => None,
            };
            named.extend(difference.map(|difference| (path.clone(), difference)));
        }
        Ok(named)
    }
}

/// Whether a path changed in any way that can be told. A directory's status also changes with every name that
/// comes and goes in it; its time tells that.
fn changed(was: &Entry, is: Option<&Entry>) -> bool {
    let Some(is) = is else { return true };
    match was.kind {
        Kind::File => !was.is_same_file(is),
        Kind::Dir | Kind::Link | Kind::Fifo | Kind::Socket | Kind::Block | Kind::Char => !was.looks_like(is),
    }
}

fn differs_as_dir(
    sys: &dyn Sys,
    before: &Before,
    path: &HostPath,
    was: &Entry,
    now: &Entry,
) -> Result<bool, SysError> {
    if was.looks_like(now) {
        return Ok(false);
    }
    // Others made names in it meanwhile, so the time is theirs.
    let mut timeless = now.clone();
    timeless.attrs.mtime = was.attrs.mtime;
    Ok(!was.looks_like(&timeless) || same_names(sys, before, path)?)
}

/// Whether a directory holds the names that it held before.
pub(super) fn same_names(sys: &dyn Sys, before: &Before, dir: &HostPath) -> Result<bool, SysError> {
    let mut now = sys.list(dir)?;
    now.retain(|name| {
        let path = format!("{}/{name}", dir.as_str().trim_end_matches('/'));
        !areas::is_skipped(&path)
    });
    let mut names: Vec<&str> = before.scan.names(dir);
    names.sort_unstable();
    Ok(now == names)
}

/// Whether a file has other content than its copy; one without a copy is told by looking alone.
pub(super) fn differs_in_content(sys: &dyn Sys, before: &Before, path: &HostPath) -> Result<bool, SysError> {
    let Some(copy) = before.copies.get(path) else { return Ok(false) };
    let (found, _) = Digest::of_reader(sys.open(path)?).map_err(SysError::io("read", path))?;
    Ok(found != copy.sha256)
}

/// A name under which dpkg holds a file while it works.
fn is_dpkg_temporary(name: &str) -> bool {
    name.ends_with(".dpkg-new") || name.ends_with(".dpkg-tmp")
}
