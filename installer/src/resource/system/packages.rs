//! What dpkg says: which package owns which path, what is installed, who else has been at work.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;

use chom_format::{HostPath, PackageName};
use serde::{Deserialize, Serialize};

use super::super::Restored;
use super::before::Before;
use super::entry::Scan;
use crate::dpkg::{self, Status};
use crate::sys::{Sys, SysError, named};

const INFO: &str = "/var/lib/dpkg/info";

/// Version and state of every package that dpkg knows, by `name:arch`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Installed(BTreeMap<String, (String, String)>);

impl Installed {
    pub(super) fn read(sys: &dyn Sys) -> Result<Self, SysError> {
        Ok(Self::of(&Status::read(sys)?))
    }

    pub(super) fn of(status: &Status) -> Self {
        let row = |package: &dpkg::Package| {
            let key = format!("{}:{}", package.name, package.arch);
            (key, (package.version.clone(), package.state.clone()))
        };
        Self(status.all().map(row).collect())
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Whether dpkg knows a package, if only its configuration.
    pub(super) fn knows(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// Of a package that is there. What was removed and has left its configuration is not.
    pub(super) fn version(&self, key: &str) -> Option<&str> {
        let (version, state) = self.0.get(key)?;
        (!matches!(state.as_str(), "config-files" | "not-installed")).then_some(version.as_str())
    }

    /// The packages that are not the same in both.
    pub(super) fn differing<'a>(&'a self, other: &'a Self) -> BTreeSet<&'a str> {
        let keys = self.0.keys().chain(other.0.keys());
        keys.filter(|key| self.0.get(*key) != other.0.get(*key)).map(String::as_str).collect()
    }
}

/// Every path that some package owns, as it is on this system.
pub(super) fn owned_paths(sys: &dyn Sys, scan: &Scan) -> Result<BTreeSet<String>, SysError> {
    let info = named(INFO)?;
    let mut owned = BTreeSet::new();
    for name in sys.list(&info)?.iter().filter(|name| name.ends_with(".list")) {
        let path = super::super::store::below(&info, name)?;
        let mut bytes = Vec::new();
        sys.open(&path)?.read_to_end(&mut bytes).map_err(SysError::io("read", &path))?;
        owned.extend(String::from_utf8_lossy(&bytes).lines().map(|line| merged(scan, line)));
    }
    Ok(owned)
}

/// The paths that one package owns now.
pub(super) fn listed(
    sys: &dyn Sys,
    scan: &Scan,
    package: &PackageName,
) -> Result<BTreeSet<String>, SysError> {
    let lists = dpkg::file_lists(sys, package)?;
    Ok(lists.iter().flat_map(|list| list.lines()).map(|line| merged(scan, line)).collect())
}

/// dpkg may say `/lib/x` where the system has `/usr/lib/x`.
pub(super) fn merged(scan: &Scan, line: &str) -> String {
    let rest = line.trim_start_matches('/');
    let (top, below) = rest.split_once('/').unwrap_or((rest, ""));
    let link = format!("/{top}").parse::<HostPath>().ok().and_then(|path| scan.0.get(&path));
    match link.and_then(|entry| entry.target.as_deref()) {
        Some(target) if !below.is_empty() => format!("/{}/{below}", target.trim_start_matches('/')),
        _ => line.to_owned(),
    }
}

/// The versions of packages that are neither brought nor replaced by a run that was cut off are not its work: others
/// have changed them in the very moment in which it began. When ours are as they were, theirs came first and ours was
/// never let in: all of it stays. Otherwise what is theirs cannot be told from what is ours.
pub(super) fn changed_beside(
    sys: &dyn Sys,
    before: &Before,
    brings: &[PackageName],
    replaces: &[PackageName],
) -> Result<Option<Restored>, SysError> {
    let now = Installed::read(sys)?;
    let ours = |key: &str| {
        let name = key.split(':').next().unwrap_or_default();
        brings.iter().chain(replaces).any(|package| package.as_str() == name)
    };
    let version = |installed: &Installed, key: &str| installed.0.get(key).map(|(version, _)| version.clone());
    let (mine, others): (Vec<&str>, Vec<&str>) =
        now.differing(&before.packages).into_iter().partition(|key| ours(key));
    let changed = |key: &&str| version(&now, key) != version(&before.packages, key);
    let theirs: Vec<&str> = others.into_iter().filter(changed).take(5).collect();
    if theirs.is_empty() {
        return Ok(None);
    }
    if mine.is_empty() {
        return Ok(Some(Restored::Foreign { kept: Vec::new() }));
    }
    let reason = format!(
        "others changed packages while this was at work ({}): decide with apt-get what is to stay",
        theirs.join(" ")
    );
    Ok(Some(Restored::Stuck { reason }))
}
