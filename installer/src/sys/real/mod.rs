//! The real host, or a directory that stands for one.
//!
//! Looking and writing work under any root; programs of the host run only when the root is `/`, for a
//! program started here would look at this machine and not at that root.

mod attrs;
pub(super) mod calls;
pub(super) mod fault;
mod known_dirs;
mod put;
mod remove;
mod room;
pub(super) mod scratch;
mod search;
mod sparse;
pub(super) mod walk;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use chom_format::{Digest, HostPath};
use rustix::fs::{StatVfsMountFlags, fstatvfs};

use self::known_dirs::KnownDirs;
use self::walk::{Dir, Look, Place};
use super::index::Index;
use super::{Attrs, Command, Effect, Kind, Meta, Output, Space, Stamp, Sys, SysError, TEMPORARY, child};

// As the kernel has it.
const MOST_LINKS: u32 = 40;

/// A host by its root directory.
#[derive(Debug)]
pub struct RealSys {
    root: PathBuf,
    known: Index,
    read: Mutex<Index>,
    dirs: KnownDirs,
    /// What the temporary names of this run begin with; the last one is that of now.
    tokens: Vec<String>,
}

impl RealSys {
    /// The host whose `/` is this directory.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            known: Index::default(),
            read: Mutex::default(),
            dirs: KnownDirs::default(),
            tokens: Vec::new(),
        }
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

    /// The place of a path, for looking; see [`KnownDirs`].
    fn find(&self, path: &HostPath) -> Result<Option<Place>, SysError> {
        let Some(parent) = path.parent() else { return walk::find(&self.root, path) };
        Ok(self.directory(&parent)?.map(|dir| dir.at(path.name())))
    }

    /// The path of an open directory on this host; none when it has one that no path type of ours can hold.
    fn path_of(&self, dir: &Dir) -> io::Result<Option<HostPath>> {
        let whole = walk::path_of(dir)?;
        if self.root == Path::new("/") {
            return Ok(whole.to_str().and_then(|whole| whole.parse().ok()));
        }
        let Ok(root) = self.place(&HostPath::root()) else { return Ok(None) };
        let root = walk::path_of(root.dir())?;
        let inside = Path::new(&whole).strip_prefix(&root).ok().and_then(Path::to_str);
        Ok(inside.and_then(|inside| format!("/{inside}").parse().ok()))
    }

    fn existing(&self, path: &HostPath) -> Result<Place, SysError> {
        self.find(path)?.ok_or_else(|| SysError::io("find", path)(io::ErrorKind::NotFound.into()))
    }

    /// The directory that a path leads to, for looking.
    fn directory(&self, path: &HostPath) -> Result<Option<Arc<Dir>>, SysError> {
        if let Some(dir) = self.dirs.get(path) {
            return Ok(Some(dir));
        }
        let found = walk::directory(&self.root, path)?;
        if let Some(dir) = &found {
            self.dirs.note(path.clone(), dir);
        }
        Ok(found)
    }

    /// The place of a path, walked to just now.
    fn place(&self, path: &HostPath) -> Result<Place, SysError> {
        walk::place(&self.root, path)
    }

    /// A name for what is not yet what it will be: of this run by its token, and one that nobody can guess.
    pub(super) fn temporary(&self) -> io::Result<OsString> {
        let mut random = [0_u8; 8];
        rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
        let token = self.tokens.last().map_or("", String::as_str);
        Ok(format!("{TEMPORARY}{token}-{:016x}", u64::from_ne_bytes(random)).into())
    }

    fn sync(&self) -> Result<(), SysError> {
        if self.root == Path::new("/") {
            rustix::fs::sync();
            return Ok(());
        }
        let place = self.place(&HostPath::root())?;
        sync_file_system(place.dir()).map_err(SysError::io("sync", self.root.display()))
    }

    fn batch(&self, effects: &[Effect<'_>]) -> Result<(), SysError> {
        let mut devices: Vec<(u64, Arc<Dir>)> = Vec::new();
        for effect in effects {
            let turn = fault::before(effect)?;
            let touched = self.perform(effect, false)?;
            turn.over();
            let found = Look::of(touched.fd(), OsStr::new(""));
            let device = found.map_err(SysError::io("look at the directory of", effect.describe()))?.meta.dev;
            if !devices.iter().any(|(known, _)| *known == device) {
                devices.push((device, touched));
            }
        }
        for (_, touched) in &devices {
            sync_file_system(touched).map_err(SysError::io("sync", "a file system that was written to"))?;
        }
        Ok(())
    }

    /// Does one effect on files and gives the directory that it changed. With `sync` all of it is on the disk.
    fn perform(&self, effect: &Effect<'_>, sync: bool) -> Result<Arc<Dir>, SysError> {
        let performed = match effect {
            Effect::Write { path, source, attrs } => put::file(self, path, source, attrs, sync),
            Effect::MakeDir { path, attrs } => put::dir(self, path, attrs, sync),
            Effect::MakeLink { path, target, attrs } => put::link(self, path, target, *attrs, sync),
            Effect::HardLink { original, path } => put::hard_link(self, original, path, sync),
            Effect::SetAttrs { path, attrs, of } => put::attrs(self, path, attrs, *of, sync),
            Effect::Reserve { path, bytes } => put::reserve(self, path, *bytes, sync),
            Effect::Append { journal, at, frame } => put::append(self, journal, *at, frame),
            Effect::Remove { path } => remove::file(self, path, sync),
            Effect::RemoveDir { path } => remove::dir(self, path, sync),
            Effect::RemoveTree { path, only_roots } => remove::tree(self, path, *only_roots, sync),
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

    fn announce(&mut self, token: &str) {
        self.tokens.retain(|known| known != token);
        self.tokens.push(token.to_owned());
    }

    fn is_temporary(&self, name: &str) -> bool {
        let of = |token: &String| {
            name.strip_prefix(TEMPORARY).is_some_and(|rest| rest.starts_with(token.as_str()))
        };
        self.tokens.iter().any(of)
    }

    fn meta(&self, path: &HostPath) -> Result<Option<Meta>, SysError> {
        let Some(place) = self.find(path)? else { return Ok(None) };
        place.meta().map_err(SysError::io("stat", path))
    }

    fn attrs(&self, path: &HostPath) -> Result<Option<Attrs>, SysError> {
        let Some(place) = self.find(path)? else { return Ok(None) };
        let io = |error| SysError::io("read the attributes of", path)(error);
        let Some(meta) = place.meta().map_err(io)? else { return Ok(None) };
        let xattrs = attrs::xattrs_at(place.dir(), place.name()).map_err(io)?;
        Ok(Some(Attrs { xattrs, ..meta.plain_attrs() }))
    }

    fn link(&self, path: &HostPath) -> Result<String, SysError> {
        let target = self.existing(path)?.link().map_err(SysError::io("read the link", path))?;
        target.into_string().map_err(|text| {
            SysError::other("read the link", path, format!("its text is not UTF-8: {}", text.display()))
        })
    }

    fn open_with(&self, path: &HostPath) -> Result<(Attrs, Box<dyn Read>), SysError> {
        let held = OwnedFd::from(self.open_file(path)?);
        let io = |error| SysError::io("read the attributes of", path)(error);
        let found = Look::of(&held, OsStr::new("")).map_err(io)?.meta;
        let attrs = Attrs { xattrs: attrs::xattrs(&held).map_err(io)?, ..found.plain_attrs() };
        Ok((attrs, Box::new(File::from(held))))
    }

    fn open(&self, path: &HostPath) -> Result<Box<dyn Read>, SysError> {
        Ok(Box::new(self.open_file(path)?))
    }

    fn digest(&self, path: &HostPath) -> Result<Digest, SysError> {
        let place = self.existing(path)?;
        let file = place.read().map_err(SysError::io("open", path))?;
        let look = || Ok(Look::of(&file, OsStr::new("")).map_err(SysError::io("stat", path))?.meta);
        let found = look()?;
        // What somebody else can write to may be written without a trace, through a mapping that is still open.
        let lasts = place.dir().is_roots() && found.is_roots();
        if let Some(known) = self.known.get(path, &found).filter(|_| lasts) {
            self.remember(path, &found, known);
            return Ok(known);
        }
        let (digest, _) = Digest::of_reader(&file).map_err(SysError::io("read", path))?;
        // Only what did not change while it was read is worth remembering.
        if lasts && look()? == found {
            self.remember(path, &found, digest);
        }
        Ok(digest)
    }

    fn list(&self, dir: &HostPath) -> Result<Vec<String>, SysError> {
        let Some(open) = self.directory(dir)? else { return Ok(Vec::new()) };
        // A name that no path type of ours can hold was not made by us and is never touched by us.
        let ours = |name: &String| name.starts_with(super::RESERVE);
        let foreign = |name: &String| name.chars().any(char::is_control);
        let found = walk::names(open.fd()).map_err(SysError::io("list", dir))?;
        let found = found.into_iter().filter_map(|name| name.into_string().ok());
        let mut names: Vec<String> = found.filter(|name| !foreign(name) && !ours(name)).collect();
        names.sort_unstable();
        Ok(names)
    }

    fn count(&self, dir: &HostPath) -> Result<usize, SysError> {
        let Some(open) = self.directory(dir)? else { return Ok(0) };
        Ok(walk::names(open.fd()).map_err(SysError::io("list", dir))?.len())
    }

    fn resolve(&self, path: &HostPath) -> Result<Option<HostPath>, SysError> {
        let io = |error| SysError::io("follow", path)(error);
        let mut at = path.clone();
        for _ in 0..=MOST_LINKS {
            let Some(place) = self.find(&at)? else { return Ok(None) };
            let (Some(found), Some(dir)) =
                (place.meta().map_err(io)?, self.path_of(place.dir()).map_err(io)?)
            else {
                return Ok(None);
            };
            if found.kind != Kind::Link {
                return Ok(if at.parent().is_none() { Some(at) } else { below(&dir, place.name().to_str()) });
            }
            let Some(next) = place.link().map_err(io)?.to_str().and_then(|target| below(&dir, Some(target)))
            else {
                return Ok(None);
            };
            if !place.dir().is_roots() {
                return Ok(None);
            }
            at = next;
        }
        Ok(None)
    }

    fn is_private(&self, dir: &HostPath) -> Result<bool, SysError> {
        let mut nearest = dir.clone();
        loop {
            match (self.directory(&nearest)?, nearest.parent()) {
                (Some(dir), _) => return Ok(dir.is_roots()),
                (None, Some(parent)) => nearest = parent,
                (None, None) => return Ok(false),
            }
        }
    }

    fn owned(
        &self,
        uid: Option<u32>,
        gid: Option<u32>,
        skipped: &[&str],
        most: usize,
    ) -> Result<Vec<String>, SysError> {
        let is_wanted = |meta: &Meta| Some(meta.uid) == uid || Some(meta.gid) == gid;
        let root = self.place(&HostPath::root())?;
        search::search(root.dir(), skipped, most, &is_wanted).map_err(SysError::io("search", "the host"))
    }

    fn is_immutable(&self, path: &HostPath) -> bool {
        let place = self.find(path).ok().flatten();
        place.is_some_and(|place| place.look().ok().flatten().is_some_and(|found| found.is_immutable))
    }

    fn space(&self, path: &HostPath) -> Result<Space, SysError> {
        let io = |error| SysError::io("measure the space of", path)(error);
        let mut nearest = path.clone();
        let dir = loop {
            match (self.directory(&nearest)?, nearest.parent()) {
                (Some(dir), _) => break dir,
                (None, Some(parent)) => nearest = parent,
                (None, None) => return Err(io(io::ErrorKind::NotFound.into())),
            }
        };
        let found = fstatvfs(dir.fd()).map_err(|error| io(error.into()))?;
        Ok(Space {
            device: Look::of(dir.fd(), OsStr::new("")).map_err(io)?.meta.dev,
            bytes: found.f_blocks.saturating_mul(found.f_frsize),
            free_bytes: found.f_bfree.saturating_mul(found.f_frsize),
            free_inodes: if found.f_files == 0 { u64::MAX } else { found.f_ffree },
            read_only: found.f_flag.contains(StatVfsMountFlags::RDONLY),
        })
    }

    fn ask(&self, command: &Command) -> Result<Output, SysError> {
        self.on_host(command)?;
        self.dirs.forget();
        child::run(command)
    }

    fn stream(&self, command: &Command, out: &mut dyn io::Write) -> Result<Output, SysError> {
        self.on_host(command)?;
        child::stream(command, out)
    }

    fn effect(&mut self, effect: &Effect<'_>) -> Result<Output, SysError> {
        log::trace!("{}", effect.describe());
        self.dirs.forget();
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
        self.existing(path)?.read().map_err(SysError::io("open", path))
    }
}

/// What a text names when it stands in a directory, which is no link by itself: an absolute path, or one below the directory.
pub(super) fn below(dir: &HostPath, text: Option<&str>) -> Option<HostPath> {
    let text = text?;
    let start = if text.starts_with('/') { "" } else { dir.as_str() };
    let mut parts: Vec<&str> = Vec::new();
    for part in start.split('/').chain(text.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/")).parse().ok()
}

fn sync_file_system(dir: &Dir) -> io::Result<()> {
    Ok(rustix::fs::syncfs(dir.open()?)?)
}

/// The clock, as file systems keep it.
fn now() -> Stamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Stamp { sec: i64::try_from(since.as_secs()).unwrap_or(i64::MAX), nsec: since.subsec_nanos().into() }
}

#[cfg(test)]
mod tests;
