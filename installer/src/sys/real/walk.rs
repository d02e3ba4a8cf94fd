//! The one way to a path: part by part from `/`, each part by the descriptor of the directory that holds it.
//!
//! A path name says nothing about what it leads to in the next moment wherever another account can rename, remove or
//! link. So no call of this program takes a path of several parts. A walk opens one directory after the other
//! (`O_PATH`, not following) and ends with a [`Place`]: an open directory and one name in it.
//!
//! Invariant: while every directory so far is root's alone, links are followed and mounts are crossed, as the host
//! itself would; whoever owns the link, only root can have put it there. From the first directory on that somebody
//! else can write to, no link is followed and no mount is crossed, and that never changes back on the way. `openat2`
//! would do a part of this in one call, and is forbidden in some containers.
//!
//! When the root is a directory, links are followed inside that directory, so that an absolute link in it never leads to
//! this machine's own files.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Component, Path};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use chom_format::HostPath;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxAttributes, StatxFlags};
use rustix::io::Errno;

use super::super::{Kind, Meta, Stamp, SysError};
use super::calls::{openat, readlinkat, statx};

// As the kernel has it.
const MOST_LINKS: u32 = 40;
/// The kernel takes a lease away after `/proc/sys/fs/lease-break-time`, 45 seconds; a file is not waited for any longer.
const LEASE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);

/// A directory held open: whatever is done in it is done in this one, wherever its name leads by then.
#[derive(Debug)]
pub(crate) struct Dir {
    fd: OwnedFd,
    /// Nobody but root can have changed anything on the way to it, nor what is in it.
    roots: bool,
}

/// A name in an open directory, whether there is something or not.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    dir: Arc<Dir>,
    name: OsString,
}

/// The place of a path; its parents must be there.
pub(crate) fn place(root: &Path, path: &HostPath) -> Result<Place, SysError> {
    match find(root, path)? {
        Some(place) => Ok(place),
        None => Err(SysError::io("find", path)(io::ErrorKind::NotFound.into())),
    }
}

/// The place of a path. None when a parent is missing or is no directory, a link where none is followed included.
pub(crate) fn find(root: &Path, path: &HostPath) -> Result<Option<Place>, SysError> {
    let Some(parent) = path.parent() else {
        let dir = open_root(root).map_err(SysError::io("open", root.display()))?;
        return Ok(Some(Place { dir: Arc::new(dir), name: ".".into() }));
    };
    let dir = descend(root, &parent).map_err(SysError::io("find", path))?;
    Ok(dir.map(|dir| Place { dir, name: path.name().into() }))
}

/// The directory that a path leads to, links at its end included; none when it leads to none.
pub(crate) fn directory(root: &Path, path: &HostPath) -> Result<Option<Arc<Dir>>, SysError> {
    descend(root, path).map_err(SysError::io("find", path))
}

fn descend(root: &Path, path: &HostPath) -> io::Result<Option<Arc<Dir>>> {
    let mut above = vec![Arc::new(open_root(root)?)];
    let mut todo = parts(Path::new(path.as_str()));
    let (mut links, mut roots) = (0, true);
    while let Some(part) = todo.pop() {
        let Some(here) = above.last() else { return Ok(None) };
        roots &= here.roots;
        if part == ".." {
            if above.len() > 1 {
                above.pop();
            }
            continue;
        }
        match here.enter(&part, roots)? {
            Entered::Nothing => return Ok(None),
            Entered::Dir(dir) => above.push(Arc::new(dir)),
            Entered::Link(target) => {
                links += 1;
                if links > MOST_LINKS {
                    return Err(Errno::LOOP.into());
                }
                if target.as_bytes().starts_with(b"/") {
                    above.truncate(1);
                }
                todo.extend(parts(Path::new(&target)));
            }
        }
    }
    let Some(last) = above.pop() else { return Ok(None) };
    if last.roots && !roots {
        // Reached through a link that led through a directory of others and out of it again.
        return Ok(Some(Arc::new(Dir { fd: last.fd.try_clone()?, roots })));
    }
    Ok(Some(last))
}

/// The parts of a path, the last one first.
fn parts(path: &Path) -> Vec<OsString> {
    let part = |component| match component {
        Component::Normal(part) => Some(part.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::CurDir | Component::RootDir | Component::Prefix(_) => None,
    };
    path.components().rev().filter_map(part).collect()
}

/// What a part of a path is.
enum Entered {
    /// Nothing, or nothing that is gone through.
    Nothing,
    Dir(Dir),
    Link(OsString),
}

fn open_root(root: &Path) -> io::Result<Dir> {
    let fd = openat(CWD, root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let found = Look::of(&fd, OsStr::new(""))?;
    let roots = found.is_roots(&fd)?;
    Ok(Dir { fd, roots })
}

impl Dir {
    /// Goes one part further. `roots`: every directory so far is root's.
    fn enter(&self, part: &OsStr, roots: bool) -> io::Result<Entered> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = match openat(&self.fd, part, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(Entered::Nothing),
            Err(error) => return Err(error.into()),
        };
        let found = Look::of(&fd, OsStr::new(""))?;
        match found.meta.kind {
            // Somebody else's file system, or one that root has mounted where others can exchange its mount point.
            Kind::Dir if !roots && found.is_mount => Ok(Entered::Nothing),
            Kind::Dir => {
                let roots = roots && found.is_roots(&fd)?;
                Ok(Entered::Dir(Self { fd, roots }))
            }
            Kind::Link if roots => {
                let target = readlinkat(&fd, "", Vec::new())?;
                Ok(Entered::Link(OsString::from_vec(target.into_bytes())))
            }
            _ => Ok(Entered::Nothing),
        }
    }

    /// Its descriptor, for calls that act on names in it.
    pub(crate) fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// Whether nobody but root can change what is in it.
    pub(crate) fn is_roots(&self) -> bool {
        self.roots
    }

    /// The directory opened for reading: for its names, and to sync it.
    pub(crate) fn open(&self) -> io::Result<OwnedFd> {
        Ok(openat(&self.fd, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
    }

    /// A name in it.
    pub(crate) fn at(self: &Arc<Self>, name: impl Into<OsString>) -> Place {
        Place { dir: Arc::clone(self), name: name.into() }
    }
}

impl Place {
    /// The directory.
    pub(crate) fn dir(&self) -> &Arc<Dir> {
        &self.dir
    }

    /// The name in it.
    pub(crate) fn name(&self) -> &OsStr {
        &self.name
    }

    /// What lies there, links not followed; none when nothing does.
    pub(crate) fn look(&self) -> io::Result<Option<Look>> {
        match Look::of(&self.dir.fd, &self.name) {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The same, as much as callers outside need.
    pub(crate) fn meta(&self) -> io::Result<Option<Meta>> {
        Ok(self.look()?.map(|found| found.meta))
    }

    /// Holds what lies there, whatever it is: attributes are read and set on this and nothing else.
    pub(crate) fn hold(&self) -> io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(openat(&self.dir.fd, &self.name, flags, Mode::empty())?)
    }

    /// The text of a link.
    pub(crate) fn link(&self) -> io::Result<OsString> {
        Ok(OsString::from_vec(readlinkat(&self.dir.fd, &self.name, Vec::new())?.into_bytes()))
    }

    /// A regular file, opened for reading. A fifo in its place is an error and not a hang; a lease that its owner holds is
    /// waited for until the kernel takes it away.
    pub(crate) fn read(&self) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        // Opened only once it is known to be a file: opening a device may do something.
        if self.look()?.is_some_and(|found| found.meta.kind != Kind::File) {
            return Err(io::Error::other("it is not a regular file"));
        }
        let end = Instant::now() + LEASE;
        let file = loop {
            match openat(&self.dir.fd, &self.name, flags, Mode::empty()) {
                Err(Errno::WOULDBLOCK) if Instant::now() < end => sleep(POLL),
                opened => break File::from(opened?),
            }
        };
        if Look::of(&file, OsStr::new(""))?.meta.kind == Kind::File {
            return Ok(file);
        }
        Err(io::Error::other("it is not a regular file"))
    }
}

/// `lstat`, and what else the kernel tells of a path.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    pub(crate) meta: Meta,
    pub(crate) is_mount: bool,
    /// `chattr +i` or `+a`.
    pub(crate) is_immutable: bool,
}

impl Look {
    /// Of a name in an open directory; with an empty name of what is open.
    pub(crate) fn of(fd: &impl std::os::fd::AsFd, name: &OsStr) -> io::Result<Self> {
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT | AtFlags::EMPTY_PATH;
        let found = statx(fd, name, flags, StatxFlags::BASIC_STATS)?;
        let stamp = |time: rustix::fs::StatxTimestamp| Stamp { sec: time.tv_sec, nsec: time.tv_nsec.into() };
        let mode = u32::from(found.stx_mode);
        let kind = match rustix::fs::FileType::from_raw_mode(mode) {
            rustix::fs::FileType::Directory => Kind::Dir,
            rustix::fs::FileType::Symlink => Kind::Link,
            rustix::fs::FileType::Fifo => Kind::Fifo,
            rustix::fs::FileType::Socket => Kind::Socket,
            rustix::fs::FileType::BlockDevice => Kind::Block,
            rustix::fs::FileType::CharacterDevice => Kind::Char,
            _ => Kind::File,
        };
        let meta = Meta {
            kind,
            mode: chom_format::Mode::from_bits(mode),
            uid: found.stx_uid,
            gid: found.stx_gid,
            size: found.stx_size,
            mtime: stamp(found.stx_mtime),
            ctime: stamp(found.stx_ctime),
            dev: rustix::fs::makedev(found.stx_dev_major, found.stx_dev_minor),
            ino: found.stx_ino,
            nlink: found.stx_nlink.into(),
            rdev: rustix::fs::makedev(found.stx_rdev_major, found.stx_rdev_minor),
        };
        let is_mount = found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT);
        let marks = StatxAttributes::IMMUTABLE | StatxAttributes::APPEND;
        let is_immutable = found.stx_attributes.intersects(marks);
        Ok(Self { meta, is_mount, is_immutable })
    }

    /// Whether nobody but root can write here. The sticky bit is no exception: it keeps others from removing, and not
    /// from making.
    pub(super) fn is_roots(&self, fd: &OwnedFd) -> io::Result<bool> {
        if !self.meta.is_roots() {
            return Ok(false);
        }
        // With an access list the bits of the group are its mask, and say nothing of whom it lets in.
        Ok(self.meta.mode.bits() & 0o020 == 0 || !has_acl(fd)?)
    }
}

/// The names in an open directory, as they are, in no order.
pub(crate) fn names(dir: &OwnedFd) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    for entry in rustix::fs::Dir::new(openat(dir, ".", flags, Mode::empty())?)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(OsString::from_vec(name));
        }
    }
    Ok(names)
}

/// Whether a directory of this machine and all above it are root's alone.
pub(crate) fn is_private(dir: &HostPath) -> Result<bool, SysError> {
    Ok(directory(Path::new("/"), dir)?.is_some_and(|dir| dir.roots))
}

/// A regular file of a bundle.
pub(crate) fn outside(file: &Path) -> io::Result<File> {
    let path = file.to_str().and_then(|text| text.parse::<HostPath>().ok());
    let path = path.ok_or_else(|| io::Error::other("its path holds what no path of a bundle may hold"))?;
    let found = find(Path::new("/"), &path).map_err(|error| io::Error::other(error.to_string()))?;
    found.ok_or(io::ErrorKind::NotFound)?.read()
}

/// The whole path of what the operator has named, links followed: it is the only name that is followed wherever it leads.
pub(crate) fn named_outside(path: &Path) -> io::Result<(std::path::PathBuf, Kind)> {
    let held = openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let kind = Look::of(&held, OsStr::new(""))?.meta.kind;
    let whole = readlinkat(CWD, magic(&held), Vec::new())?.into_bytes();
    Ok((OsString::from_vec(whole).into(), kind))
}

/// What a file is kept open for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// To be read.
    Read,
    /// To be locked, and to say by whom; made when it is missing.
    Lock,
    /// To be locked where it is another program's.
    LockTheirs,
    /// To be written at its end; made when it is missing.
    Append,
}

/// A file that is kept open; none when it is missing and is not to be made.
pub(crate) fn open_own(root: &Path, path: &HostPath, access: Access) -> Result<Option<File>, SysError> {
    let Some(place) = find(root, path)? else { return Ok(None) };
    let access = match access {
        Access::Read => OFlags::RDONLY,
        Access::Lock => OFlags::RDWR | OFlags::CREATE,
        Access::LockTheirs => OFlags::RDWR,
        Access::Append => OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE,
    };
    let flags = access | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match openat(&place.dir.fd, &place.name, flags, Mode::from_raw_mode(0o600)) {
        Ok(fd) => Ok(Some(File::from(fd))),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(SysError::io("open", path)(error.into())),
    }
}

/// The path that leads to an open directory now.
pub(crate) fn path_of(dir: &Dir) -> io::Result<OsString> {
    Ok(OsString::from_vec(readlinkat(CWD, magic(&dir.fd), Vec::new())?.into_bytes()))
}

fn has_acl(fd: &OwnedFd) -> io::Result<bool> {
    let path = magic(fd);
    match rustix::fs::getxattr(&path, "system.posix_acl_access", &mut [0_u8; 0][..]) {
        Ok(size) => Ok(size > 0),
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The name under which a descriptor is reached by calls that take no `O_PATH` descriptor. It leads to what is open, and
/// nowhere else.
pub(crate) fn magic(fd: &OwnedFd) -> String {
    format!("/proc/thread-self/fd/{}", fd.as_fd().as_raw_fd())
}
