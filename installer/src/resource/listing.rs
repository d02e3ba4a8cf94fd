//! The names in a directory, and its mtime, which moves with every one of them.

use chom_format::HostPath;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::kind::{Pass, Policy, ResourceKind, joined, room_of_saved};
use super::store::below;
use super::{Fingerprint, ResourceHandler, Restored, Saved, Store, to_value, tree};
use crate::sys::{Attrs, Effect, Kind, Of, Stamp, Sys, SysError};

pub(super) struct ListingResource<'a> {
    pub(super) path: &'a HostPath,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Listing {
    names: Vec<String>,
    // None when there is no such directory.
    mtime: Option<Stamp>,
}

impl ResourceKind for ListingResource<'_> {
    fn words(&self) -> String {
        format!("the listing of {}", self.path)
    }

    fn policy(&self) -> Policy {
        Policy {
            pass: Pass::Listings,
            made_at_path: false,
            any_step_changes: false,
            services_stop: true,
            outlived_by_children: false,
            manager_reloads: false,
            keeps_what_others_made: true,
            asks_for_earlier: false,
        }
    }

    fn room_at(&self) -> Result<HostPath, SysError> {
        Ok(self.path.clone())
    }

    fn room(&self, objects: &[u64]) -> u64 {
        room_of_saved(objects)
    }

    fn may_change(&self, _: &HostPath) -> bool {
        false
    }

    fn own_paths(&self) -> Vec<HostPath> {
        vec![self.path.clone()]
    }

    fn files(&self, _: &dyn Sys) -> Result<Vec<HostPath>, SysError> {
        Ok(Vec::new())
    }

    fn changed_by_others(&self, kept: &[HostPath]) -> String {
        match kept {
            [] => format!("others removed names from {}", self.path),
            kept => format!("others made {}", joined(kept)),
        }
    }
}

impl ResourceHandler for ListingResource<'_> {
    fn save(&self, sys: &mut dyn Sys, _: &Store) -> Result<Saved, SysError> {
        Saved::new(&self.now(sys)?, Vec::new())
    }

    fn fingerprint(&self, sys: &dyn Sys) -> Result<Fingerprint, SysError> {
        Ok(Fingerprint::of(&self.now(sys)?))
    }

    fn after(&self, sys: &mut dyn Sys, _: &Store, _: &Saved) -> Result<Value, SysError> {
        to_value(&self.now(sys)?)
    }

    fn restore(
        &self,
        sys: &mut dyn Sys,
        _: &Store,
        saved: &Saved,
        _: Option<&Value>,
    ) -> Result<Restored, SysError> {
        tree::sweep(sys, self.path)?;
        let (before, now): (Listing, Listing) = (saved.read()?, self.now(sys)?);
        if now == before {
            return Ok(Restored::AlreadyBefore);
        }
        if now.names != before.names {
            // Every path of ours is back by now, so the difference is the work of others, and so is the mtime.
            let new = now.names.iter().filter(|name| !before.names.contains(name));
            let kept = new.map(|name| below(self.path, name)).collect::<Result<_, _>>()?;
            return Ok(Restored::Foreign { kept });
        }
        if let (Some(mtime), Some(attrs)) = (before.mtime, sys.attrs(self.path)?) {
            let attrs = Attrs { mtime, ..attrs };
            sys.effect(&Effect::SetAttrs { path: self.path, attrs: &attrs, of: Of::Dir })?;
        }
        Ok(Restored::Restored)
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

impl ListingResource<'_> {
    fn now(&self, sys: &dyn Sys) -> Result<Listing, SysError> {
        let mtime = sys.meta(self.path)?.filter(|meta| meta.kind == Kind::Dir).map(|meta| meta.mtime);
        Ok(Listing { names: sys.list(self.path)?, mtime })
    }
}
