//! A private directory for what is unpacked or copied before it is believed: of a name that nobody else can make, filled
//! by descriptors, gone when it is dropped.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use chom_format::{HostPath, RelPath};
use rustix::fs::{Mode, OFlags, mkdirat, openat};
use rustix::io::Errno;

use super::super::{Kind, SysError};
use super::remove;
use super::walk::{self, Place};

/// Where temporary directories are made.
#[derive(Debug)]
pub(crate) struct Base {
    path: HostPath,
    dir: std::sync::Arc<walk::Dir>,
}

/// The directory; removed when dropped. That is comfort only: the next run sweeps what stays.
#[derive(Debug)]
pub(crate) struct Scratch {
    place: Place,
    open: OwnedFd,
    path: PathBuf,
}

impl Base {
    /// A directory in which nobody else can move what we make: root's or ours, and writable for others only with the sticky
    /// bit.
    pub(crate) fn open(path: &HostPath) -> Result<Option<Self>, SysError> {
        let Some(dir) = walk::directory(Path::new("/"), path)? else { return Ok(None) };
        let meta = walk::Look::of(dir.fd(), OsStr::new("")).map_err(SysError::io("look at", path))?.meta;
        let ours = [0, rustix::process::geteuid().as_raw()].contains(&meta.uid);
        let (others, sticky) = (meta.mode.bits() & 0o022 != 0, meta.mode.bits() & 0o1000 != 0);
        Ok((ours && (!others || sticky)).then(|| Self { path: path.clone(), dir }))
    }

    /// The names in it that begin so and are directories of ours.
    pub(crate) fn ours(&self, prefix: &str) -> Vec<String> {
        let names = walk::names(self.dir.fd()).unwrap_or_default();
        let mine = |name: &String| {
            let found = self.dir.at(name.as_str()).meta().ok().flatten();
            let me = rustix::process::geteuid().as_raw();
            name.starts_with(prefix) && found.is_some_and(|meta| meta.kind == Kind::Dir && meta.uid == me)
        };
        names.into_iter().filter_map(|name| name.into_string().ok()).filter(mine).collect()
    }

    /// Removes one of them.
    pub(crate) fn discard(&self, name: &str) {
        remove::discard(&self.dir.at(name));
    }

    /// Makes a directory of this name; none when something has it: it may be somebody else's trap.
    pub(crate) fn make(&self, name: &str) -> io::Result<Option<Scratch>> {
        match mkdirat(self.dir.fd(), name, Mode::from_raw_mode(0o700)) {
            Ok(()) => {}
            Err(Errno::EXIST) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        let place = self.dir.at(name);
        let open = dir_in(self.dir.fd(), OsStr::new(name))?;
        let path = Path::new(self.path.as_str()).join(name);
        Ok(Some(Scratch { place, open, path }))
    }
}

impl Scratch {
    /// Where it lies.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a directory in it, with all above it.
    pub(crate) fn make_dir(&self, path: &RelPath) -> io::Result<OwnedFd> {
        let mut dir = self.open.try_clone()?;
        for part in Path::new(path.as_str()).iter() {
            match mkdirat(&dir, part, Mode::from_raw_mode(0o700)) {
                Ok(()) | Err(Errno::EXIST) => dir = dir_in(&dir, part)?,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(dir)
    }

    /// Makes a file in it, with all above it.
    pub(crate) fn create(&self, path: &RelPath, mode: u32) -> io::Result<File> {
        let parent = path.as_str().rsplit_once('/').and_then(|(parent, _)| parent.parse().ok());
        let dir = match parent {
            Some(parent) => self.make_dir(&parent)?,
            None => self.open.try_clone()?,
        };
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(File::from(openat(&dir, path.name(), flags, Mode::from_raw_mode(mode))?))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        remove::discard(&self.place);
    }
}

fn dir_in(dir: &OwnedFd, name: &OsStr) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(dir, name, flags, Mode::empty())?)
}
