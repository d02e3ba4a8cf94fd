//! One path: put back by bytes, type, mode, owner, mtime and extended attributes.
//!
//! What others did to it since goes to the attic first. A directory that we made and that holds what others
//! put there stays, and is named: unless it is a service's data directory, whose content goes to the attic.

use std::collections::BTreeSet;

use chom_format::HostPath;
use serde_json::Value;

use super::{
    Declared, Fingerprint, Resource, Restore, Restored, Saved, Store, attic, from_value, to_value, tree,
};
use crate::sys::{Attrs, Effect, PathState, Source, Sys, SysError, state_of};

pub(super) struct PathResource<'a> {
    pub(super) path: &'a HostPath,
    pub(super) data: bool,
}

impl Restore for PathResource<'_> {
    fn save(&self, sys: &mut dyn Sys, store: &Store) -> Result<Saved, SysError> {
        let state = state_of(sys, self.path)?;
        let objects = match &state {
            PathState::File { sha256, .. } => {
                store.keep_file(sys, self.path, *sha256)?;
                if sys.meta(self.path)?.is_some_and(|meta| meta.nlink > 1) {
                    attic::keep_inode(sys, store, self.path)?;
                }
                vec![*sha256]
            }
            PathState::Special { kind, .. } => {
                let why = format!("it is a {kind:?}, which cannot be put back").to_lowercase();
                return Err(SysError::other("save", self.path, why));
            }
            PathState::Absent | PathState::Dir { .. } | PathState::Link { .. } => Vec::new(),
        };
        Saved::new(&state, objects)
    }

    fn declared(&self, _: &dyn Sys, _: &Store, _: &Saved, _: Option<&Value>) -> Result<Declared, SysError> {
        let data = self.data.then(|| self.path.clone());
        Ok(Declared { trees: data.into_iter().collect(), ..Declared::default() })
    }

    fn fingerprint(&self, sys: &dyn Sys) -> Result<Fingerprint, SysError> {
        Ok(Fingerprint::of(&state_of(sys, self.path)?))
    }

    fn after(&self, sys: &mut dyn Sys, _: &Store, _: &Saved) -> Result<Value, SysError> {
        to_value(&state_of(sys, self.path)?)
    }

    fn covered(
        &self,
        _: &dyn Sys,
        _: &Store,
        saved: &Saved,
        _: Option<&Value>,
        later: &[&Resource],
    ) -> Result<BTreeSet<Resource>, SysError> {
        // Where nothing was, nothing below can have been.
        if saved.read::<PathState>()? != PathState::Absent {
            return Ok(BTreeSet::new());
        }
        let below = |other: &&&Resource| other.path().is_some_and(|path| path.is_within(self.path));
        Ok(later.iter().filter(below).map(|other| (*other).clone()).collect())
    }

    fn restore(
        &self,
        sys: &mut dyn Sys,
        store: &Store,
        saved: &Saved,
        after: Option<&Value>,
    ) -> Result<Restored, SysError> {
        let before: PathState = saved.read()?;
        let now = state_of(sys, self.path)?;
        if now != before {
            let ours = match after {
                Some(after) => from_value::<PathState>(after)? == now,
                // The step was cut off: whatever is there is its half-done work.
                None => true,
            };
            if !ours && matches!(now, PathState::File { .. } | PathState::Link { .. }) {
                attic::keep_copy(sys, store, self.path)?;
            }
            if let Some(reason) = self.make(sys, store, &before, &now)? {
                return Ok(Restored::Stuck { reason });
            }
        }
        attic::forget_inode(sys, store, self.path)?;
        Ok(match attic::kept(sys, store, self.path)? {
            kept if !kept.is_empty() => Restored::Foreign { kept },
            _ if now == before => Restored::AlreadyBefore,
            _ => Restored::Restored,
        })
    }
}

impl PathResource<'_> {
    /// Makes the path what it was. The reason why not, when something of others is in the way.
    fn make(
        &self,
        sys: &mut dyn Sys,
        store: &Store,
        before: &PathState,
        now: &PathState,
    ) -> Result<Option<String>, SysError> {
        let path = self.path;
        if let PathState::Dir { .. } = now
            && !matches!(before, PathState::Dir { .. })
            && let Some(reason) = self.clear_dir(sys, store, before)?
        {
            return Ok(Some(reason));
        }
        match before {
            PathState::Absent => match now {
                PathState::Absent | PathState::Dir { .. } => {}
                PathState::File { .. } | PathState::Link { .. } | PathState::Special { .. } => {
                    sys.effect(&Effect::Remove { path })?;
                }
            },
            PathState::File { sha256, attrs, .. } => match now {
                // The file itself is right, and processes may have it open: it keeps its inode.
                PathState::File { sha256: found, .. } if found == sha256 => {
                    sys.effect(&Effect::SetAttrs { path, attrs })?;
                }
                _ if attic::give_inode_back(sys, store, path, before)? => {}
                _ => {
                    let object = store.object(sha256)?;
                    let source = Source::Host { path: &object, sha256: *sha256 };
                    sys.effect(&Effect::Write { path, source, attrs })?;
                }
            },
            PathState::Link { target, attrs } => {
                sys.effect(&Effect::MakeLink { path, target, attrs: Some(attrs) })?;
            }
            PathState::Dir { attrs } => self.make_dir(sys, store, attrs, now)?,
            PathState::Special { .. } => return Ok(Some("it was a special file".to_owned())),
        }
        Ok(None)
    }

    fn make_dir(
        &self,
        sys: &mut dyn Sys,
        store: &Store,
        attrs: &Attrs,
        now: &PathState,
    ) -> Result<(), SysError> {
        let path = self.path;
        if let PathState::Dir { .. } = now {
            let mtime = sys.meta(path)?.map_or(attrs.mtime, |meta| meta.mtime);
            sys.effect(&Effect::SetAttrs { path, attrs: &Attrs { mtime, ..attrs.clone() } })?;
            return Ok(());
        }
        if *now != PathState::Absent {
            attic::put_away(sys, store, path)?;
        }
        sys.effect(&Effect::MakeDir { path, attrs })?;
        Ok(())
    }

    /// Takes away a directory that was not there. The reason why not, when that must not be.
    fn clear_dir(
        &self,
        sys: &mut dyn Sys,
        store: &Store,
        before: &PathState,
    ) -> Result<Option<String>, SysError> {
        tree::sweep(sys, self.path)?;
        let names = sys.list(self.path)?;
        let in_the_way = *before != PathState::Absent;
        if names.is_empty() {
            sys.effect(&Effect::RemoveDir { path: self.path })?;
        } else if self.data || in_the_way {
            attic::put_away(sys, store, self.path)?;
        } else {
            let some: Vec<_> = names.iter().take(5).map(String::as_str).collect();
            return Ok(Some(format!(
                "the directory was made by this transaction and now holds what others put there ({}): \
                 move that away and remove the directory",
                some.join(", ")
            )));
        }
        Ok(None)
    }
}
