//! Effects that put something in place. Files, links and directories are made under a temporary name,
//! complete with content and attributes, and then renamed: at no moment is half of one visible.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _, symlink};
use std::path::{Path, PathBuf};

use chom_format::digest::Hasher;
use chom_format::{Digest, HostPath};
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, OFlag, fallocate};

use super::super::{Attrs, Source, Sys as _, SysError};
use super::{RealSys, attrs as set, tree};

/// As much as is read and written at once.
const CHUNK: usize = 64 << 10;
/// Fewer zeros than this are written.
const HOLE: usize = 4 << 10;

pub(super) fn file(
    sys: &RealSys,
    path: &HostPath,
    source: &Source<'_>,
    attrs: &Attrs,
    sync: bool,
) -> Result<PathBuf, SysError> {
    let place = tree::place(sys.root(), path)?;
    in_place(sys, path, &place, sync, |temporary| {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(temporary);
        let mut file = file.map_err(SysError::io("create", path))?;
        fill(sys, path, source, &mut file)?;
        set::set(temporary, attrs).map_err(SysError::io("set attributes of", path))?;
        if sync { file.sync_all().map_err(SysError::io("sync", path)) } else { Ok(()) }
    })
}

pub(super) fn link(
    sys: &RealSys,
    path: &HostPath,
    target: &str,
    attrs: Option<&Attrs>,
    sync: bool,
) -> Result<PathBuf, SysError> {
    let place = tree::place(sys.root(), path)?;
    in_place(sys, path, &place, sync, |temporary| {
        symlink(target, temporary).map_err(SysError::io("make the link", path))?;
        attrs
            .map_or(Ok(()), |attrs| set::set(temporary, attrs))
            .map_err(SysError::io("set attributes of", path))
    })
}

pub(super) fn hard_link(
    sys: &RealSys,
    original: &HostPath,
    path: &HostPath,
    sync: bool,
) -> Result<PathBuf, SysError> {
    let original = tree::place(sys.root(), original)?;
    let place = tree::place(sys.root(), path)?;
    in_place(sys, path, &place, sync, |temporary| {
        fs::hard_link(&original, temporary).map_err(SysError::io("make the hard link", path))
    })
}

pub(super) fn dir(sys: &RealSys, path: &HostPath, attrs: &Attrs, sync: bool) -> Result<PathBuf, SysError> {
    let place = tree::place(sys.root(), path)?;
    // A rename would silently take the place of an empty directory.
    if sys.meta(path)?.is_some() {
        return Err(SysError::io("make directory", path)(io::ErrorKind::AlreadyExists.into()));
    }
    in_place(sys, path, &place, sync, |temporary| {
        fs::DirBuilder::new().mode(0o700).create(temporary).map_err(SysError::io("make directory", path))?;
        set::set(temporary, attrs).map_err(SysError::io("set attributes of", path))?;
        if sync { sync_dir(temporary) } else { Ok(()) }
    })
}

pub(super) fn attrs(sys: &RealSys, path: &HostPath, attrs: &Attrs, sync: bool) -> Result<PathBuf, SysError> {
    let place = tree::place(sys.root(), path)?;
    set::set(&place, attrs).map_err(SysError::io("set attributes of", path))?;
    let found = fs::symlink_metadata(&place).map_err(SysError::io("stat", path))?;
    if sync && (found.is_file() || found.is_dir()) {
        let file = File::open(&place).map_err(SysError::io("open", path))?;
        file.sync_all().map_err(SysError::io("sync", path))?;
    }
    Ok(parent(&place))
}

pub(super) fn reserve(sys: &RealSys, path: &HostPath, bytes: u64, sync: bool) -> Result<PathBuf, SysError> {
    let place = tree::place(sys.root(), path)?;
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600).custom_flags(OFlag::O_NOFOLLOW.bits());
    let file = options.open(&place).map_err(SysError::io("open", path))?;
    match fallocate(&file, FallocateFlags::FALLOC_FL_KEEP_SIZE, 0, i64::try_from(bytes).unwrap_or(i64::MAX)) {
        // A file system that cannot promise space: preflight's margin is all that there is.
        Ok(()) | Err(Errno::EOPNOTSUPP) => {}
        Err(error) => return Err(SysError::io("reserve space for", path)(error.into())),
    }
    if sync {
        file.sync_all().map_err(SysError::io("sync", path))?;
        sync_dir(&parent(&place))?;
    }
    Ok(parent(&place))
}

pub(super) fn append(sys: &RealSys, journal: &HostPath, at: u64, frame: &[u8]) -> Result<PathBuf, SysError> {
    let place = tree::place(sys.root(), journal)?;
    let file = OpenOptions::new().write(true).custom_flags(OFlag::O_NOFOLLOW.bits()).open(&place);
    let file = file.map_err(SysError::io("open", journal))?;
    let io = |error| SysError::io("append to", journal)(error);
    // What a torn frame left behind this one is overwritten and not cut off: shortening a file gives its
    // reserved space back, and a full disk would not give it again.
    let torn = file.metadata().map_err(io)?.len().saturating_sub(at + frame.len() as u64);
    let mut bytes = frame.to_vec();
    bytes.resize(frame.len() + usize::try_from(torn).unwrap_or(0), 0);
    file.write_all_at(&bytes, at).map_err(io)?;
    file.sync_data().map_err(SysError::io("sync", journal))?;
    Ok(parent(&place))
}

/// Makes something under a temporary name and renames it. After a failure the temporary name is gone.
fn in_place(
    sys: &RealSys,
    path: &HostPath,
    place: &Path,
    sync: bool,
    make: impl Fn(&Path) -> Result<(), SysError>,
) -> Result<PathBuf, SysError> {
    let temporary = sys.temporary(place);
    clear(&temporary).map_err(SysError::io("clear the way for", path))?;
    let made = make(&temporary)
        .and_then(|()| fs::rename(&temporary, place).map_err(SysError::io("put in place", path)));
    if let Err(error) = made {
        // The first error is the one to tell; what stays is swept by whoever holds the lock next.
        if let Err(second) = clear(&temporary) {
            log::warn!("{} stays behind: {second}", temporary.display());
        }
        return Err(error);
    }
    // Renaming one of two names of the same file onto the other does nothing and leaves both.
    clear(&temporary).map_err(SysError::io("clear", path))?;
    let dir = parent(place);
    if sync {
        sync_dir(&dir)?;
    }
    Ok(dir)
}

/// Removes what a run that was cut off left under a temporary name.
fn clear(temporary: &Path) -> io::Result<()> {
    match fs::symlink_metadata(temporary) {
        Ok(found) if found.is_dir() => fs::remove_dir(temporary),
        Ok(_) => fs::remove_file(temporary),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

pub(super) fn sync_dir(dir: &Path) -> Result<(), SysError> {
    let io = |error| SysError::io("sync directory", dir.display())(error);
    File::open(dir).map_err(io)?.sync_all().map_err(io)
}

pub(super) fn parent(place: &Path) -> PathBuf {
    place.parent().unwrap_or(place).to_path_buf()
}

fn fill(sys: &RealSys, path: &HostPath, source: &Source<'_>, to: &mut File) -> Result<(), SysError> {
    if let Source::Made(made) = source {
        let mut sparse = Sparse { file: &mut *to, length: 0 };
        made.make(sys, &mut sparse)?;
        return sparse.end().map_err(SysError::io("write", path));
    }
    let mut reader: Box<dyn Read + '_> = match *source {
        Source::Bytes(bytes) => Box::new(bytes),
        Source::Made(_) => Box::new(io::empty()),
        Source::File { file, .. } => {
            let open = OpenOptions::new().read(true).custom_flags(OFlag::O_NOFOLLOW.bits()).open(file);
            Box::new(open.map_err(SysError::io("open", file.display()))?)
        }
        Source::Host { path, .. } => sys.open(path)?,
        Source::Part { path, offset, size, .. } => {
            let mut file = sys.open_file(path)?;
            file.seek(SeekFrom::Start(offset)).map_err(SysError::io("read", path))?;
            Box::new(file.take(size))
        }
        Source::Joined { paths, .. } => Box::new(Joined { sys, left: paths.iter(), open: None }),
    };
    let mut hasher = Hasher::new(Sparse { file: &mut *to, length: 0 });
    let mut reader = io::BufReader::with_capacity(CHUNK, &mut reader);
    io::copy(&mut reader, &mut hasher).map_err(SysError::io("copy to", path))?;
    let (found, _, sparse) = hasher.finish();
    sparse.end().map_err(SysError::io("write", path))?;
    match source.digest() {
        Some(wanted) if wanted != found => Err(SysError::Digest { object: path.to_string(), wanted, found }),
        _ => Ok(()),
    }
}

/// A file that leaves out what is nothing but zeros, as sparse files do: a database of ten gigabytes of holes
/// must not fill the disk when it is saved, nor when it comes back.
struct Sparse<'a> {
    file: &'a mut File,
    length: u64,
}

impl Sparse<'_> {
    fn end(self) -> io::Result<()> {
        self.file.set_len(self.length)?;
        self.file.flush()
    }
}

impl io::Write for Sparse<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // One run at a time: what is left comes again.
        let is_hole = |block: &&[u8]| block.len() == HOLE && block.iter().all(|byte| *byte == 0);
        let holes = bytes.chunks(HOLE).take_while(is_hole).count() * HOLE;
        let count = if holes > 0 {
            self.file.seek(SeekFrom::Current(i64::try_from(holes).unwrap_or(0)))?;
            holes
        } else {
            let blocks = bytes.chunks(HOLE).take_while(|block| !is_hole(block));
            let (run, _) = bytes.split_at(blocks.map(<[u8]>::len).sum());
            self.file.write(run)?
        };
        self.length += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
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
    pub fn digest(&self) -> Option<Digest> {
        match self {
            Self::Bytes(_) | Self::Made(_) => None,
            Self::File { sha256, .. }
            | Self::Host { sha256, .. }
            | Self::Part { sha256, .. }
            | Self::Joined { sha256, .. } => Some(*sha256),
        }
    }
}
