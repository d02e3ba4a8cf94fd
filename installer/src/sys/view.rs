//! What a child process sees instead of the host's own directories.
//!
//! A service's own checker must see the new configuration before any of it is in place, and a simulated
//! package run must not leave a byte behind. Both get a private mount namespace whose layers live in
//! memory and end with the child. The mount points are directories that the host already has, so that
//! nothing is made on the host for them.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};

use chom_format::{Digest, Mode};
use nix::mount::{MsFlags, mount, umount};
use nix::sched::{CloneFlags, unshare};

use super::SysError;

// A configuration directory is small. What is not gets no copy in memory, and a message that says so.
const LARGEST_COPY: u64 = 256 << 20;

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
        mode: Mode,
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
    // The handle keeps the host's directory reachable below the mount that is about to hide it.
    let host = File::open(at).map_err(|source| failed("open", at, source))?;
    let original = through(&host);
    tmpfs(at)?;
    match layer.under {
        Under::Nothing => {}
        Under::Copy => copy_dir(&original, at, &mut LARGEST_COPY.clone())?,
        Under::Through => overlay(&original, at)?,
    }
    layer.lay.iter().try_for_each(lay)
}

fn tmpfs(at: &Path) -> Result<(), SysError> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("tmpfs"), at, Some("tmpfs"), flags, Some("mode=0755"))
        .map_err(|source| failed("mount a memory file system over", at, source.into()))
}

fn overlay(original: &Path, at: &Path) -> Result<(), SysError> {
    let memory = File::open(at).map_err(|source| failed("open", at, source))?;
    let (upper, work) = (through(&memory).join("upper"), through(&memory).join("work"));
    for dir in [&upper, &work] {
        fs::create_dir(dir).map_err(|source| failed("make", dir, source))?;
    }
    copy_attrs(original, &upper).map_err(|source| failed("copy", original, source))?;
    let options =
        format!("lowerdir={},upperdir={},workdir={}", original.display(), upper.display(), work.display());
    if mount(Some("overlay"), at, Some("overlay"), MsFlags::empty(), Some(options.as_str())).is_err() {
        drop(memory);
        umount(at).map_err(|source| failed("unmount", at, source.into()))?;
    }
    Ok(())
}

fn copy_dir(from: &Path, to: &Path, room: &mut u64) -> Result<(), SysError> {
    let io = |source| failed("copy", from, source);
    for entry in fs::read_dir(from).map_err(io)? {
        let entry = entry.map_err(io)?;
        let (source, copy) = (entry.path(), to.join(entry.file_name()));
        let meta = fs::symlink_metadata(&source).map_err(io)?;
        if meta.is_dir() {
            fs::create_dir(&copy).map_err(io)?;
            copy_dir(&source, &copy, room)?;
        } else if meta.is_symlink() {
            let target = fs::read_link(&source).map_err(io)?;
            symlink(target, &copy).map_err(io)?;
            lchown(&copy, Some(meta.uid()), Some(meta.gid())).map_err(io)?;
        } else if meta.is_file() {
            *room = room.checked_sub(meta.size()).ok_or_else(|| {
                failed("copy", from, io::Error::other("it holds more than a configuration directory should"))
            })?;
            fs::copy(&source, &copy).map_err(io)?;
            copy_attrs(&source, &copy).map_err(io)?;
        }
    }
    copy_attrs(from, to).map_err(io)
}

fn copy_attrs(from: &Path, to: &Path) -> io::Result<()> {
    let meta = fs::metadata(from)?;
    lchown(to, Some(meta.uid()), Some(meta.gid()))?;
    fs::set_permissions(to, fs::Permissions::from_mode(meta.mode() & 0o7777))
}

fn lay(laid: &Laid) -> Result<(), SysError> {
    let (Laid::File { path, .. } | Laid::Text { path, .. } | Laid::Link { path, .. } | Laid::Absent { path }) =
        laid;
    let io = |source| failed("lay over", path, source);
    match fs::remove_file(path) {
        Err(gone) if gone.kind() == io::ErrorKind::NotFound => {}
        other => other.map_err(io)?,
    }
    if let Some(parent) = path.parent().filter(|_| !matches!(laid, Laid::Absent { .. })) {
        fs::create_dir_all(parent).map_err(io)?;
    }
    match laid {
        Laid::Absent { .. } => Ok(()),
        Laid::Link { target, .. } => symlink(target, path).map_err(io),
        Laid::Text { text, .. } => {
            fs::write(path, text).map_err(io)?;
            fs::set_permissions(path, fs::Permissions::from_mode(0o644)).map_err(io)
        }
        Laid::File { from, sha256, mode, uid, gid, .. } => {
            let bytes = fs::read(from).map_err(|source| failed("read", from, source))?;
            let found = Digest::of(&bytes);
            if found != *sha256 {
                return Err(SysError::Digest { object: from.display().to_string(), wanted: *sha256, found });
            }
            fs::write(path, bytes).map_err(io)?;
            lchown(path, Some(*uid), Some(*gid)).map_err(io)?;
            fs::set_permissions(path, fs::Permissions::from_mode(mode.bits())).map_err(io)
        }
    }
}

fn through(handle: &File) -> PathBuf {
    PathBuf::from(format!("/proc/thread-self/fd/{}", handle.as_raw_fd()))
}

fn failed(operation: &'static str, object: impl AsRef<Path>, source: io::Error) -> SysError {
    SysError::Io { operation, object: object.as_ref().display().to_string(), source }
}

#[cfg(test)]
mod tests {
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
}
