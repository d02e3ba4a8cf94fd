//! A private directory for an unpacked tarball: the only thing that is written before all is verified.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::OpenError;

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

impl Drop for Staging {
    fn drop(&mut self) {
        // Comfort only: the next run sweeps what stays.
        let _ = fs::remove_dir_all(&self.0);
    }
}

// /tmp is often a small memory file system: /var/tmp is on the disk.
fn base() -> PathBuf {
    std::env::var_os("TMPDIR").filter(|dir| !dir.is_empty()).map_or_else(|| "/var/tmp".into(), PathBuf::from)
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
