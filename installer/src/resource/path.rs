//! One path: put back by bytes, type, mode, owner, mtime and extended attributes.
//!
//! What others did to it since goes to the attic first. A directory that we made and that holds what others
//! put there stays, and is named: unless it is a service's data directory, whose content goes to the attic. A data
//! directory from before gets its attributes back, and what the service wrote into it goes there as well.

use std::collections::BTreeSet;

use chom_format::HostPath;
use serde_json::Value;

use super::kind::{Pass, Policy, ResourceKind, whole_blocks};
use super::store::below;
use super::{
    Declared, Fingerprint, Resource, ResourceHandler, Restored, Saved, Store, attic, from_value, to_value,
    tree,
};
use crate::sys::{Attrs, Effect, Kind, Of, PathState, Source, Sys, SysError, state_of};

pub(super) struct PathResource<'a> {
    pub(super) path: &'a HostPath,
    pub(super) data: bool,
}

impl ResourceKind for PathResource<'_> {
    fn words(&self) -> String {
        self.path.to_string()
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
        whole_blocks(objects)
    }

    fn may_change(&self, path: &HostPath) -> bool {
        path == self.path
    }

    fn own_paths(&self) -> Vec<HostPath> {
        vec![self.path.clone()]
    }

    fn files(&self, sys: &dyn Sys) -> Result<Vec<HostPath>, SysError> {
        let meta = sys.meta(self.path)?;
        Ok(meta.filter(|meta| meta.kind == Kind::File).map(|_| self.path.clone()).into_iter().collect())
    }
}

impl ResourceHandler for PathResource<'_> {
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
            // Whoever had a directory made for the data may have something in it.
            PathState::Dir { .. } if self.data => {
                let names = sys.list(self.path)?;
                vec![store.keep_state(sys, &names)?]
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
        let mut kept = Vec::new();
        if now != before {
            kept = self.put_data_away(sys, store, saved, (&before, &now))?;
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
        kept.extend(attic::kept(sys, store, self.path)?);
        Ok(match kept.is_empty() {
            false => Restored::Foreign { kept },
            _ if now == before => Restored::AlreadyBefore,
            _ => Restored::Restored,
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

impl PathResource<'_> {
    /// Of a data directory from before that we gave to a service: what that wrote goes to the attic. Not when the directory
    /// was the service's own before: then it is at work on what is its own. Nor from a file system of its own, which may be
    /// of any size: there it stays, and its owner with it.
    fn put_data_away(
        &self,
        sys: &mut dyn Sys,
        store: &Store,
        saved: &Saved,
        states: (&PathState, &PathState),
    ) -> Result<Vec<HostPath>, SysError> {
        let mut kept = Vec::new();
        let (PathState::Dir { attrs: was }, PathState::Dir { attrs: is }) = states else { return Ok(kept) };
        let Some(names) = saved.objects.first().filter(|_| self.data && was.uid != is.uid) else {
            return Ok(kept);
        };
        if is_mount_point(sys, self.path)? {
            return Ok(kept);
        }
        let known: BTreeSet<String> = store.read_state(sys, names)?;
        for name in sys.list(self.path)?.into_iter().filter(|name| !known.contains(name)) {
            let path = below(self.path, &name)?;
            if sys.meta(&path)?.is_some_and(|meta| meta.uid == is.uid) {
                kept.push(attic::put_data_away(sys, store, &path)?);
            }
        }
        Ok(kept)
    }

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
                    sys.effect(&Effect::SetAttrs { path, attrs, of: Of::File(*sha256) })?;
                }
                _ if attic::give_inode_back(sys, store, path, before)? => {}
                PathState::Absent
                | PathState::File { .. }
                | PathState::Dir { .. }
                | PathState::Link { .. }
                | PathState::Special { .. } => {
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
            let attrs = Attrs { mtime, ..attrs.clone() };
            sys.effect(&Effect::SetAttrs { path, attrs: &attrs, of: Of::Dir })?;
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
            attic::put_data_away(sys, store, self.path)?;
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

fn is_mount_point(sys: &dyn Sys, path: &HostPath) -> Result<bool, SysError> {
    let device = |path: &HostPath| Ok::<_, SysError>(sys.meta(path)?.map(|meta| meta.dev));
    let parent = path.parent().map(|parent| device(&parent)).transpose()?.flatten();
    Ok(parent.is_some() && device(path)? != parent)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, lchown};

    use super::*;
    use crate::sys::{RealSys, named};

    /// What a person has put there stays, what the service wrote is kept with the name of its owner.
    #[test]
    fn a_data_directory_from_before_is_given_back_without_what_a_service_wrote() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        fs::create_dir_all(at("data/lost+found")).unwrap();
        fs::create_dir_all(at("etc")).unwrap();
        fs::create_dir(at("objects")).unwrap();
        fs::write(at("etc/passwd"), "root:x:0:0::/:/bin/sh\nmetrics:x:497:498::/:/bin/sh\n").unwrap();
        fs::write(at("etc/group"), "metrics:x:498:\n").unwrap();
        let mut sys = RealSys::new(dir.path());
        let store = Store { objects: named("/objects").unwrap(), attic: named("/attic").unwrap() };
        let path: HostPath = "/data".parse().unwrap();
        let resource = PathResource { path: &path, data: true };
        let saved = resource.save(&mut sys, &store).unwrap();

        lchown(at("data"), Some(497), Some(498)).unwrap();
        fs::create_dir(at("data/wal")).unwrap();
        lchown(at("data/wal"), Some(497), Some(498)).unwrap();
        fs::write(at("data/by-root"), "a note").unwrap();
        let after = resource.after(&mut sys, &store, &saved).unwrap();
        let Restored::Foreign { kept } = resource.restore(&mut sys, &store, &saved, Some(&after)).unwrap()
        else {
            panic!("nothing was kept")
        };
        assert_eq!(kept.len(), 1, "{kept:?}");
        let names: Vec<String> = sys.list(&path).unwrap();
        assert_eq!(names, ["by-root", "lost+found"]);
        assert_eq!(fs::metadata(at("data")).unwrap().uid(), 0);
        assert_eq!(resource.fingerprint(&sys).unwrap(), saved.fingerprint);
        let place = kept[0].under(dir.path());
        assert!(place.is_dir());
        let owners =
            fs::read_to_string(place.with_file_name(format!("owner-of.{}", kept[0].name()))).unwrap();
        assert_eq!(owners, "user 497 metrics\ngroup 498 metrics\n");
        let again = resource.restore(&mut sys, &store, &saved, Some(&after)).unwrap();
        assert_eq!(again, Restored::AlreadyBefore);
    }
}
