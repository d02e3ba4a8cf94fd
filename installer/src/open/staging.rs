//! A private directory for an unpacked tarball: the only thing that is written before all is verified.

#![allow(
    clippy::disallowed_methods,
    reason = "a bundle lies where the operator says; what others can change there is copied before it is believed"
)]

use std::fs::{self, DirBuilder};
use std::io::Read as _;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use chom_format::RelPath;

use super::{OpenError, folder};

const PREFIX: &str = "chom-bundle-";

/// A directory that only we can enter, gone when the run ends. One that a killed run left behind goes when
/// the next one begins.
pub(super) struct Staging(PathBuf);

impl Staging {
    pub(super) fn new() -> Result<Self, OpenError> {
        let base = base();
        sweep(&base);
        let pid = std::process::id();
        for attempt in 0..100 {
            let path = base.join(format!("{PREFIX}{pid}-{attempt}"));
            // Never one that is already there: it may be somebody else's trap.
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self(path)),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(OpenError::io("unpack to", path)(error)),
            }
        }
        Err(OpenError::io("unpack to", base)(std::io::ErrorKind::AlreadyExists.into()))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

/// Copies one file of a bundle into a staging directory, whatever it is by then: it is verified there. No more of it than
/// `size` says, so that nobody fills the disk with one that grows.
pub(super) fn copy(from: &Path, to: &Path, path: &RelPath, size: u64) -> Result<(), OpenError> {
    let place = path.under(to);
    if let Some(parent) = place.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(parent)
            .map_err(OpenError::io("copy to", parent))?;
    }
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&place)
        .map_err(OpenError::io("copy to", &place))?;
    let mut input = folder::open(from, path.as_str())?.take(size + 1);
    std::io::copy(&mut input, &mut file).map(drop).map_err(OpenError::io("copy", path.under(from)))
}

impl Drop for Staging {
    fn drop(&mut self) {
        // Comfort only: the next run sweeps what stays.
        let _ = fs::remove_dir_all(&self.0);
    }
}

// /tmp is often a small memory file system: /var/tmp is on the disk. In a directory without the sticky bit whoever owns it
// could move what we make there.
fn base() -> PathBuf {
    let wanted = std::env::var_os("TMPDIR").map(PathBuf::from).filter(|dir| dir.is_absolute());
    wanted.filter(|dir| keeps_what_is_made(dir)).unwrap_or_else(|| "/var/tmp".into())
}

fn keeps_what_is_made(dir: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let (others, sticky) = (0o022, 0o1000);
    let safe =
        |meta: &fs::Metadata| meta.uid() == 0 && (meta.mode() & others == 0 || meta.mode() & sticky != 0);
    let ours =
        |meta: &fs::Metadata| meta.uid() == nix::unistd::geteuid().as_raw() && meta.mode() & others == 0;
    fs::symlink_metadata(dir).is_ok_and(|meta| meta.is_dir() && (safe(&meta) || ours(&meta)))
}

fn sweep(base: &Path) {
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(owner) = name.to_str().and_then(owner) else { continue };
        let ours = fs::symlink_metadata(entry.path()).is_ok_and(|meta| {
            meta.is_dir() && std::os::unix::fs::MetadataExt::uid(&meta) == nix::unistd::geteuid().as_raw()
        });
        if ours && !Path::new("/proc").join(owner.to_string()).exists() && Path::new("/proc/self").exists() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn owner(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.split_once('-')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_stands_in_the_name() {
        assert_eq!(owner("chom-bundle-123-0"), Some(123));
        assert_eq!(owner("chom-bundle-x-0"), None);
        assert_eq!(owner("other"), None);
    }

    #[test]
    fn what_a_dead_run_left_goes_and_what_lives_stays() {
        let base = tempfile::tempdir().unwrap();
        let put = |pid: u32| {
            let dir = base.path().join(format!("{PREFIX}{pid}-0"));
            fs::create_dir(&dir).unwrap();
            dir
        };
        let (ours, dead) = (put(std::process::id()), put(u32::MAX));
        sweep(base.path());
        assert!(ours.exists() && !dead.exists());
    }
}
