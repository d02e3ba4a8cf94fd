//! Effects that take a name away.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chom_format::HostPath;
use rustix::fs::{AtFlags, Dir as Names, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::super::{Kind, SysError};
use super::calls::{openat, renameat, renameat_with, unlinkat};
use super::put::sync_dir;
use super::walk::{Dir, Look, Place};
use super::{RealSys, fault};
use crate::sys::Effect;

pub(super) fn file(sys: &RealSys, path: &HostPath, sync: bool) -> Result<Arc<Dir>, SysError> {
    unlink(sys, path, AtFlags::empty(), "remove", sync)
}

pub(super) fn dir(sys: &RealSys, path: &HostPath, sync: bool) -> Result<Arc<Dir>, SysError> {
    unlink(sys, path, AtFlags::REMOVEDIR, "remove directory", sync)
}

fn unlink(
    sys: &RealSys,
    path: &HostPath,
    flags: AtFlags,
    operation: &'static str,
    sync: bool,
) -> Result<Arc<Dir>, SysError> {
    let place = sys.place(path)?;
    unlinkat(place.dir().fd(), place.name(), flags)
        .map_err(|error| SysError::io(operation, path)(error.into()))?;
    if sync {
        sync_dir(place.dir(), path)?;
    }
    Ok(Arc::clone(place.dir()))
}

pub(super) fn rename(
    sys: &RealSys,
    from: &HostPath,
    to: &HostPath,
    sync: bool,
) -> Result<Arc<Dir>, SysError> {
    let (source, target) = (sys.place(from)?, sys.place(to)?);
    let io = |error: io::Error| SysError::io("rename", format!("{from} to {to}"))(error);
    match renameat_with(
        source.dir().fd(),
        source.name(),
        target.dir().fd(),
        target.name(),
        RenameFlags::NOREPLACE,
    ) {
        Err(Errno::EXIST) => {
            return Err(SysError::io("rename to", to)(io::ErrorKind::AlreadyExists.into()));
        }
        // A file system that cannot promise it: where nobody else can make the name, it is enough to have looked.
        Err(Errno::INVAL) if target.dir().is_roots() => {
            if target.look().map_err(io)?.is_some() {
                return Err(SysError::io("rename to", to)(io::ErrorKind::AlreadyExists.into()));
            }
            renameat(source.dir().fd(), source.name(), target.dir().fd(), target.name())
        }
        renamed => renamed,
    }
    .map_err(|error| io(error.into()))?;
    if sync {
        // The new name first: between the two the path has both names on disk rather than none.
        sync_dir(target.dir(), to)?;
        sync_dir(source.dir(), from)?;
    }
    Ok(Arc::clone(target.dir()))
}

/// Removes a path with all below it, of whatever depth and under whatever names. `only_roots`: a directory that is not
/// root's is not entered, and so stays unless it is empty.
pub(super) fn tree(
    sys: &RealSys,
    path: &HostPath,
    only_roots: bool,
    sync: bool,
) -> Result<Arc<Dir>, SysError> {
    let place = sys.place(path)?;
    let io = |error| SysError::io("remove", path)(error);
    clear(&place, only_roots, &mut || fault::before(&Effect::Remove { path }).map(fault::Turn::over))
        .map_err(|error| match error {
            Stop::Io(error) => io(error),
            Stop::Sys(error) => error,
        })?;
    if sync {
        sync_dir(place.dir(), path)?;
    }
    Ok(Arc::clone(place.dir()))
}

/// Removes what only this program has made; what stays is found by whoever looks for it next.
pub(super) fn discard(place: &Place) {
    if let Err(Stop::Io(error)) = clear(place, false, &mut || Ok(())) {
        log::debug!("{} stays: {error}", place.name().display());
    }
}

/// Whoever makes names in a tree as fast as they are removed does not hold up a run for ever.
const LONGEST: Duration = Duration::from_secs(600);

/// Why a tree is not gone.
enum Stop {
    Io(io::Error),
    Sys(SysError),
}

impl From<Errno> for Stop {
    fn from(error: Errno) -> Self {
        Self::Io(error.into())
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// It does not matter who removed it.
fn gone(removed: Result<(), Errno>) -> Result<(), Stop> {
    match removed {
        Err(Errno::NOENT) => Ok(()),
        removed => Ok(removed?),
    }
}

/// One level on the way down: the name by which it was entered, and what it was.
struct Level {
    name: OsString,
    dev: u64,
    ino: u64,
}

/// Goes down to the first directory without directories, empties it, and goes up again. Only one directory is held at a
/// time, so no depth uses up the descriptors; the way up is by `..`, which must lead to where it came from.
fn clear(
    place: &Place,
    only_roots: bool,
    turn: &mut dyn FnMut() -> Result<(), SysError>,
) -> Result<(), Stop> {
    let Some(found) = place.look()? else { return Ok(()) };
    turn().map_err(Stop::Sys)?;
    if found.meta.kind != Kind::Dir {
        return gone(unlinkat(place.dir().fd(), place.name(), AtFlags::empty()));
    }
    let mut levels: Vec<Level> = Vec::new();
    let mut here = place.dir().fd().try_clone()?;
    let mut next = Some(place.name().to_owned());
    let end = Instant::now() + LONGEST;
    loop {
        if Instant::now() > end {
            return Err(Stop::Io(io::Error::other("somebody makes names in it as fast as they are removed")));
        }
        if let Some(name) = next.take() {
            let dir = match open(&here, &name) {
                // Somebody else was quicker.
                Err(Errno::NOENT) if levels.is_empty() => return Ok(()),
                Err(Errno::NOENT) => continue,
                opened => opened?,
            };
            let at = Look::of(&dir, "".as_ref())?;
            if at.is_mount {
                return Err(Stop::Io(io::Error::other(format!(
                    "another file system is mounted on {}",
                    name.display()
                ))));
            }
            if !only_roots || at.meta.is_roots() {
                let above = Look::of(&here, "".as_ref())?;
                levels.push(Level { name, dev: above.meta.dev, ino: above.meta.ino });
                here = dir;
            } else {
                unlinkat(&here, &name, AtFlags::REMOVEDIR)?;
                if levels.is_empty() {
                    return Ok(());
                }
            }
        }
        if let Some(name) = empty(&here, turn)? {
            next = Some(name);
            continue;
        }
        let Some(level) = levels.pop() else { return Ok(()) };
        let up = match levels.is_empty() {
            true => place.dir().fd().try_clone()?,
            false => open(&here, "..".as_ref())?,
        };
        let above = Look::of(&up, "".as_ref())?.meta;
        if (above.dev, above.ino) != (level.dev, level.ino) {
            return Err(Stop::Io(io::Error::other("somebody moved a directory of it while it was removed")));
        }
        turn().map_err(Stop::Sys)?;
        gone(unlinkat(&up, &level.name, AtFlags::REMOVEDIR))?;
        if levels.is_empty() {
            return Ok(());
        }
        here = up;
    }
}

/// Removes what is in a directory but directories; the first of these, when there is one.
fn empty(dir: &OwnedFd, turn: &mut dyn FnMut() -> Result<(), SysError>) -> Result<Option<OsString>, Stop> {
    use std::os::unix::ffi::OsStrExt as _;
    for entry in Names::read_from(dir)? {
        let entry = entry?;
        let name = std::ffi::OsStr::from_bytes(entry.file_name().to_bytes());
        if name == "." || name == ".." {
            continue;
        }
        let found = match Look::of(dir, name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            found => found?,
        };
        if found.meta.kind == Kind::Dir {
            return Ok(Some(name.to_owned()));
        }
        turn().map_err(Stop::Sys)?;
        gone(unlinkat(dir, name, AtFlags::empty()))?;
    }
    Ok(None)
}

fn open(dir: &OwnedFd, name: &std::ffi::OsStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(dir, name, flags, Mode::empty())
}
