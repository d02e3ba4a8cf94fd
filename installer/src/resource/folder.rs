//! A whole directory: one that is ours alone, such as a release, or one that a link takes the place of.

use std::collections::{BTreeMap, BTreeSet};

use chom_format::{Digest, HostPath};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::kind::{BLOCK, Pass, Policy, ResourceKind, whole_blocks};
use super::path::PathResource;
use super::{
    Declared, Fingerprint, Resource, ResourceHandler, Restored, Saved, Store, attic, from_value, to_value,
    tree,
};
use crate::sys::{Attrs, Effect, Kind, Of, PathState, Stamp, Sys, SysError, state_of};

pub(super) struct FolderResource<'a> {
    pub(super) path: &'a HostPath,
}

/// Every path of the folder with its state, the folder itself included; and the mtimes of its directories.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Folder {
    paths: BTreeMap<HostPath, PathState>,
    mtimes: BTreeMap<HostPath, Stamp>,
}

impl ResourceKind for FolderResource<'_> {
    fn words(&self) -> String {
        format!("{} and all in it", self.path)
    }

    fn policy(&self) -> Policy {
        Policy {
            pass: Pass::Paths,
            made_at_path: true,
            any_step_changes: false,
            services_stop: true,
            outlived_by_children: false,
            manager_reloads: false,
            keeps_what_others_made: false,
            asks_for_earlier: false,
        }
    }

    fn room_at(&self) -> Result<HostPath, SysError> {
        Ok(self.path.parent().unwrap_or_else(HostPath::root))
    }

    fn room(&self, objects: &[u64]) -> u64 {
        // The last object names each of its paths, directories too, in two hundred bytes.
        let names = objects.last().map_or(0, |size| size * (BLOCK / 200));
        whole_blocks(objects) + names
    }

    fn may_change(&self, path: &HostPath) -> bool {
        path.is_within(self.path)
    }

    fn own_paths(&self) -> Vec<HostPath> {
        vec![self.path.clone()]
    }

    fn files(&self, sys: &dyn Sys) -> Result<Vec<HostPath>, SysError> {
        let own = sys.meta(self.path)?.map(|meta| (self.path.clone(), meta));
        let all = own.into_iter().chain(tree::walk(sys, self.path)?);
        Ok(all.filter(|(_, meta)| meta.kind == Kind::File).map(|(path, _)| path).collect())
    }
}

impl ResourceHandler for FolderResource<'_> {
    fn save(&self, sys: &mut dyn Sys, store: &Store) -> Result<Saved, SysError> {
        let folder = self.now(sys)?;
        let mut objects = Vec::new();
        for (path, state) in &folder.paths {
            if let PathState::File { sha256, .. } = state {
                store.keep_file(sys, path, *sha256)?;
                objects.push(*sha256);
            }
        }
        let state = store.keep_state(sys, &folder)?;
        objects.push(state);
        Ok(Saved { state: to_value(&state)?, objects, fingerprint: Fingerprint::of(&folder) })
    }

    fn declared(&self, _: &dyn Sys, _: &Store, _: &Saved, _: Option<&Value>) -> Result<Declared, SysError> {
        Ok(Declared { trees: [self.path.clone()].into(), ..Declared::default() })
    }

    fn fingerprint(&self, sys: &dyn Sys) -> Result<Fingerprint, SysError> {
        Ok(Fingerprint::of(&self.now(sys)?))
    }

    fn after(&self, sys: &mut dyn Sys, _: &Store, _: &Saved) -> Result<Value, SysError> {
        to_value(&self.fingerprint(sys)?)
    }

    fn covered(
        &self,
        _: &dyn Sys,
        _: &Store,
        _: &Saved,
        _: Option<&Value>,
        later: &[&Resource],
    ) -> Result<BTreeSet<Resource>, SysError> {
        let within = |other: &&&Resource| other.path().is_some_and(|path| path.is_within(self.path));
        Ok(later.iter().filter(within).map(|other| (*other).clone()).collect())
    }

    fn restore(
        &self,
        sys: &mut dyn Sys,
        store: &Store,
        saved: &Saved,
        after: Option<&Value>,
    ) -> Result<Restored, SysError> {
        let before: Folder = store.read_state(sys, &saved.read::<Digest>()?)?;
        tree::clear_aside(sys, self.path)?;
        let now = self.now(sys)?;
        let mut restored = Restored::AlreadyBefore;
        if now != before {
            restored = Restored::Restored;
            let ours = match after {
                Some(after) => from_value::<Fingerprint>(after)? == Fingerprint::of(&now),
                None => true,
            };
            if !ours && !now.paths.is_empty() {
                attic::put_away(sys, store, self.path)?;
            }
            self.make(sys, store, &before, after.is_some())?;
        }
        Ok(match attic::kept(sys, store, self.path)? {
            kept if kept.is_empty() => restored,
            kept => Restored::Foreign { kept },
        })
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

impl FolderResource<'_> {
    fn now(&self, sys: &dyn Sys) -> Result<Folder, SysError> {
        let mut folder = Folder::default();
        if sys.meta(self.path)?.is_none() {
            return Ok(folder);
        }
        let below = tree::walk(sys, self.path)?;
        for path in std::iter::once(self.path).chain(below.iter().map(|(path, _)| path)) {
            let state = state_of(sys, path)?;
            if let (PathState::Dir { .. }, Some(meta)) = (&state, sys.meta(path)?) {
                folder.mtimes.insert(path.clone(), meta.mtime);
            }
            folder.paths.insert(path.clone(), state);
        }
        Ok(folder)
    }

    /// What a run left that was cut off is mended in its place: all of it is ours. What was whole is exchanged as a
    /// whole, for half of it would pass for somebody's work when this is cut off.
    fn make(
        &self,
        sys: &mut dyn Sys,
        store: &Store,
        before: &Folder,
        was_whole: bool,
    ) -> Result<(), SysError> {
        if before.paths.is_empty() {
            return tree::take_away(sys, self.path);
        }
        if was_whole {
            let aside = tree::aside(self.path)?;
            build(sys, store, before, &|path| tree::moved(path, self.path, &aside))?;
            return tree::exchange(sys, self.path, &aside);
        }
        // What took the folder's place.
        if sys.meta(self.path)?.is_some_and(|meta| meta.kind != Kind::Dir) {
            sys.effect(&Effect::Remove { path: self.path })?;
        }
        let now = tree::walk(sys, self.path)?;
        for (path, _) in now.iter().filter(|(path, _)| !before.paths.contains_key(path)) {
            tree::remove(sys, path)?;
        }
        build(sys, store, before, &|path| Ok(path.clone()))
    }
}

/// Puts every path of a folder where `place` says.
fn build(
    sys: &mut dyn Sys,
    store: &Store,
    folder: &Folder,
    place: &dyn Fn(&HostPath) -> Result<HostPath, SysError>,
) -> Result<(), SysError> {
    // Sorted by path, so parents come before what is in them.
    for (path, state) in &folder.paths {
        let saved = Saved::new(state, Vec::new())?;
        PathResource { path: &place(path)?, data: false }.restore(sys, store, &saved, None)?;
    }
    // Deepest first: putting a time back does not move the time of the parent.
    for (path, mtime) in folder.mtimes.iter().rev() {
        let path = place(path)?;
        if let Some(attrs) = sys.attrs(&path)?.filter(|attrs| attrs.mtime != *mtime) {
            let attrs = Attrs { mtime: *mtime, ..attrs };
            sys.effect(&Effect::SetAttrs { path: &path, attrs: &attrs, of: Of::Dir })?;
        }
    }
    Ok(())
}
