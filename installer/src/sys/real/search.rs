//! Goes through the whole host for what belongs to somebody.
//!
//! By descriptors, and so to any depth. What others mount or move about meanwhile holds nothing up: a file system that
//! another program answers for is not entered, and where a directory is moved while it is searched, the search goes on
//! above it and says so.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use rustix::fs::{Mode, OFlags};

use super::super::{Kind, Meta, mounts};
use super::calls::openat;
use super::walk::{Dir, Look, names};

/// As many directories are held open; further down each is found again from the one below it.
const HELD: usize = 200;
/// File systems of other machines or of other programs, which answer when they like.
const NOT_OURS: [&str; 8] = ["fuse", "nfs", "cifs", "smb", "9p", "ceph", "autofs", "afs"];

struct Level {
    dir: Option<Rc<OwnedFd>>,
    dev: u64,
    ino: u64,
    /// Not yet looked at.
    names: Vec<OsString>,
    /// Its path.
    path: OsString,
}

/// The paths of what `is_wanted` says yes to, the first `most` of them. `skipped`: what is not entered.
pub(super) fn search(
    root: &Dir,
    skipped: &[&str],
    most: usize,
    is_wanted: &dyn Fn(&Meta) -> bool,
) -> io::Result<Vec<String>> {
    let mounts = mounts::read().unwrap_or_default();
    let foreign: Vec<&OsStr> = mounts
        .iter()
        .filter(|mount| NOT_OURS.iter().any(|kind| mount.file_system.starts_with(kind)))
        .map(|mount| OsStr::new(mount.point.as_str()))
        .collect();
    let is_skipped = |path: &OsStr| skipped.iter().any(|skip| path == *skip) || foreign.contains(&path);
    let mut found = Vec::new();
    let mut here = Rc::new(root.open()?);
    let mut levels = vec![level(&here, OsString::new())?];
    while let Some(top) = levels.last_mut() {
        let Some(name) = top.names.pop() else {
            let Some(done) = levels.pop() else { break };
            here = above(&here, &done, &mut levels)?;
            continue;
        };
        let mut path = top.path.clone();
        path.push("/");
        path.push(&name);
        if is_skipped(&path) {
            continue;
        }
        // It may have gone since it was listed, or be one that not even root may look at.
        let Ok(meta) = Look::of(&*here, &name).map(|found| found.meta) else { continue };
        if is_wanted(&meta) {
            found.push(path.to_string_lossy().into_owned());
            if found.len() >= most {
                break;
            }
        }
        let flags =
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        if meta.kind == Kind::Dir
            && let Ok(dir) = openat(&*here, &name, flags, Mode::empty())
        {
            let dir = Rc::new(dir);
            let mut next = level(&dir, path)?;
            if levels.len() >= HELD {
                next.dir = None;
            }
            levels.push(next);
            here = dir;
        }
    }
    Ok(found)
}

fn level(dir: &Rc<OwnedFd>, path: OsString) -> io::Result<Level> {
    let meta = Look::of(&**dir, OsStr::new(""))?.meta;
    // One that cannot be read is as good as empty.
    let names = names(dir).unwrap_or_default();
    Ok(Level { dir: Some(Rc::clone(dir)), dev: meta.dev, ino: meta.ino, names, path })
}

/// The directory above the one that is done.
fn above(here: &Rc<OwnedFd>, done: &Level, levels: &mut Vec<Level>) -> io::Result<Rc<OwnedFd>> {
    let Some(level) = levels.last() else { return Ok(Rc::clone(here)) };
    if let Some(dir) = &level.dir {
        return Ok(Rc::clone(dir));
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    if let Ok(up) = openat(&**here, "..", flags, Mode::empty()) {
        let meta = Look::of(&up, OsStr::new(""))?.meta;
        if (meta.dev, meta.ino) == (level.dev, level.ino) {
            return Ok(Rc::new(up));
        }
    }
    log::warn!("{} was moved while it was searched: the rest of it is left out", done.path.display());
    while levels.last().is_some_and(|level| level.dir.is_none()) {
        levels.pop();
    }
    Ok(levels.last().and_then(|level| level.dir.clone()).unwrap_or_else(|| Rc::clone(here)))
}
