//! Where a transaction keeps things: objects by digest, shared by all transactions, and its own attic.

use std::io::{self, Write};

use chom_format::digest::Hasher;
use chom_format::{Digest, HostPath, Mode, RelPath};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::sys::{Attrs, Effect, Source, Stamp, Sys, SysError};

/// The places of one transaction.
#[derive(Debug, Clone)]
pub struct Store {
    /// `/var/lib/chom/objects`.
    pub objects: HostPath,
    /// `/var/lib/chom/attic/NNNNNN`, for this transaction.
    pub attic: HostPath,
}

impl Store {
    /// Where an object lies.
    pub fn object(&self, sha256: &Digest) -> Result<HostPath, SysError> {
        below(&self.objects, &sha256.to_string())
    }

    /// Copies a regular file of the host into the store.
    pub fn keep_file(&self, sys: &mut dyn Sys, path: &HostPath, sha256: Digest) -> Result<(), SysError> {
        self.keep(sys, Source::Host { path, sha256 }, sha256)
    }

    /// Writes a state that is too large for the journal into the store.
    pub fn keep_state(&self, sys: &mut dyn Sys, state: &impl Serialize) -> Result<Digest, SysError> {
        let bytes = serde_json::to_vec(state)
            .map_err(|error| SysError::other("write", "a state", error.to_string()))?;
        let sha256 = Digest::of(&bytes);
        self.keep(sys, Source::Bytes(&bytes), sha256)?;
        Ok(sha256)
    }

    /// Reads such a state.
    pub fn read_state<T: DeserializeOwned>(&self, sys: &dyn Sys, sha256: &Digest) -> Result<T, SysError> {
        let bytes = self.read(sys, sha256)?;
        serde_json::from_slice(&bytes)
            .map_err(|error| SysError::other("understand", format!("the state {sha256}"), error.to_string()))
    }

    /// The bytes of an object; others than those that were kept are an error.
    pub fn read(&self, sys: &dyn Sys, sha256: &Digest) -> Result<Vec<u8>, SysError> {
        let mut bytes = Vec::new();
        self.copy(sys, sha256, &mut bytes)?;
        Ok(bytes)
    }

    /// Whether an object is there and what it was.
    pub fn has(&self, sys: &dyn Sys, sha256: &Digest) -> Result<bool, SysError> {
        Ok(sys.meta(&self.object(sha256)?)?.is_some() && self.prove(sys, sha256).is_ok())
    }

    /// Reads an object to its end before a program is given it, which would work with whatever there is.
    pub fn prove(&self, sys: &dyn Sys, sha256: &Digest) -> Result<(), SysError> {
        self.copy(sys, sha256, &mut io::sink())
    }

    fn copy(&self, sys: &dyn Sys, sha256: &Digest, to: &mut dyn Write) -> Result<(), SysError> {
        let path = self.object(sha256)?;
        let mut to = Hasher::new(to);
        io::copy(&mut sys.open(&path)?, &mut to).map_err(SysError::io("read", &path))?;
        let (found, ..) = to.finish();
        if found == *sha256 {
            return Ok(());
        }
        Err(SysError::Digest { object: path.to_string(), wanted: *sha256, found })
    }

    /// Puts bytes with this digest into the store. Objects come into being by one rename, when they are complete and on
    /// the disk; one that an earlier transaction has kept may have been damaged since, and is written again then.
    pub fn keep(&self, sys: &mut dyn Sys, source: Source<'_>, sha256: Digest) -> Result<(), SysError> {
        let path = self.object(&sha256)?;
        if !self.has(sys, &sha256)? {
            sys.effect(&Effect::Write { path: &path, source, attrs: &private(0o600) })?;
        }
        Ok(())
    }
}

/// Root's alone, for whatever lies in the state directory.
pub(crate) fn private(mode: u32) -> Attrs {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let mtime = Stamp { sec: i64::try_from(now.as_secs()).unwrap_or_default(), nsec: 0 };
    Attrs { mode: Mode::from_bits(mode), uid: 0, gid: 0, mtime, xattrs: std::collections::BTreeMap::new() }
}

/// A name in a directory.
pub(crate) fn below(dir: &HostPath, name: &str) -> Result<HostPath, SysError> {
    let relative: RelPath = name.parse().map_err(|error| SysError::other("name", dir, format!("{error}")))?;
    Ok(dir.join(&relative))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::sys::RealSys;

    #[test]
    fn an_object_that_was_damaged_since_is_written_again() {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        fs::create_dir_all(dir.path().join("objects")).unwrap();
        let store = Store { objects: "/objects".parse().unwrap(), attic: "/attic".parse().unwrap() };
        let mut sys = RealSys::new(dir.path());
        let digest = store.keep_state(&mut sys, &"kept").unwrap();
        let object = dir.path().join("objects").join(digest.to_string());
        let inode = || std::os::unix::fs::MetadataExt::ino(&fs::metadata(&object).unwrap());
        let first = inode();
        store.keep_state(&mut sys, &"kept").unwrap();
        assert_eq!(inode(), first, "what is good is left");
        fs::write(&object, "\"kepT\"").unwrap();
        let error = store.read_state::<String>(&sys, &digest).unwrap_err().to_string();
        assert!(error.starts_with(&format!("content of /objects/{digest} is ")), "{error}");
        store.keep_state(&mut sys, &"kept").unwrap();
        assert_eq!(store.read_state::<String>(&sys, &digest).unwrap(), "kept");
    }
}
