//! Effects that put something in place. Files, links and directories are made under a temporary name, complete with
//! content and attributes, and then renamed: at no moment is half of one visible.
//!
//! What is filled, given attributes and renamed is held open from the moment in which it is made. In a directory that
//! others can write to the name is read again afterwards: when it does not lead to what was made here, somebody has
//! exchanged it meanwhile, and the effect has failed.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use chom_format::digest::Hasher;
use chom_format::{Digest, HostPath};
use rustix::fs::{AtFlags, FallocateFlags, Mode, OFlags, RenameFlags, fallocate};
use rustix::io::Errno;

use super::super::{Attrs, Kind, Meta, Of, Source, Sys as _, SysError};
use super::calls::{linkat, mkdirat, openat, renameat, renameat_with, symlinkat, unlinkat};
use super::sparse::Sparse;
use super::walk::{Dir, Look, Place, names};
use super::{RealSys, attrs as set, walk};

/// As much as is read and written at once.
const CHUNK: usize = 64 << 10;
/// How often a name that others make and remove is tried before that is told.
const TRIES: usize = 32;

pub(super) fn file(
    sys: &RealSys,
    path: &HostPath,
    source: &Source<'_>,
    attrs: &Attrs,
    sync: bool,
) -> Result<Arc<Dir>, SysError> {
    let place = sys.place(path)?;
    in_place(sys, path, &place, sync, |temporary| {
        let mut file = make(path, place.dir(), temporary)?;
        fill(sys, path, source, &mut file)?;
        dress(path, file, attrs, sync)
    })
}

pub(super) fn link(
    sys: &RealSys,
    path: &HostPath,
    target: &str,
    attrs: Option<&Attrs>,
    sync: bool,
) -> Result<Arc<Dir>, SysError> {
    let place = sys.place(path)?;
    in_place(sys, path, &place, sync, |temporary| {
        symlinkat(target, place.dir().fd(), temporary)
            .map_err(|error| SysError::io("make the link", path)(error.into()))?;
        let held = place.dir().at(temporary).hold().map_err(SysError::io("open", path))?;
        if let Some(attrs) = attrs {
            expect(&held, Kind::Link, path)?;
            set::set(&held, Kind::Link, attrs).map_err(SysError::io("set attributes of", path))?;
        }
        Ok(held)
    })
}

pub(super) fn hard_link(
    sys: &RealSys,
    original: &HostPath,
    path: &HostPath,
    sync: bool,
) -> Result<Arc<Dir>, SysError> {
    let (from, place) = (sys.place(original)?, sys.place(path)?);
    let held = from.hold().map_err(SysError::io("open", original))?;
    in_place(sys, path, &place, sync, |temporary| {
        linkat(from.dir().fd(), from.name(), place.dir().fd(), temporary, AtFlags::empty())
            .map_err(|error| SysError::io("make the hard link", path)(error.into()))?;
        held.try_clone().map_err(SysError::io("open", original))
    })
}

pub(super) fn dir(sys: &RealSys, path: &HostPath, attrs: &Attrs, sync: bool) -> Result<Arc<Dir>, SysError> {
    let place = sys.place(path)?;
    if place.look().map_err(SysError::io("stat", path))?.is_some() {
        return Err(SysError::io("make directory", path)(io::ErrorKind::AlreadyExists.into()));
    }
    in_place(sys, path, &place, sync, |temporary| {
        let io = |error: Errno| SysError::io("make directory", path)(error.into());
        mkdirat(place.dir().fd(), temporary, Mode::from_raw_mode(0o700)).map_err(io)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let held = openat(place.dir().fd(), temporary, flags, Mode::empty()).map_err(io)?;
        expect(&held, Kind::Dir, path)?;
        set::set(&held, Kind::Dir, attrs).map_err(SysError::io("set attributes of", path))?;
        if sync {
            rustix::fs::fsync(&held).map_err(|error| SysError::io("sync", path)(error.into()))?;
        }
        Ok(held)
    })
}

/// What has a temporary name is what was just made under it: ours, and empty. Before it gets an owner: in the directory of
/// another account something else of ours may have been moved there.
fn expect(held: &OwnedFd, kind: Kind, path: &HostPath) -> Result<(), SysError> {
    let io = |error| SysError::io("look at", path)(error);
    let found = Look::of(held, OsStr::new("")).map_err(io)?.meta;
    let ours = found.kind == kind && found.uid == rustix::process::geteuid().as_raw();
    let empty = kind != Kind::Dir || names(held).map_err(io)?.is_empty();
    if ours && empty { Ok(()) } else { Err(exchanged(path)) }
}

fn exchanged(path: &HostPath) -> SysError {
    SysError::other("put in place", path, "another account exchanged it in this very moment")
}

pub(super) fn attrs(
    sys: &RealSys,
    path: &HostPath,
    attrs: &Attrs,
    of: Of,
    sync: bool,
) -> Result<Arc<Dir>, SysError> {
    let place = sys.place(path)?;
    let held = place.hold().map_err(SysError::io("open", path))?;
    let found = Look::of(&held, OsStr::new("")).map_err(SysError::io("stat", path))?.meta;
    // Somebody else may hold it open, or have another name for it, and would go on to write what is then root's.
    let shared = !place.dir().is_roots() || !found.is_roots();
    let kept_by_owner = (found.uid, found.gid) == (attrs.uid, attrs.gid);
    match (of, found.kind) {
        (Of::File(content), Kind::File) if shared && !(place.dir().is_roots() && kept_by_owner) => {
            return anew(sys, path, &place, attrs, content, sync);
        }
        (Of::Dir | Of::Any, Kind::Dir) => take_over(&held, path, &place, attrs)?,
        (Of::File(_), Kind::File) => {
            set::set(&held, Kind::File, attrs).map_err(SysError::io("set attributes of", path))?
        }
        (Of::Any, kind) if place.dir().is_roots() => {
            set::set(&held, kind, attrs).map_err(SysError::io("set attributes of", path))?;
        }
        _ => return Err(exchanged(path)),
    }
    if sync && matches!(found.kind, Kind::File | Kind::Dir) {
        // Opened by its magic name: what is held, and not what has the path's name by now.
        let file = openat(
            rustix::fs::CWD,
            walk::magic(&held),
            OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC,
            Mode::empty(),
        );
        file.and_then(rustix::fs::fsync).map_err(|error| SysError::io("sync", path)(error.into()))?;
    }
    Ok(Arc::clone(place.dir()))
}

/// Gives a directory its attributes. From the moment on in which it is root's, links in it are followed: so none may be in
/// it by then that somebody else has put there. A directory that holds one stays whose it is.
fn take_over(held: &OwnedFd, path: &HostPath, place: &Place, attrs: &Attrs) -> Result<(), SysError> {
    let io = |error| SysError::io("set attributes of", path)(error);
    let was = Look::of(held, OsStr::new("")).map_err(io)?;
    let wanted = Meta { uid: attrs.uid, gid: attrs.gid, mode: attrs.mode, ..was.meta };
    if !place.dir().is_roots() || was.is_roots(held).map_err(io)? || !wanted.is_roots() {
        return set::set(held, Kind::Dir, attrs).map_err(io);
    }
    no_foreign_link(held, path)?;
    let before = Attrs { xattrs: set::xattrs(held).map_err(io)?, ..was.meta.plain_attrs() };
    set::set(held, Kind::Dir, attrs).map_err(io)?;
    // Nobody can put one there any more; a moment before somebody could.
    no_foreign_link(held, path).inspect_err(|_| drop(set::set(held, Kind::Dir, &before)))
}

fn no_foreign_link(held: &OwnedFd, path: &HostPath) -> Result<(), SysError> {
    let io = |error| SysError::io("look at", path)(error);
    for name in names(held).map_err(io)? {
        let Ok(found) = Look::of(held, &name) else { continue };
        if found.meta.kind == Kind::Link && found.meta.uid != 0 {
            let why = format!(
                "others could write to it, and its link `{}` is not root's: whoever made it could lead root elsewhere; \
                 remove the link, or give it to root (chown -h root)",
                name.display()
            );
            return Err(SysError::other("set attributes of", path, why));
        }
    }
    Ok(())
}

/// A new file with this content takes the place of one that others may hold. They may also have put another one there
/// meanwhile, even a further name of one that they cannot read: that gets no new owner, and no copy of it does.
fn anew(
    sys: &RealSys,
    path: &HostPath,
    place: &Place,
    attrs: &Attrs,
    content: Digest,
    sync: bool,
) -> Result<Arc<Dir>, SysError> {
    let from = place.read().map_err(SysError::io("open", path))?;
    let size = from.metadata().map_err(SysError::io("stat", path))?.len();
    in_place(sys, path, place, sync, |temporary| {
        let mut file = make(path, place.dir(), temporary)?;
        let mut hasher = Hasher::new(Sparse::new(&mut file));
        io::copy(&mut io::BufReader::with_capacity(CHUNK, (&from).take(size)), &mut hasher)
            .map_err(SysError::io("copy to", path))?;
        let (found, _, sparse) = hasher.finish();
        sparse.end().map_err(SysError::io("write", path))?;
        if found != content {
            return Err(exchanged(path));
        }
        dress(path, file, attrs, sync)
    })
}

/// An empty file that nobody else can open.
fn make(path: &HostPath, dir: &Dir, temporary: &OsStr) -> Result<File, SysError> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let made = openat(dir.fd(), temporary, flags, Mode::from_raw_mode(0o600));
    Ok(File::from(made.map_err(|error| SysError::io("create", path)(error.into()))?))
}

/// Gives a file that is filled its attributes.
fn dress(path: &HostPath, file: File, attrs: &Attrs, sync: bool) -> Result<OwnedFd, SysError> {
    let held = OwnedFd::from(file);
    set::set(&held, Kind::File, attrs).map_err(SysError::io("set attributes of", path))?;
    if sync {
        rustix::fs::fsync(&held).map_err(|error| SysError::io("sync", path)(error.into()))?;
    }
    Ok(held)
}

pub(super) fn reserve(sys: &RealSys, path: &HostPath, bytes: u64, sync: bool) -> Result<Arc<Dir>, SysError> {
    let place = sys.place(path)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = openat(place.dir().fd(), place.name(), flags, Mode::from_raw_mode(0o600));
    let file = file.map_err(|error| SysError::io("open", path)(error.into()))?;
    match fallocate(&file, FallocateFlags::KEEP_SIZE, 0, bytes) {
        // A file system that cannot promise space: preflight's margin is all that there is.
        Ok(()) | Err(Errno::OPNOTSUPP) => {}
        Err(error) => return Err(SysError::io("reserve space for", path)(error.into())),
    }
    if sync {
        rustix::fs::fsync(&file).map_err(|error| SysError::io("sync", path)(error.into()))?;
        sync_dir(place.dir(), path)?;
    }
    Ok(Arc::clone(place.dir()))
}

pub(super) fn append(sys: &RealSys, journal: &HostPath, at: u64, frame: &[u8]) -> Result<Arc<Dir>, SysError> {
    let place = sys.place(journal)?;
    let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = openat(place.dir().fd(), place.name(), flags, Mode::empty());
    let file = File::from(file.map_err(|error| SysError::io("open", journal)(error.into()))?);
    let io = |error| SysError::io("append to", journal)(error);
    // What a torn frame left behind this one is overwritten and not cut off: shortening a file gives its
    // reserved space back, and a full disk would not give it again.
    let torn = file.metadata().map_err(io)?.len().saturating_sub(at + frame.len() as u64);
    let mut bytes = frame.to_vec();
    bytes.resize(frame.len() + usize::try_from(torn).unwrap_or(0), 0);
    file.write_all_at(&bytes, at).map_err(io)?;
    file.sync_data().map_err(SysError::io("sync", journal))?;
    Ok(Arc::clone(place.dir()))
}

/// Makes something under a temporary name and renames it. After a failure the temporary name is gone.
fn in_place(
    sys: &RealSys,
    path: &HostPath,
    place: &Place,
    sync: bool,
    made: impl Fn(&OsStr) -> Result<OwnedFd, SysError>,
) -> Result<Arc<Dir>, SysError> {
    let temporary = sys.temporary().map_err(SysError::io("make a name for", path))?;
    let made = made(&temporary).and_then(|held| settle(path, place, &temporary, &held));
    if let Err(error) = made {
        // The first error is the one to tell; what stays is swept by whoever holds the lock next.
        if let Err(second) = clear(place.dir(), &temporary) {
            log::warn!("{} stays behind beside {path}: {second}", temporary.display());
        }
        return Err(error);
    }
    if sync {
        sync_dir(place.dir(), path)?;
    }
    Ok(Arc::clone(place.dir()))
}

/// Gives what was made its name. What had the name before is gone afterwards; a directory is never.
fn settle(path: &HostPath, place: &Place, temporary: &OsString, held: &OwnedFd) -> Result<(), SysError> {
    let io = |error: io::Error| SysError::io("put in place", path)(error);
    let dir = place.dir();
    let made = Look::of(held, OsStr::new("")).map_err(io)?;
    for _ in 0..TRIES {
        let (flags, replaces) = match place.look().map_err(io)? {
            None => (RenameFlags::NOREPLACE, false),
            Some(_) if made.meta.kind == Kind::Dir => return Err(io(io::ErrorKind::AlreadyExists.into())),
            Some(found) if found.meta.kind == Kind::Dir => {
                return Err(io(io::ErrorKind::IsADirectory.into()));
            }
            Some(_) => (RenameFlags::EXCHANGE, true),
        };
        match renameat_with(dir.fd(), temporary, dir.fd(), place.name(), flags) {
            Ok(()) => {}
            // It came or went in between.
            Err(Errno::EXIST | Errno::NOENT) => continue,
            // A file system that knows neither: where only root makes names the old call does the same.
            Err(Errno::INVAL) if dir.is_roots() => {
                renameat(dir.fd(), temporary, dir.fd(), place.name()).map_err(|error| io(error.into()))?;
            }
            Err(error) => return Err(io(error.into())),
        }
        if replaces {
            clear(dir, temporary).map_err(io)?;
        }
        let same = |found: Look| (found.meta.dev, found.meta.ino) == (made.meta.dev, made.meta.ino);
        return if place.look().map_err(io)?.is_some_and(same) { Ok(()) } else { Err(exchanged(path)) };
    }
    Err(io(io::Error::other("another account makes and removes this name all the time")))
}

/// Removes a temporary name. It cannot be a directory with something in it, unless somebody else has made that.
fn clear(dir: &Dir, temporary: &OsStr) -> io::Result<()> {
    match unlinkat(dir.fd(), temporary, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => Ok(unlinkat(dir.fd(), temporary, AtFlags::REMOVEDIR)?),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn sync_dir(dir: &Dir, path: &HostPath) -> Result<(), SysError> {
    let io = |error| SysError::io("sync the directory of", path)(error);
    let open = dir.open().map_err(io)?;
    rustix::fs::fsync(open).map_err(|error| io(error.into()))
}

fn fill(sys: &RealSys, path: &HostPath, source: &Source<'_>, to: &mut File) -> Result<(), SysError> {
    if let Source::Made(made) = source {
        let mut sparse = Sparse::new(to);
        made.make(sys, &mut sparse)?;
        return sparse.end().map_err(SysError::io("write", path));
    }
    let mut reader: Box<dyn Read + '_> = match *source {
        Source::Bytes(bytes) => Box::new(bytes),
        Source::Made(_) => Box::new(io::empty()),
        Source::File { file, .. } => {
            Box::new(walk::outside(file).map_err(SysError::io("open", file.display()))?)
        }
        Source::Host { path, .. } => sys.open(path)?,
        Source::Part { path, offset, size, .. } => {
            let mut file = sys.open_file(path)?;
            file.seek(SeekFrom::Start(offset)).map_err(SysError::io("read", path))?;
            Box::new(file.take(size))
        }
        Source::Joined { paths, .. } => Box::new(Joined { sys, left: paths.iter(), open: None }),
    };
    let mut hasher = Hasher::new(Sparse::new(to));
    let mut reader = io::BufReader::with_capacity(CHUNK, &mut reader);
    io::copy(&mut reader, &mut hasher).map_err(SysError::io("copy to", path))?;
    let (found, _, sparse) = hasher.finish();
    sparse.end().map_err(SysError::io("write", path))?;
    match source.digest() {
        Some(wanted) if wanted != found => Err(SysError::Digest { object: path.to_string(), wanted, found }),
        _ => Ok(()),
    }
}

/// Several files as one stream, each opened when its turn comes.
struct Joined<'a> {
    sys: &'a RealSys,
    left: std::slice::Iter<'a, HostPath>,
    open: Option<File>,
}

impl Read for Joined<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(file) = &mut self.open {
                let count = file.read(buf)?;
                if count > 0 {
                    return Ok(count);
                }
            }
            let Some(next) = self.left.next() else { return Ok(0) };
            self.open = Some(self.sys.open_file(next).map_err(|error| io::Error::other(error.to_string()))?);
        }
    }
}

impl Source<'_> {
    /// The digest that the bytes must have; bytes in memory need none.
    pub fn digest(&self) -> Option<chom_format::Digest> {
        match self {
            Self::Bytes(_) | Self::Made(_) => None,
            Self::File { sha256, .. }
            | Self::Host { sha256, .. }
            | Self::Part { sha256, .. }
            | Self::Joined { sha256, .. } => Some(*sha256),
        }
    }
}
