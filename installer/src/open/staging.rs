//! A private directory for an unpacked tarball, or for a copy of a folder that others can change: the only thing that is
//! written before all is verified.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use chom_format::{HostPath, RelPath};

use super::{OpenError, folder};
use crate::sys::{Base, Scratch, proc};

const PREFIX: &str = "chom-bundle-";
/// /tmp is often a small memory file system: this is on the disk.
const USUAL: &str = "/var/tmp";

/// A directory that only we can enter, gone when the run ends. One that a killed run left behind goes when
/// the next one begins.
pub(super) struct Staging(Scratch);

impl Staging {
    pub(super) fn new() -> Result<Self, OpenError> {
        let base = base()?;
        sweep(&base);
        let pid = std::process::id();
        for attempt in 0..100 {
            let name = format!("{PREFIX}{pid}-{attempt}");
            if let Some(made) = base.make(&name).map_err(OpenError::io("unpack to", name))? {
                return Ok(Self(made));
            }
        }
        Err(OpenError::io("unpack to", USUAL)(std::io::ErrorKind::AlreadyExists.into()))
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Makes a file in it, with the directories above it.
    pub(super) fn create(&self, path: &RelPath, mode: u32) -> Result<std::fs::File, OpenError> {
        self.0.create(path, mode).map_err(OpenError::io("unpack to", path.under(self.path())))
    }

    /// Makes a directory in it.
    pub(super) fn make_dir(&self, path: &RelPath) -> Result<(), OpenError> {
        self.0.make_dir(path).map(drop).map_err(OpenError::io("unpack to", path.under(self.path())))
    }

    /// Copies one file of a folder into it, whatever it is by then: it is verified here. No more of it than `size` says, so
    /// that nobody fills the disk with one that grows.
    pub(super) fn copy(&self, from: &Path, path: &RelPath, size: u64) -> Result<(), OpenError> {
        let (mut file, input) = (self.create(path, 0o600)?, folder::open(from, path.as_str())?);
        let copied = std::io::copy(&mut input.take(size + 1), &mut file);
        copied.map(drop).map_err(OpenError::io("unpack to", path.under(self.path())))
    }
}

/// The directory that `TMPDIR` names, where nobody else could move what we make; else the usual one.
fn base() -> Result<Base, OpenError> {
    let wanted = std::env::var_os("TMPDIR").map(PathBuf::from);
    let wanted = wanted.and_then(|dir| dir.to_str()?.trim_end_matches('/').parse::<HostPath>().ok());
    if let Some(base) = wanted.and_then(|dir| Base::open(&dir).transpose()) {
        return Ok(base?);
    }
    let usual = Base::open(&crate::sys::named(USUAL)?)?;
    usual.ok_or_else(|| OpenError::io("unpack to", USUAL)(std::io::ErrorKind::NotFound.into()))
}

fn sweep(base: &Base) {
    let alive = proc::pids();
    for name in base.ours(PREFIX) {
        // Without /proc nobody can tell who lives.
        if !alive.is_empty() && owner(&name).is_some_and(|owner| !alive.contains(&owner)) {
            base.discard(&name);
        }
    }
}

fn owner(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.split_once('-')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

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
            fs::write(dir.join("file"), "").unwrap();
            dir
        };
        let (ours, dead) = (put(std::process::id()), put(u32::MAX));
        sweep(&Base::open(&base.path().to_str().unwrap().parse().unwrap()).unwrap().unwrap());
        assert!(ours.exists() && !dead.exists());
    }

    #[test]
    fn nothing_is_made_where_others_could_move_it() {
        use std::os::unix::fs::{PermissionsExt as _, chown};
        let dir = tempfile::tempdir().unwrap();
        let path: HostPath = dir.path().to_str().unwrap().parse().unwrap();
        let mode = |mode| fs::set_permissions(dir.path(), fs::Permissions::from_mode(mode)).unwrap();
        for (bits, fits) in [(0o700, true), (0o755, true), (0o777, false), (0o1777, true), (0o775, false)] {
            mode(bits);
            assert_eq!(Base::open(&path).unwrap().is_some(), fits, "{bits:o}");
        }
        mode(0o755);
        chown(dir.path(), Some(12), None).unwrap();
        assert!(Base::open(&path).unwrap().is_none());
    }
}
