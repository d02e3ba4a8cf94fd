//! The attic: whatever a person may want and that must leave its place goes here, under a name made of its path.

use chom_format::{Digest, HostPath};

use super::Store;
use super::store::{below, private};
use super::tree;
use crate::sys::{Attrs, Effect, Kind, PathState, Source, Sys, SysError, state_of, text_at};

// A character may take four bytes, and a name has 255.
const LONGEST_NAME: usize = 220;

/// Moves a path with all below it to the attic. It is moved within a file system and copied between two.
pub(crate) fn put_away(sys: &mut dyn Sys, store: &Store, path: &HostPath) -> Result<HostPath, SysError> {
    let to = free_place(sys, store, path)?;
    match sys.effect(&Effect::Rename { from: path, to: &to }) {
        Err(error) if error.crosses_devices() => {
            copy(sys, path, &to)?;
            tree::remove(sys, path)?;
        }
        moved => drop(moved?),
    }
    Ok(to)
}

/// The same for what a service wrote. Its account may go, and its numbers then say nothing: the names are noted beside it.
pub(crate) fn put_data_away(sys: &mut dyn Sys, store: &Store, path: &HostPath) -> Result<HostPath, SysError> {
    let attrs = sys.attrs(path)?;
    let to = put_away(sys, store, path)?;
    if let (Some(attrs), Some(parent)) = (attrs, to.parent()) {
        let named = |file, number: u32| -> Result<String, SysError> {
            let text = text_at(sys, file)?;
            let line = text.lines().find(|line| line.split(':').nth(2) == Some(&number.to_string()));
            Ok(line.and_then(|line| line.split(':').next()).unwrap_or("unknown").to_owned())
        };
        let (user, group) = (named("/etc/passwd", attrs.uid)?, named("/etc/group", attrs.gid)?);
        let text = format!("user {} {user}\ngroup {} {group}\n", attrs.uid, attrs.gid);
        let place = below(&parent, &format!("owner-of.{}", to.name()))?;
        let source = Source::Bytes(text.as_bytes());
        sys.effect(&Effect::Write { path: &place, source, attrs: &private(0o600) })?;
    }
    Ok(to)
}

/// Keeps a copy of a file or link in the attic and leaves it in its place, to be replaced there by one rename.
pub(crate) fn keep_copy(sys: &mut dyn Sys, store: &Store, path: &HostPath) -> Result<HostPath, SysError> {
    let to = free_place(sys, store, path)?;
    match sys.effect(&Effect::HardLink { original: path, path: &to }) {
        Err(error) if error.crosses_devices() => copy(sys, path, &to)?,
        linked => drop(linked?),
    }
    Ok(to)
}

/// Keeps a further name for a file that has several, so that it can come back as the same file and not as a
/// copy that its other names know nothing of. Not where the store lies on another file system.
pub(crate) fn keep_inode(sys: &mut dyn Sys, store: &Store, path: &HostPath) -> Result<(), SysError> {
    let to = inode(store, path)?;
    if sys.meta(&to)?.is_some() {
        return Ok(());
    }
    if sys.meta(&store.attic)?.is_none() {
        sys.effect(&Effect::MakeDir { path: &store.attic, attrs: &private(0o700) })?;
    }
    match sys.effect(&Effect::HardLink { original: path, path: &to }) {
        Err(error) if error.crosses_devices() => Ok(()),
        linked => linked.map(drop),
    }
}

/// Puts the file itself back, if it was kept and nobody has changed it through another name since.
pub(crate) fn give_inode_back(
    sys: &mut dyn Sys,
    store: &Store,
    path: &HostPath,
    before: &PathState,
) -> Result<bool, SysError> {
    let kept = inode(store, path)?;
    if state_of(sys, &kept)? != *before {
        return Ok(false);
    }
    sys.effect(&Effect::HardLink { original: &kept, path })?;
    Ok(true)
}

/// The path is as before: the further name would only be counted.
pub(crate) fn forget_inode(sys: &mut dyn Sys, store: &Store, path: &HostPath) -> Result<(), SysError> {
    let kept = inode(store, path)?;
    if sys.meta(&kept)?.is_some() {
        sys.effect(&Effect::Remove { path: &kept })?;
    }
    Ok(())
}

fn inode(store: &Store, path: &HostPath) -> Result<HostPath, SysError> {
    below(&store.attic, &format!("same-file.{}", Digest::of(path.as_str().as_bytes())))
}

/// What the attic of this transaction holds of a path, also from a run that was cut off.
pub(crate) fn kept(sys: &dyn Sys, store: &Store, path: &HostPath) -> Result<Vec<HostPath>, SysError> {
    let mut found = Vec::new();
    for number in 0.. {
        let place = place(store, path, number)?;
        if sys.meta(&place)?.is_none() {
            break;
        }
        found.push(place);
    }
    Ok(found)
}

fn free_place(sys: &mut dyn Sys, store: &Store, path: &HostPath) -> Result<HostPath, SysError> {
    if sys.meta(&store.attic)?.is_none() {
        sys.effect(&Effect::MakeDir { path: &store.attic, attrs: &private(0o700) })?;
    }
    let taken = kept(sys, store, path)?.len();
    place(store, path, taken)
}

/// `etc_nginx_nginx.conf.3f9c2a71`: flat, so that what is kept of a directory and of a file in it cannot be
/// taken for each other; with a part of the path's digest, so that no two paths share a name.
fn place(store: &Store, path: &HostPath, number: usize) -> Result<HostPath, SysError> {
    let flat = path.as_str().trim_start_matches('/').replace('/', "_");
    let mut readable: Vec<char> = flat.chars().rev().take(LONGEST_NAME / 4).collect();
    readable.reverse();
    let readable: String = readable.into_iter().collect();
    let digest = Digest::of(path.as_str().as_bytes()).short();
    match number {
        0 => below(&store.attic, &format!("{readable}.{digest}")),
        _ => below(&store.attic, &format!("{readable}.{digest}.{number}")),
    }
}

/// The parents of a path that are not there, outermost first.
pub(crate) fn missing_parents(sys: &dyn Sys, path: &HostPath) -> Result<Vec<HostPath>, SysError> {
    let mut missing = Vec::new();
    let mut parent = path.parent();
    while let Some(dir) = parent {
        if sys.meta(&dir)?.is_some() {
            break;
        }
        parent = dir.parent();
        missing.push(dir);
    }
    missing.reverse();
    Ok(missing)
}

fn copy(sys: &mut dyn Sys, from: &HostPath, to: &HostPath) -> Result<(), SysError> {
    match state_of(sys, from)? {
        PathState::Absent => {}
        PathState::File { sha256, attrs, .. } => {
            sys.effect(&Effect::Write {
                path: to,
                source: Source::Host { path: from, sha256 },
                attrs: &attrs,
            })?;
        }
        PathState::Link { target, attrs } => {
            sys.effect(&Effect::MakeLink { path: to, target: &target, attrs: Some(&attrs) })?;
        }
        PathState::Dir { attrs } => {
            // A copy that was cut off left the directory behind.
            if sys.meta(to)?.is_none_or(|meta| meta.kind != Kind::Dir) {
                sys.effect(&Effect::MakeDir {
                    path: to,
                    attrs: &Attrs { mtime: private(0).mtime, ..attrs },
                })?;
            }
            for name in sys.list(from)? {
                copy(sys, &below(from, &name)?, &below(to, &name)?)?;
            }
        }
        PathState::Special { .. } => {
            log::warn!("{from} is no file, directory or link: it is not kept");
        }
    }
    Ok(())
}
