//! The names in a directory, and its mtime, which moves with every one of them.

use chom_format::HostPath;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::store::below;
use super::{Fingerprint, Restore, Restored, Saved, Store, to_value, tree};
use crate::sys::{Attrs, Effect, Kind, Stamp, Sys, SysError};

pub(super) struct ListingResource<'a> {
    pub(super) path: &'a HostPath,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Listing {
    names: Vec<String>,
    // None when there is no such directory.
    mtime: Option<Stamp>,
}

impl Restore for ListingResource<'_> {
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
            sys.effect(&Effect::SetAttrs { path: self.path, attrs: &Attrs { mtime, ..attrs } })?;
        }
        Ok(Restored::Restored)
    }
}

impl ListingResource<'_> {
    fn now(&self, sys: &dyn Sys) -> Result<Listing, SysError> {
        let mtime = sys.meta(self.path)?.filter(|meta| meta.kind == Kind::Dir).map(|meta| meta.mtime);
        Ok(Listing { names: sys.list(self.path)?, mtime })
    }
}
