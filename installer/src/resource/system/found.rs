//! What has changed in the places of packages although nobody declared it: no step, no package and no unit.
//!
//! Two looks at `/etc`, `/usr` and the databases of dpkg and its helpers: one before the first effect of a transaction, one
//! when all of it is done. What differs and belongs to nothing that was saved is *found*: it is named, is put back by
//! nobody, and is no part of the proof. What was not looked into is named as well.

use std::collections::BTreeSet;
use std::fmt;

use chom_format::HostPath;
use serde::{Deserialize, Serialize};

use super::super::Fingerprint;
use super::areas;
use super::entry::{Entry, Scan};
use crate::sys::{Kind, Sys, SysError};

/// How these places looked at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look(Scan);

/// What a transaction says of its own changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Declared {
    /// Paths, each by itself.
    pub paths: BTreeSet<HostPath>,
    /// Directories with all that is in them.
    pub trees: BTreeSet<HostPath>,
}

/// What was seen beside what was declared.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sought {
    /// What nobody declared.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub found: Vec<Found>,
    /// Places that were not looked into.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unseen: Vec<HostPath>,
}

/// One path that is not as it was, and that nobody declared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Which.
    pub path: HostPath,
    /// In which way.
    pub change: Way,
    /// How it looked before.
    pub before: Fingerprint,
}

/// How a path has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// It was not there.
    Made,
    /// It is another, or has other attributes or another time.
    Changed,
    /// It is gone.
    Removed,
}

impl Look {
    /// Looks.
    pub fn take(sys: &dyn Sys) -> Result<Self, SysError> {
        Ok(Self(Scan::exact(sys)?))
    }

    /// How it was when all of a system was looked at.
    pub(super) fn of(scan: &Scan) -> Self {
        let exact = |(path, _): &(&HostPath, &Entry)| areas::is_exact(path.as_str());
        Self(Scan(scan.0.iter().filter(exact).map(|(path, entry)| (path.clone(), entry.clone())).collect()))
    }

    /// What is not as it was, and is not declared.
    pub fn sought(&self, sys: &dyn Sys, declared: &Declared) -> Result<Sought, SysError> {
        let now = Self::take(sys)?;
        Ok(Sought { found: self.found(&now, declared), unseen: unseen(sys, &now.0)? })
    }

    fn found(&self, now: &Self, declared: &Declared) -> Vec<Found> {
        let paths: BTreeSet<&HostPath> = self.0.0.keys().chain(now.0.0.keys()).collect();
        let mut found = Vec::new();
        for path in paths.into_iter().filter(|path| !declared.holds(path)) {
            let (was, is) = (self.0.0.get(path), now.0.0.get(path));
            let change = match (was, is) {
                (None, Some(_)) => Way::Made,
                (Some(_), None) => Way::Removed,
                (Some(was), Some(is)) if !was.looks_like(is) => Way::Changed,
                _ => continue,
            };
            found.push(Found { path: path.clone(), change, before: seen(was) });
        }
        // The time of a directory follows from the names in it.
        let parents: BTreeSet<HostPath> = found.iter().filter_map(|found| found.path.parent()).collect();
        let follows = |found: &Found| {
            let (was, is) = (self.0.0.get(&found.path), now.0.0.get(&found.path));
            parents.contains(&found.path) && was.zip(is).is_some_and(|(was, is)| same_but_time(was, is))
        };
        found.retain(|found| !follows(found));
        found
    }
}

impl Declared {
    /// Whether a change of this path is declared.
    fn holds(&self, path: &HostPath) -> bool {
        self.paths.contains(path) || self.trees.iter().any(|tree| path.is_within(tree))
    }

    /// Both together.
    pub fn extend(&mut self, other: Self) {
        self.paths.extend(other.paths);
        self.trees.extend(other.trees);
    }
}

impl Sought {
    /// The places that were not looked into, in words.
    pub fn unseen(&self) -> Vec<String> {
        self.unseen.iter().map(|path| format!("{path}, which is a file system of its own")).collect()
    }

    /// The same as it is now: what has come back to what it was by itself is no longer found.
    pub fn again(mut self, sys: &dyn Sys) -> Result<Self, SysError> {
        let mut left = Vec::new();
        for found in self.found {
            if seen(Entry::look(sys, &found.path)?.as_ref()) != found.before {
                left.push(found);
            }
        }
        self.found = left;
        Ok(self)
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.path;
        match self.change {
            Way::Made => write!(f, "{path} was not there before"),
            Way::Changed => write!(f, "{path} is not as it was"),
            Way::Removed => write!(f, "{path} is gone"),
        }
    }
}

fn seen(entry: Option<&Entry>) -> Fingerprint {
    Fingerprint::of(&entry.map(|entry| (entry.kind, entry.size, &entry.attrs, &entry.target, entry.rdev)))
}

fn same_but_time(was: &Entry, is: &Entry) -> bool {
    let mut timeless = is.clone();
    timeless.attrs.mtime = was.attrs.mtime;
    was.kind == Kind::Dir && was.looks_like(&timeless)
}

// Directories in which other file systems begin.
fn unseen(sys: &dyn Sys, scan: &Scan) -> Result<Vec<HostPath>, SysError> {
    let mut unseen = Vec::new();
    let below = |path: &HostPath| areas::exact_roots().all(|root| root != path.as_str());
    for (path, _) in scan.0.iter().filter(|(path, entry)| entry.kind == Kind::Dir && below(path)) {
        if let (Some(own), Some(parent)) = (sys.meta(path)?, path.parent())
            && sys.meta(&parent)?.is_some_and(|parent| parent.dev != own.dev)
        {
            unseen.push(path.clone());
        }
    }
    Ok(unseen)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::sys::RealSys;

    #[test]
    fn what_nobody_declared_is_found_until_it_is_as_before() {
        let dir = tempfile::tempdir().unwrap();
        let etc = dir.path().join("etc");
        fs::create_dir_all(etc.join("app")).unwrap();
        fs::create_dir_all(dir.path().join("var/lib/dpkg/alternatives")).unwrap();
        for name in ["kept", "edited", "removed", "app/declared"] {
            fs::write(etc.join(name), "before").unwrap();
        }
        let sys = RealSys::new(dir.path());
        let before = Look::take(&sys).unwrap();
        fs::write(etc.join("edited"), "after, by a unit").unwrap();
        fs::remove_file(etc.join("removed")).unwrap();
        fs::write(etc.join("app/declared"), "after, by a step").unwrap();
        fs::write(dir.path().join("var/lib/dpkg/alternatives/made"), "by a unit").unwrap();
        fs::create_dir_all(dir.path().join("var/lib/app")).unwrap();
        let paths = BTreeSet::from(["/etc/app/declared".parse().unwrap()]);
        let declared = Declared { paths, ..Declared::default() };
        let sought = before.sought(&sys, &declared).unwrap();
        let named: Vec<String> = sought.found.iter().map(ToString::to_string).collect();
        assert_eq!(
            named,
            [
                "/etc/edited is not as it was",
                "/etc/removed is gone",
                "/var/lib/dpkg/alternatives/made was not there before"
            ]
        );
        fs::remove_file(dir.path().join("var/lib/dpkg/alternatives/made")).unwrap();
        let left = sought.again(&sys).unwrap();
        assert_eq!(left.found.len(), 2, "{left:?}");
        let trees = BTreeSet::from(["/etc".parse().unwrap(), "/var/lib/dpkg".parse().unwrap()]);
        let all = Declared { trees, ..Declared::default() };
        assert_eq!(before.sought(&sys, &all).unwrap(), Sought::default());
    }
}
