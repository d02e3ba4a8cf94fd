//! All that a foreign program such as dpkg changes while it runs.
//!
//! Nobody can say beforehand what a package's maintainer scripts will do. So the system is looked at as a
//! whole, before and after: every path of the areas that packages write to, with all that `lstat` and the
//! extended attributes tell, and a copy of what cannot be had again: configuration, dpkg's own state, the
//! files of packages that will be replaced. The difference is what the run has changed, and is put back
//! path by path. No package is purged, no maintainer script runs backwards: dpkg's database, conffiles,
//! alternatives, the users that scripts made, caches and times are exactly as they were, also when dpkg was
//! killed in the middle.
//!
//! The areas ([`areas`]) are of two kinds. In `/etc` and `/usr` whatever changes during the run is the run's.
//! In `/var` and the like services live, and only what [`claims`] can tell to be the packages' is touched.
//!
//! When dpkg's database is another one than after the step, somebody has worked with packages since. Then
//! nothing of theirs is overwritten: our packages are purged by dpkg itself if nothing needs them, see [`others`].

mod accounts;
mod areas;
mod before;
mod claims;
mod delta;
mod entry;
mod found;
mod lock;
mod others;
mod overrides;
mod packages;
mod undo;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use chom_format::{Digest, HostPath, PackageName};
use serde_json::Value;

use self::before::Before;
use self::delta::Delta;
use self::entry::Scan;
pub use self::found::{Declared, Found, Look, Sought};
use self::lock::Lock;
use self::others::Way;
use self::packages::Installed;
use super::kind::{Pass, Policy, ResourceKind, joined, left_as_it_is, whole_blocks};
use super::{Fingerprint, Obstacle, Resource, ResourceHandler, Restored, Saved, Store, from_value, to_value};
use crate::dpkg;
use crate::sys::{Sys, SysError, named};

/// As many differences as a person can read.
const MOST_NAMED: usize = 8;

/// Restoring needs room for one file at a time and for what the run removed: at most this.
const RESERVE: u64 = 32 << 20;

pub(super) struct SystemResource<'a> {
    pub(super) replaces: &'a [PackageName],
    pub(super) brings: &'a [PackageName],
}

impl ResourceKind for SystemResource<'_> {
    fn words(&self) -> String {
        "the system as its packages make it".to_owned()
    }

    fn policy(&self) -> Policy {
        Policy {
            pass: Pass::Paths,
            made_at_path: false,
            any_step_changes: false,
            services_stop: true,
            outlived_by_children: true,
            manager_reloads: true,
            keeps_what_others_made: false,
            asks_for_earlier: true,
        }
    }

    fn room_at(&self) -> Result<HostPath, SysError> {
        named("/usr")
    }

    fn room(&self, objects: &[u64]) -> u64 {
        whole_blocks(objects).min(RESERVE)
    }

    fn may_change(&self, _: &HostPath) -> bool {
        true
    }

    fn own_paths(&self) -> Vec<HostPath> {
        Vec::new()
    }

    fn files(&self, _: &dyn Sys) -> Result<Vec<HostPath>, SysError> {
        Ok(Vec::new())
    }

    fn changed_by_others(&self, kept: &[HostPath]) -> String {
        let words = self.words();
        match kept {
            [] => left_as_it_is(&words),
            kept => format!("of {words}, what others made or changed is {}", joined(kept)),
        }
    }
}

impl ResourceHandler for SystemResource<'_> {
    fn save(&self, sys: &mut dyn Sys, store: &Store) -> Result<Saved, SysError> {
        // Somebody else's half-done work must not be what a way back leads to.
        let _held = Lock::take(sys, lock::PATIENCE)?;
        let before = Before::take(sys, store, self.replaces)?;
        let state = store.keep_state(sys, &before)?;
        Ok(Saved {
            state: to_value(&state)?,
            objects: vec![state, before.blob],
            fingerprint: before.scan.fingerprint(),
        })
    }

    fn fingerprint(&self, sys: &dyn Sys) -> Result<Fingerprint, SysError> {
        Ok(Scan::take(sys, None)?.fingerprint())
    }

    fn after(&self, sys: &mut dyn Sys, store: &Store, saved: &Saved) -> Result<Value, SysError> {
        let before: Before = store.read_state(sys, &saved.read::<Digest>()?)?;
        let mut delta = Delta::after(sys, &before, self.brings, self.replaces)?;
        delta.accounts = Some(accounts::made(sys, store, &before)?);
        to_value(&store.keep_state(sys, &delta)?)
    }

    fn objects_of_after(&self, after: &Value) -> Result<Vec<Digest>, SysError> {
        Ok(vec![from_value(after)?])
    }

    fn declared(
        &self,
        sys: &dyn Sys,
        store: &Store,
        _: &Saved,
        after: Option<&Value>,
    ) -> Result<Declared, SysError> {
        // A step that was cut off is put back by comparing everything.
        let Some(after) = after else { return Ok(Declared::default()) };
        let delta: Delta = store.read_state(sys, &from_value::<Digest>(after)?)?;
        Ok(Declared { paths: delta.paths.into_keys().collect(), ..Declared::default() })
    }

    fn look(&self, sys: &dyn Sys, store: &Store, saved: &Saved) -> Result<Option<Look>, SysError> {
        let before: Before = store.read_state(sys, &saved.read::<Digest>()?)?;
        Ok(Some(Look::of(&before.scan)))
    }

    fn covered(
        &self,
        sys: &dyn Sys,
        store: &Store,
        _: &Saved,
        after: Option<&Value>,
        later: &[&Resource],
    ) -> Result<BTreeSet<Resource>, SysError> {
        // Without an after the step was cut off, and nothing was saved after it.
        let Some(after) = after else { return Ok(BTreeSet::new()) };
        let delta: Delta = store.read_state(sys, &from_value::<Digest>(after)?)?;
        Ok(later.iter().filter(|other| delta.settles(other)).map(|other| (*other).clone()).collect())
    }

    fn differences(
        &self,
        sys: &dyn Sys,
        store: &Store,
        saved: &Saved,
        after: Option<&Value>,
        earlier: &BTreeSet<HostPath>,
    ) -> Result<Vec<String>, SysError> {
        let before: Before = store.read_state(sys, &saved.read::<Digest>()?)?;
        let named = match after {
            Some(after) => {
                let delta: Delta = store.read_state(sys, &from_value::<Digest>(after)?)?;
                delta.remaining(sys, &before, earlier)?
            }
            None => {
                Delta::cut_off(sys, &before, self.brings, self.replaces)?.remaining(sys, &before, earlier)?
            }
        };
        let mut named: Vec<String> = named.into_iter().map(|(path, how)| format!("{path} {how}")).collect();
        let more = named.len().saturating_sub(MOST_NAMED);
        named.truncate(MOST_NAMED);
        if more > 0 {
            named.push(format!("and {more} more paths"));
        }
        Ok(named)
    }

    fn obstacles(
        &self,
        sys: &dyn Sys,
        store: &Store,
        saved: &Saved,
        after: Option<&Value>,
    ) -> Result<Vec<Obstacle>, SysError> {
        let Some(after) = after else { return Ok(Vec::new()) };
        if let Err(error) = Lock::take(sys, lock::PATIENCE) {
            let remedy = "wait until that package run is over, then try again".to_owned();
            return Ok(vec![Obstacle { reason: error.to_string(), remedy }]);
        }
        let unfinished = dpkg::unfinished(sys)?;
        if !unfinished.is_empty() {
            let reason = format!("dpkg was interrupted: {}", unfinished.join(", "));
            return Ok(vec![Obstacle { reason, remedy: "dpkg --configure -a".to_owned() }]);
        }
        let delta: Delta = store.read_state(sys, &from_value::<Digest>(after)?)?;
        let now = Installed::read(sys)?;
        if let (Some(then), Some(now)) = (others::release(&delta.packages), others::release(&now))
            && then != now
        {
            return Ok(vec![Obstacle {
                reason: format!("the way back leads to Debian {then}, and this host has Debian {now} by now"),
                remedy: format!("go forward with a bundle that is built for Debian {now}"),
            }]);
        }
        let before: Before = store.read_state(sys, &saved.read::<Digest>()?)?;
        let obstacle = Way::find(sys, &before, &delta)?.map(|way| way.obstacle(sys)).transpose()?.flatten();
        Ok(obstacle.into_iter().collect())
    }

    fn restore(
        &self,
        sys: &mut dyn Sys,
        store: &Store,
        saved: &Saved,
        after: Option<&Value>,
    ) -> Result<Restored, SysError> {
        // A dpkg that was started by a run that is gone may still be at work.
        let mut lock = Lock::take(sys, lock::LONGEST_RUN)?;
        let before: Before = store.read_state(sys, &saved.read::<Digest>()?)?;
        let delta = match after {
            Some(after) => {
                let delta: Delta = store.read_state(sys, &from_value::<Digest>(after)?)?;
                if let Some(way) = Way::find(sys, &before, &delta)? {
                    return way.go(sys, &mut lock, store, &before, &delta);
                }
                delta
            }
            None => {
                if let Some(stuck) = packages::changed_beside(sys, &before, self.brings, self.replaces)? {
                    return Ok(stuck);
                }
                Delta::cut_off(sys, &before, self.brings, self.replaces)?
            }
        };
        undo::undo(sys, store, &before, &delta)
    }

    fn restore_early(
        &self,
        sys: &mut dyn Sys,
        store: &Store,
        saved: &Saved,
        after: Option<&Value>,
    ) -> Result<Option<Restored>, SysError> {
        self.restore(sys, store, saved, after).map(Some)
    }
}
