//! Whose work a change outside of `/etc` and `/usr` is.
//!
//! Services write to `/var` while dpkg runs. A change there is the packages' when their own lists name the
//! path, when it lies in a directory that is theirs and new, when it belongs to an account that they made, or
//! when it is a directory that appeared right beside those of other programs while they were installed.
//!
//! When a run was cut off, a while may have passed since. What came after dpkg's last sign of life is somebody
//! else's.

use std::collections::BTreeSet;

use chom_format::{HostPath, PackageName};

use super::areas;
use super::entry::{Entry, Scan};
use super::packages::listed;
use crate::sys::{Kind, Stamp, Sys, SysError, named, text_at};

/// Where programs have a directory each.
const NURSERIES: [&str; 5] = ["/var", "/var/lib", "/var/cache", "/var/log", "/var/spool"];

/// What dpkg writes with every package.
const SIGNS_OF_LIFE: [&str; 5] = [
    "/var/lib/dpkg",
    "/var/lib/dpkg/info",
    "/var/lib/dpkg/status",
    "/var/lib/dpkg/updates",
    "/var/log/dpkg.log",
];
// In seconds.
const LONGEST_SCRIPT: i64 = 60;

/// What is known of the packages that were brought or replaced.
#[derive(Debug, Default)]
pub(super) struct Claims {
    /// The paths that their lists name.
    pub(super) listed: BTreeSet<String>,
    uids: BTreeSet<u32>,
    /// Until when the packages were at work; none when that is now.
    until: Option<Stamp>,
}

impl Claims {
    /// The claims of these packages, from dpkg's lists and the account files as they are now.
    pub(super) fn of<'a>(
        sys: &dyn Sys,
        before: &Scan,
        known_uids: &BTreeSet<u32>,
        packages: impl Iterator<Item = &'a PackageName>,
        until: Option<Stamp>,
    ) -> Result<Self, SysError> {
        let mut claims = Self { until, ..Self::default() };
        for package in packages {
            claims.listed.extend(listed(sys, before, package)?);
        }
        claims.uids = uids(sys)?.difference(known_uids).copied().collect();
        Ok(claims)
    }

    /// Whether a path that was not there before is theirs. Asked for parents before their children.
    pub(super) fn is_new(&self, path: &HostPath, entry: &Entry, theirs: &BTreeSet<HostPath>) -> bool {
        let text = path.as_str();
        let parent = path.parent();
        let in_nursery = || parent.as_ref().is_some_and(|parent| NURSERIES.contains(&parent.as_str()));
        areas::is_exact(text)
            || self.listed.contains(text)
            || parent.as_ref().is_some_and(|parent| theirs.contains(parent))
            || self.uids.contains(&entry.attrs.uid)
            || (entry.kind == Kind::Dir && in_nursery() && !self.is_later(entry))
    }

    /// Whether a path came into being, or was changed, when the packages were no longer at work.
    pub(super) fn is_later(&self, entry: &Entry) -> bool {
        self.until.is_some_and(|until| entry.ctime > until)
    }

    /// Whether the change of a path that was there is theirs.
    pub(super) fn is_changed(&self, path: &HostPath, was: &Entry, is: Option<&Entry>) -> bool {
        let text = path.as_str();
        let dirs = was.kind == Kind::Dir && is.is_some_and(|is| is.kind == Kind::Dir);
        // A directory that others share changes its time with every name in it.
        areas::is_exact(text) || (self.listed.contains(text) && !dirs)
    }
}

/// dpkg's last sign of life, with some time for the script that it was running then.
pub(super) fn last_sign_of_life(sys: &dyn Sys) -> Result<Stamp, SysError> {
    let mut last = Stamp { sec: 0, nsec: 0 };
    for text in SIGNS_OF_LIFE {
        last = last.max(sys.meta(&named(text)?)?.map_or(last, |meta| meta.mtime));
    }
    Ok(Stamp { sec: last.sec.saturating_add(LONGEST_SCRIPT), ..last })
}

/// The users that there are.
pub(super) fn uids(sys: &dyn Sys) -> Result<BTreeSet<u32>, SysError> {
    let passwd = text_at(sys, "/etc/passwd")?;
    Ok(passwd.lines().filter_map(|line| line.split(':').nth(2)?.parse().ok()).collect())
}
