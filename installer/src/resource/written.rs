//! What a unit changes outside its data when it starts, reloads or stops, such as a link that it has made for its socket.
//!
//! It is a part of the unit and not paths of their own, because the order counts: a unit writes once more when it stops,
//! and again when it is started with the files of before. So it is saved before the unit's first start, put back once the
//! unit is stopped and before any other path is, for the directories lie among others' files, and put back again after
//! the unit was started anew. Whatever is there by then was written by the unit. What others changed is kept before the
//! unit is stopped, while it can still be told apart.

use std::collections::BTreeMap;

use chom_format::{Digest, HostPath};

use super::path::PathResource;
use super::{ResourceHandler as _, Restored, Saved, Store, attic};
use crate::sys::{PathState, Stamp, Sys, SysError, state_of};

/// The paths with what lies there; a directory without what is in it.
pub(super) type Written = BTreeMap<HostPath, PathState>;

/// How they are now.
pub(super) fn look(sys: &dyn Sys, paths: &[HostPath]) -> Result<Written, SysError> {
    paths.iter().map(|path| Ok((path.clone(), state_of(sys, path)?))).collect()
}

/// The same, with a copy in the store of each file; which those are.
pub(super) fn save(
    sys: &mut dyn Sys,
    store: &Store,
    paths: &[HostPath],
) -> Result<(Written, Vec<Digest>), SysError> {
    let (mut written, mut objects) = (Written::new(), Vec::new());
    for path in paths {
        let saved = resource(path).save(sys, store)?;
        written.insert(path.clone(), saved.read()?);
        objects.extend(saved.objects);
    }
    Ok((written, objects))
}

/// Keeps what others have made of them since the unit's step was done.
pub(super) fn keep_foreign(
    sys: &mut dyn Sys,
    store: &Store,
    before: &Written,
    after: &Written,
) -> Result<(), SysError> {
    for (path, was) in before {
        let now = state_of(sys, path)?;
        let known = [Some(was), after.get(path)].into_iter().flatten().any(|known| same(known, &now));
        if !known && matches!(now, PathState::File { .. } | PathState::Link { .. }) {
            attic::keep_copy(sys, store, path)?;
        }
    }
    Ok(())
}

/// Puts them back, what is in a directory before the directory. Where the versions of others are kept, or why not.
pub(super) fn put_back(
    sys: &mut dyn Sys,
    store: &Store,
    before: &Written,
) -> Result<Result<Vec<HostPath>, String>, SysError> {
    let mut all = Vec::new();
    for (path, was) in before.iter().rev() {
        match resource(path).restore(sys, store, &Saved::new(was, Vec::new())?, None)? {
            Restored::Foreign { kept } | Restored::Left { kept, .. } => all.extend(kept),
            Restored::Stuck { reason } => return Ok(Err(format!("{path}: {reason}"))),
            Restored::Restored | Restored::AlreadyBefore => {}
        }
    }
    Ok(Ok(all))
}

/// The difference in words.
pub(super) fn differences(before: &Written, now: &Written) -> Vec<String> {
    let differs = |(path, was): &(&HostPath, &PathState)| now.get(*path) != Some(*was);
    before.iter().filter(differs).map(|(path, _)| format!("{path} is not as it was")).collect()
}

// What others put into a directory that the unit made is kept.
fn resource(path: &HostPath) -> PathResource<'_> {
    PathResource { path, data: true }
}

// A unit that was started again since has written the same again.
fn same(one: &PathState, other: &PathState) -> bool {
    let timeless = |state: &PathState| {
        let mut state = state.clone();
        if let PathState::File { attrs, .. } | PathState::Link { attrs, .. } = &mut state {
            attrs.mtime = Stamp { sec: 0, nsec: 0 };
        }
        state
    };
    timeless(one) == timeless(other)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::sys::{RealSys, named};

    const PATHS: [&str; 3] = ["/etc/link", "/etc/made", "/etc/made/file"];

    #[test]
    fn what_a_unit_wrote_goes_and_what_others_made_of_it_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let etc = dir.path().join("etc");
        fs::create_dir(&etc).unwrap();
        fs::create_dir(dir.path().join("objects")).unwrap();
        fs::write(etc.join("own"), "before").unwrap();
        let mut sys = RealSys::new(dir.path());
        let store = Store { objects: named("/objects").unwrap(), attic: named("/attic").unwrap() };
        let mut paths: Vec<HostPath> = PATHS.iter().map(|path| path.parse().unwrap()).collect();
        paths.push("/etc/own".parse().unwrap());
        let (before, objects) = save(&mut sys, &store, &paths).unwrap();
        assert_eq!(objects.len(), 1, "of the file that was there");

        // It starts.
        symlink("/run/socket", etc.join("link")).unwrap();
        fs::create_dir(etc.join("made")).unwrap();
        fs::write(etc.join("made/file"), "by the unit").unwrap();
        fs::write(etc.join("own"), "by the unit").unwrap();
        let after = look(&sys, &paths).unwrap();
        assert_eq!(differences(&before, &after).len(), 4);

        // It starts once more, and somebody edits a file.
        fs::remove_file(etc.join("link")).unwrap();
        symlink("/run/socket", etc.join("link")).unwrap();
        fs::write(etc.join("own"), "by hand").unwrap();
        keep_foreign(&mut sys, &store, &before, &after).unwrap();

        // It stops.
        fs::write(etc.join("made/file"), "by the unit, at its end").unwrap();
        let kept = put_back(&mut sys, &store, &before).unwrap().unwrap();
        assert_eq!(kept.len(), 1, "{kept:?}");
        assert_eq!(fs::read_to_string(kept[0].under(dir.path())).unwrap(), "by hand");
        assert_eq!(look(&sys, &paths).unwrap(), before);
        assert_eq!(put_back(&mut sys, &store, &before).unwrap(), Ok(kept), "and again");
    }
}
