//! What a child process sees instead of the host's own directories.
//!
//! A service's own checker must see the new configuration before any of it is in place, and a simulated
//! package run must not leave a byte behind. Both get a private mount namespace whose layers live in
//! memory and end with the child. The mount points are directories that the host already has, so that
//! nothing is made on the host for them.
//!
//! Invariant: nothing is written but to what was mounted here, reached by its descriptor. The directory that is hidden may
//! be another account's, and its name may lead elsewhere in the next moment.

mod lay;

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use chom_format::{Digest, Mode as FileMode};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use rustix::fs::{
    AtFlags, Gid, Mode, OFlags, Uid, chownat, fchmod, fchown, mkdirat, openat, readlinkat, symlinkat,
};

use super::real::walk::{self, Look, Place, magic};
use super::{Kind, Sys as _, SysError, mounts, named};

// A configuration directory is small. What is not gets no copy in memory, and a message that says so.
const LARGEST_COPY: u64 = 256 << 20;
const DEEPEST: u32 = 64;

/// One directory seen otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Which directory; it exists on the host.
    pub at: PathBuf,
    /// What of the host's own content is seen in it.
    pub under: Under,
    /// What is put over that, in this order.
    pub lay: Vec<Laid>,
}

/// What of the host's own content a layer shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Under {
    /// Nothing: an empty directory.
    Nothing,
    /// A copy in memory, owners and modes kept.
    Copy,
    /// All of it; what the child writes goes to memory. On a kernel without overlayfs the directory stays as it is.
    Through,
}

/// Something put into a layer. Paths are absolute and lie below the layer's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Laid {
    /// A file copied from the bundle.
    File {
        /// Where it is seen.
        path: PathBuf,
        /// Where its bytes come from.
        from: PathBuf,
        /// What they must be.
        sha256: Digest,
        /// Permission bits.
        mode: FileMode,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
    },
    /// A file of ours, with mode 0644.
    Text {
        /// Where it is seen.
        path: PathBuf,
        /// Its content.
        text: String,
    },
    /// A symbolic link.
    Link {
        /// Where it is seen.
        path: PathBuf,
        /// Its text.
        target: String,
    },
    /// Nothing is seen there.
    Absent {
        /// Where.
        path: PathBuf,
    },
}

/// Gives the calling thread, and so the children that it starts from now on, a mount namespace of its own with
/// these layers. The thread must be one that ends afterwards: there is no way back.
pub fn enter(layers: &[Layer]) -> Result<(), SysError> {
    if layers.is_empty() {
        return Ok(());
    }
    let io = |source: nix::Error| failed("make a private view of", "/", source.into());
    unshare(CloneFlags::CLONE_NEWNS).map_err(io)?;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>).map_err(io)?;
    layers.iter().try_for_each(show)
}

fn show(layer: &Layer) -> Result<(), SysError> {
    let at = layer.at.as_path();
    let place = place(at)?;
    // The handle keeps the host's directory reachable below the mount that is about to hide it.
    let host = open_dir(&place).map_err(|source| failed("open", at, source))?;
    let shown = match layer.under {
        Under::Nothing => tmpfs(at, &place, &host)?,
        Under::Copy => {
            let memory = tmpfs(at, &place, &host)?;
            Copier::new(at).dir(&host, &memory, 0)?;
            memory
        }
        Under::Through => {
            let mounted = mounts_below(at)?;
            let shown = through(at, &place, &host)?;
            mounted.iter().try_for_each(|(point, original)| show_mount(point, original))?;
            shown
        }
    };
    layer.lay.iter().try_for_each(|laid| lay::lay(at, &shown, laid))
}

/// Where a directory lies, links on the way followed as for everything else.
fn place(at: &Path) -> Result<Place, SysError> {
    let sys = super::RealSys::new("/");
    let text = at.to_str().unwrap_or_default();
    let path = sys.resolve(&named(text)?)?;
    let missing = || SysError::io("open", at.display())(io::ErrorKind::NotFound.into());
    walk::place(Path::new("/"), &path.ok_or_else(missing)?)
}

fn open_dir(place: &Place) -> io::Result<OwnedFd> {
    dir_in(place.dir().fd(), place.name())
}

fn dir_in(dir: &OwnedFd, name: &OsStr) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(dir, name, flags, Mode::empty())?)
}

/// What is mounted at a place by now. Where others can exchange the directory below it, another one may have its name.
fn mounted(at: &Path, place: &Place) -> Result<OwnedFd, SysError> {
    let found = open_dir(place).map_err(|source| failed("open", at, source))?;
    let look = Look::of(&found, OsStr::new("")).map_err(|source| failed("look at", at, source))?;
    if look.is_mount {
        return Ok(found);
    }
    Err(failed("look at", at, io::Error::other("another account exchanged it in this very moment")))
}

fn tmpfs(at: &Path, place: &Place, host: &OwnedFd) -> Result<OwnedFd, SysError> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("tmpfs"), magic(host).as_str(), Some("tmpfs"), flags, Some("mode=0755"))
        .map_err(|source| failed("mount a memory file system over", at, source.into()))?;
    mounted(at, place)
}

/// Shows what a directory holds, with memory for what is written to it.
fn through(at: &Path, place: &Place, host: &OwnedFd) -> Result<OwnedFd, SysError> {
    let memory = tmpfs(at, place, host)?;
    match overlay(host, &memory).map_err(|source| failed("copy the attributes of", at, source))? {
        true => mounted(at, place),
        false => {
            // It is still held open here, and goes with that.
            umount2(magic(&memory).as_str(), MntFlags::MNT_DETACH)
                .map_err(|source| failed("unmount", at, source.into()))?;
            open_dir(place).map_err(|source| failed("open", at, source))
        }
    }
}

/// Whether it could be done: not on a kernel without overlayfs, nor over each file system.
fn overlay(original: &OwnedFd, memory: &OwnedFd) -> io::Result<bool> {
    let (upper, work) = (made(memory, OsStr::new("upper"))?, made(memory, OsStr::new("work"))?);
    copy_attrs(original, &upper)?;
    let options = format!("lowerdir={},upperdir={},workdir={}", magic(original), magic(&upper), magic(&work));
    let at = magic(memory);
    Ok(mount(Some("overlay"), at.as_str(), Some("overlay"), MsFlags::empty(), Some(options.as_str())).is_ok())
}

/// The directories on which other file systems are mounted below this one, outermost first, held as they are now.
fn mounts_below(at: &Path) -> Result<Vec<(PathBuf, OwnedFd)>, SysError> {
    let mounts = mounts::read().map_err(|source| failed("list the mounts below", at, source))?;
    let mut points: Vec<PathBuf> = mounts.into_iter().map(|mount| PathBuf::from(mount.point)).collect();
    points.retain(|point| point != at && point.starts_with(at));
    points.sort();
    points.dedup();
    let held = points.into_iter().filter_map(|point| {
        // One that cannot be entered, such as another account's, or a file: its place stays empty for the child.
        let open = place(&point).ok().and_then(|place| open_dir(&place).ok())?;
        Some((point, open))
    });
    Ok(held.collect())
}

/// An overlay shows the directories below mounts and not what is mounted there: that is shown again.
fn show_mount(point: &Path, original: &OwnedFd) -> Result<(), SysError> {
    let Ok(place) = place(point) else { return Ok(()) };
    let empty = open_dir(&place).map_err(|source| failed("open", point, source))?;
    let memory = tmpfs(point, &place, &empty)?;
    if overlay(original, &memory).map_err(|source| failed("copy the attributes of", point, source))? {
        return Ok(());
    }
    // Then as it is, for reading.
    let bind = |flags| {
        mount(Some(magic(original).as_str()), magic(&memory).as_str(), None::<&str>, flags, None::<&str>)
    };
    bind(MsFlags::MS_BIND).map_err(|source| failed("show", point, source.into()))?;
    let shown = mounted(point, &place)?;
    let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    mount(None::<&str>, magic(&shown).as_str(), None::<&str>, flags, None::<&str>)
        .map_err(|source| failed("show for reading", point, source.into()))
}

/// Copies a directory into memory, by descriptors: whoever owns a part of it can exchange it meanwhile.
pub(super) struct Copier<'a> {
    /// For messages.
    at: &'a Path,
    room: u64,
}

impl Copier<'_> {
    pub(super) fn new(at: &Path) -> Copier<'_> {
        Copier { at, room: LARGEST_COPY }
    }

    pub(super) fn dir(&mut self, from: &OwnedFd, to: &OwnedFd, depth: u32) -> Result<(), SysError> {
        let at = self.at;
        let io = |source| failed("copy", at, source);
        if depth > DEEPEST {
            return Err(io(io::Error::other("it is deeper than a configuration directory should be")));
        }
        for name in walk::names(from).map_err(io)? {
            // It may have gone since it was listed.
            let Ok(found) = Look::of(from, &name) else { continue };
            match found.meta.kind {
                Kind::Dir => {
                    let (dir, copy) = (dir_in(from, &name).map_err(io)?, made(to, &name).map_err(io)?);
                    self.dir(&dir, &copy, depth + 1)?;
                }
                Kind::Link => link(from, to, &name, &found).map_err(io)?,
                Kind::File => self.file(from, to, &name, &found).map_err(io)?,
                // Nothing that a configuration is read from.
                Kind::Fifo | Kind::Socket | Kind::Block | Kind::Char => {}
            }
        }
        copy_attrs(from, to).map_err(io)
    }

    fn file(&mut self, from: &OwnedFd, to: &OwnedFd, name: &OsStr, found: &Look) -> io::Result<()> {
        let size = found.meta.size;
        let too_much = || io::Error::other("it holds more than a configuration directory should");
        self.room = self.room.checked_sub(size).ok_or_else(too_much)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let open = openat(from, name, flags, Mode::empty())?;
        let mut copy = new_file(to, name)?;
        if Look::of(&open, OsStr::new(""))?.meta.kind == Kind::File {
            io::copy(&mut File::from(open).take(size), &mut copy)?;
        }
        own(&copy, found.meta.uid, found.meta.gid, found.meta.mode.bits())
    }
}

fn link(from: &OwnedFd, to: &OwnedFd, name: &OsStr, found: &Look) -> io::Result<()> {
    symlinkat(readlinkat(from, name, Vec::new())?, to, name)?;
    let (uid, gid) = (Uid::from_raw(found.meta.uid), Gid::from_raw(found.meta.gid));
    Ok(chownat(to, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?)
}

/// A directory in memory, made and opened.
pub(super) fn made(dir: &OwnedFd, name: &OsStr) -> io::Result<OwnedFd> {
    mkdirat(dir, name, Mode::from_raw_mode(0o755))?;
    dir_in(dir, name)
}

/// A file in memory, made and opened for writing.
pub(super) fn new_file(dir: &OwnedFd, name: &OsStr) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(File::from(openat(dir, name, flags, Mode::from_raw_mode(0o600))?))
}

/// Gives what is open its owner and its permission bits.
pub(super) fn own(open: &impl AsFd, uid: u32, gid: u32, mode: u32) -> io::Result<()> {
    fchown(open, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
    Ok(fchmod(open, Mode::from_raw_mode(mode))?)
}

fn copy_attrs(from: &OwnedFd, to: &OwnedFd) -> io::Result<()> {
    let meta = Look::of(from, OsStr::new(""))?.meta;
    own(to, meta.uid, meta.gid, meta.mode.bits())
}

fn failed(operation: &'static str, object: impl AsRef<Path>, source: io::Error) -> SysError {
    SysError::Io { operation, object: object.as_ref().display().to_string(), source }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, lchown, symlink};

    use super::*;

    /// Needs root, as the installer does.
    fn seen(layers: Vec<Layer>, script: &str) -> String {
        let script = script.to_owned();
        let child = std::thread::spawn(move || {
            enter(&layers).unwrap();
            std::process::Command::new("/bin/sh").args(["-c", &script]).output().unwrap()
        });
        let output = child.join().unwrap();
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
    }

    fn host() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("tree")).unwrap();
        fs::write(dir.path().join("tree/old"), "old").unwrap();
        fs::write(dir.path().join("new"), "new").unwrap();
        fs::set_permissions(dir.path().join("tree/old"), fs::Permissions::from_mode(0o640)).unwrap();
        lchown(dir.path().join("tree/old"), Some(7), Some(8)).unwrap();
        dir
    }

    #[test]
    fn a_copy_with_files_over_it_is_seen_by_the_child_alone() {
        let host = host();
        let tree = host.path().join("tree");
        let lay = vec![
            Laid::File {
                path: tree.join("sub/new"),
                from: host.path().join("new"),
                sha256: Digest::of(b"new"),
                mode: "0600".parse().unwrap(),
                uid: 5,
                gid: 6,
            },
            Laid::Link { path: tree.join("link"), target: "sub/new".into() },
        ];
        let layer = Layer { at: tree.clone(), under: Under::Copy, lay };
        let script = format!("cd {}; cat old link; stat -c %a:%u:%g old sub/new; touch left", tree.display());
        assert_eq!(seen(vec![layer], &script), "oldnew640:7:8\n600:5:6\n");
        let names: Vec<_> = fs::read_dir(&tree).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["old"]);
    }

    #[test]
    fn writes_through_a_layer_stay_in_memory() {
        let host = host();
        let tree = host.path().join("tree");
        let script = format!("cd {}; echo more >> old; rm old; echo x > made; ls", tree.display());
        let layer = Layer { at: tree.clone(), under: Under::Through, lay: Vec::new() };
        assert_eq!(seen(vec![layer], &script), "made\n");
        assert_eq!(fs::read_to_string(tree.join("old")).unwrap(), "old");
        assert!(!tree.join("made").exists());
    }

    #[test]
    fn an_empty_layer_shows_only_what_is_laid() {
        let host = host();
        let tree = host.path().join("tree");
        let lay = vec![
            Laid::Link { path: tree.join("link"), target: "/x".into() },
            Laid::Text { path: tree.join("text"), text: "said\n".into() },
        ];
        let layer = Layer { at: tree.clone(), under: Under::Nothing, lay };
        assert_eq!(seen(vec![layer], &format!("cd {}; ls; cat text", tree.display())), "link\ntext\nsaid\n");
        let gone = Layer {
            at: tree.clone(),
            under: Under::Copy,
            lay: vec![Laid::Absent { path: tree.join("old") }],
        };
        assert_eq!(seen(vec![gone], &format!("ls {}", tree.display())), "");
    }

    #[test]
    fn what_is_mounted_below_is_seen_and_not_written() {
        // Where only root can write: elsewhere no mount is crossed.
        let host = tempfile::tempdir_in("/run").unwrap();
        let (tree, below) = (host.path().join("tree"), host.path().join("tree/below"));
        fs::create_dir_all(&below).unwrap();
        fs::write(tree.join("old"), "old").unwrap();
        let child = std::thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNS).unwrap();
            let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
            mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
            mount(Some("tmpfs"), &below, Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
            fs::write(below.join("there"), "there").unwrap();
            let before = File::open(&below).unwrap();
            enter(&[Layer { at: tree.clone(), under: Under::Through, lay: Vec::new() }]).unwrap();
            let script = format!("cd {}; cat old below/there; touch below/made; ls below", tree.display());
            let output = std::process::Command::new("/bin/sh").args(["-c", &script]).output().unwrap();
            let names = walk::names(&OwnedFd::from(before)).unwrap();
            (String::from_utf8(output.stdout).unwrap(), names)
        });
        let (said, names) = child.join().unwrap();
        assert_eq!(said, "oldtheremade\nthere\n");
        assert_eq!(names, ["there"], "the host's own is not written to");
    }

    #[test]
    fn nothing_is_laid_through_a_link() {
        let host = host();
        let (tree, other) = (host.path().join("tree"), host.path().join("other"));
        fs::create_dir(&other).unwrap();
        fs::write(other.join("theirs"), "theirs").unwrap();
        symlink("../other", tree.join("link")).unwrap();
        let lay = vec![Laid::Text { path: tree.join("link/new"), text: "new".into() }];
        let layer = Layer { at: tree.clone(), under: Under::Copy, lay };
        let script = format!("cat {0}/link/new {0}/link/theirs", tree.display());
        assert_eq!(seen(vec![layer], &script), "newtheirs");
        assert!(!other.join("new").exists());
    }

    #[test]
    fn what_would_hang_or_fill_the_memory_is_left_out_or_refused() {
        let host = host();
        let tree = host.path().join("tree");
        nix::unistd::mkfifo(&tree.join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let layer = || Layer { at: tree.clone(), under: Under::Copy, lay: Vec::new() };
        assert_eq!(seen(vec![layer()], &format!("ls {}", tree.display())), "old\n");
        File::create(tree.join("large")).unwrap().set_len(LARGEST_COPY + 1).unwrap();
        let layers = vec![layer()];
        let error = std::thread::spawn(move || enter(&layers)).join().unwrap().unwrap_err().to_string();
        assert!(error.contains("more than a configuration directory should"), "{error}");
    }
}
