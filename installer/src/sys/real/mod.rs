//! The real host, or a directory that stands for one.
//!
//! Looking and writing work under any root; programs of the host run only when the root is `/`, for a
//! program started here would look at this machine and not at that root.

mod attrs;
pub(super) mod fault;
mod put;
mod remove;
mod room;
mod tree;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use chom_format::{Digest, HostPath, Mode};
use nix::fcntl::OFlag;
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::syncfs;

use super::index::Index;
use super::{Attrs, Command, Effect, Kind, Meta, Output, Space, Stamp, Sys, SysError, child};

/// A host by its root directory.
#[derive(Debug)]
pub struct RealSys {
    root: PathBuf,
    known: Index,
    read: Mutex<Index>,
    names: AtomicU64,
}

impl RealSys {
    /// The host whose `/` is this directory.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), known: Index::default(), read: Mutex::default(), names: AtomicU64::new(0) }
    }

    /// With the memory of an earlier run, see [`Sys::digest`].
    #[must_use]
    pub fn with_index(mut self, index: Index) -> Self {
        self.known = index;
        self
    }

    fn on_host(&self, command: &Command) -> Result<(), SysError> {
        if self.root == Path::new("/") {
            return Ok(());
        }
        let program = command.argv.first().map_or("", String::as_str);
        let why = "its root is a directory: it can be looked at, its programs cannot be run";
        Err(SysError::other("run", program, why))
    }

    /// A name for a file that is not yet what it will be, in the directory where it will be.
    fn temporary(&self, beside: &Path) -> PathBuf {
        let number = self.names.fetch_add(1, Ordering::Relaxed);
        beside.with_file_name(format!("{}{number}", super::TEMPORARY))
    }

    fn sync(&self) -> Result<(), SysError> {
        if self.root == Path::new("/") {
            nix::unistd::sync();
            return Ok(());
        }
        let io = |error| SysError::io("sync", self.root.display())(error);
        let root = File::open(&self.root).map_err(io)?;
        syncfs(&root).map_err(|error| io(error.into()))
    }

    fn batch(&self, effects: &[Effect<'_>]) -> Result<(), SysError> {
        let mut devices: Vec<(u64, PathBuf, File)> = Vec::new();
        for effect in effects {
            let turn = fault::before(effect)?;
            let touched = self.perform(effect, false)?;
            turn.over();
            let file = File::open(&touched).map_err(SysError::io("open", touched.display()))?;
            let device = file.metadata().map_err(SysError::io("stat", touched.display()))?.dev();
            if !devices.iter().any(|(known, ..)| *known == device) {
                devices.push((device, touched, file));
            }
        }
        for (_, touched, file) in &devices {
            let object = format!("the file system of {}", touched.display());
            syncfs(file).map_err(|error| SysError::io("sync", object)(error.into()))?;
        }
        Ok(())
    }

    /// Does one effect on files and gives the directory that it changed. With `sync` all of it is on the disk.
    fn perform(&self, effect: &Effect<'_>, sync: bool) -> Result<PathBuf, SysError> {
        let performed = match effect {
            Effect::Write { path, source, attrs } => put::file(self, path, source, attrs, sync),
            Effect::MakeDir { path, attrs } => put::dir(self, path, attrs, sync),
            Effect::MakeLink { path, target, attrs } => put::link(self, path, target, *attrs, sync),
            Effect::HardLink { original, path } => put::hard_link(self, original, path, sync),
            Effect::SetAttrs { path, attrs } => put::attrs(self, path, attrs, sync),
            Effect::Reserve { path, bytes } => put::reserve(self, path, *bytes, sync),
            Effect::Append { journal, at, frame } => put::append(self, journal, *at, frame),
            Effect::Remove { path } => remove::file(self, path, sync),
            Effect::RemoveDir { path } => remove::dir(self, path, sync),
            Effect::Rename { from, to } => remove::rename(self, from, to, sync),
            Effect::Run(_) | Effect::Batch(_) | Effect::Sync => {
                Err(SysError::other("batch", effect.describe(), "only effects on files can be made together"))
            }
        };
        performed.map_err(|error| room::explained(self, effect, error))
    }
}

impl Sys for RealSys {
    fn root(&self) -> &Path {
        &self.root
    }

    fn meta(&self, path: &HostPath) -> Result<Option<Meta>, SysError> {
        let Some(place) = tree::existing(&self.root, path)? else { return Ok(None) };
        match fs::symlink_metadata(place) {
            Ok(found) => Ok(Some(meta(&found))),
            Err(error) if absent(&error) => Ok(None),
            Err(error) => Err(SysError::io("stat", path)(error)),
        }
    }

    fn attrs(&self, path: &HostPath) -> Result<Option<Attrs>, SysError> {
        let Some(meta) = self.meta(path)? else { return Ok(None) };
        let Some(place) = tree::existing(&self.root, path)? else { return Ok(None) };
        let xattrs = attrs::xattrs(&place).map_err(SysError::io("read the attributes of", path))?;
        Ok(Some(Attrs { xattrs, ..meta.plain_attrs() }))
    }

    fn link(&self, path: &HostPath) -> Result<String, SysError> {
        let place = tree::place(&self.root, path)?;
        let target = fs::read_link(place).map_err(SysError::io("read the link", path))?;
        target.into_os_string().into_string().map_err(|text| {
            SysError::other("read the link", path, format!("its text is not UTF-8: {}", text.display()))
        })
    }

    fn open(&self, path: &HostPath) -> Result<Box<dyn Read>, SysError> {
        Ok(Box::new(self.open_file(path)?))
    }

    fn digest(&self, path: &HostPath) -> Result<Digest, SysError> {
        let file = self.open_file(path)?;
        let found = meta(&file.metadata().map_err(SysError::io("stat", path))?);
        if let Some(known) = self.known.get(path, &found) {
            self.remember(path, &found, known);
            return Ok(known);
        }
        let (digest, _) = Digest::of_reader(&file).map_err(SysError::io("read", path))?;
        // Only what did not change while it was read is worth remembering.
        let after = meta(&file.metadata().map_err(SysError::io("stat", path))?);
        if after == found {
            self.remember(path, &found, digest);
        }
        Ok(digest)
    }

    fn list(&self, dir: &HostPath) -> Result<Vec<String>, SysError> {
        let Some(place) = tree::existing(&self.root, dir)? else { return Ok(Vec::new()) };
        let entries = match fs::read_dir(place) {
            Ok(entries) => entries,
            Err(error) if absent(&error) => return Ok(Vec::new()),
            Err(error) => return Err(SysError::io("list", dir)(error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let name = entry.map_err(SysError::io("list", dir))?.file_name();
            // A name that no path type of ours can hold was not made by us and is never touched by us.
            let ours = |name: &String| name.starts_with(super::RESERVE);
            let foreign = |name: &String| name.chars().any(char::is_control);
            names.extend(name.into_string().ok().filter(|name| !foreign(name) && !ours(name)));
        }
        names.sort_unstable();
        Ok(names)
    }

    fn space(&self, path: &HostPath) -> Result<Space, SysError> {
        let mut nearest = path.clone();
        while self.meta(&nearest)?.is_none() {
            let Some(parent) = nearest.parent() else { break };
            nearest = parent;
        }
        let place = tree::place(&self.root, &nearest)?;
        let io = |error: nix::errno::Errno| SysError::io("measure the space of", path)(error.into());
        let found = statvfs(&place).map_err(io)?;
        let device = fs::metadata(&place).map_err(SysError::io("stat", path))?.dev();
        #[allow(clippy::useless_conversion, reason = "the types differ between architectures")]
        let (blocks, size) = (u64::from(found.blocks_free()), u64::from(found.fragment_size()));
        Ok(Space {
            device,
            free_bytes: blocks.saturating_mul(size),
            free_inodes: if found.files() == 0 { u64::MAX } else { found.files_free() },
            read_only: found.flags().contains(FsFlags::ST_RDONLY),
        })
    }

    fn ask(&self, command: &Command) -> Result<Output, SysError> {
        self.on_host(command)?;
        child::run(command)
    }

    fn stream(&self, command: &Command, out: &mut dyn io::Write) -> Result<Output, SysError> {
        self.on_host(command)?;
        child::stream(command, out)
    }

    fn effect(&mut self, effect: &Effect<'_>) -> Result<Output, SysError> {
        log::trace!("{}", effect.describe());
        if let Effect::Batch(effects) = effect {
            self.batch(effects)?;
            return Ok(Output::default());
        }
        let turn = fault::before(effect)?;
        let mut output = Output::default();
        match effect {
            Effect::Run(command) => {
                self.on_host(command)?;
                output = child::run(command)?;
            }
            Effect::Sync => self.sync()?,
            effect => {
                self.perform(effect, true)?;
            }
        }
        turn.over();
        Ok(output)
    }
}

impl RealSys {
    /// What this run has read or looked up: the memory for a next run. What nobody asked for is forgotten.
    pub fn remembered(&self) -> Index {
        self.read.lock().map(|read| read.clone()).unwrap_or_default()
    }

    fn remember(&self, path: &HostPath, meta: &Meta, digest: Digest) {
        if let Ok(mut read) = self.read.lock() {
            read.note(path, meta, digest, now());
        }
    }

    fn open_file(&self, path: &HostPath) -> Result<File, SysError> {
        let place = tree::place(&self.root, path)?;
        // Non-blocking, so that a fifo in the place of a file is an error and not a hang.
        let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits();
        let file = OpenOptions::new().read(true).custom_flags(flags).open(place);
        let file = file.map_err(SysError::io("open", path))?;
        if file.metadata().map_err(SysError::io("stat", path))?.is_file() {
            return Ok(file);
        }
        Err(SysError::other("open", path, "it is not a regular file"))
    }
}

/// The clock, as file systems keep it.
fn now() -> Stamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Stamp { sec: i64::try_from(since.as_secs()).unwrap_or(i64::MAX), nsec: since.subsec_nanos().into() }
}

fn absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn meta(found: &fs::Metadata) -> Meta {
    let of = found.file_type();
    let kind = match () {
        () if of.is_dir() => Kind::Dir,
        () if of.is_symlink() => Kind::Link,
        () if of.is_fifo() => Kind::Fifo,
        () if of.is_socket() => Kind::Socket,
        () if of.is_block_device() => Kind::Block,
        () if of.is_char_device() => Kind::Char,
        () => Kind::File,
    };
    Meta {
        kind,
        mode: Mode::from_bits(found.mode()),
        uid: found.uid(),
        gid: found.gid(),
        size: found.size(),
        mtime: Stamp { sec: found.mtime(), nsec: found.mtime_nsec() },
        ctime: Stamp { sec: found.ctime(), nsec: found.ctime_nsec() },
        dev: found.dev(),
        ino: found.ino(),
        nlink: found.nlink(),
        rdev: found.rdev(),
    }
}

#[cfg(test)]
mod tests;
