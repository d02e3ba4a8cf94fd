//! Where a transaction keeps things: objects by digest, shared by all transactions, and its own attic.

use std::io::Read as _;

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

    /// Reads such a state; bytes that are not those written are an error.
    pub fn read_state<T: DeserializeOwned>(&self, sys: &dyn Sys, sha256: &Digest) -> Result<T, SysError> {
        let path = self.object(sha256)?;
        let mut bytes = Vec::new();
        sys.open(&path)?.read_to_end(&mut bytes).map_err(SysError::io("read", &path))?;
        let found = Digest::of(&bytes);
        if found != *sha256 {
            return Err(SysError::Digest { object: path.to_string(), wanted: *sha256, found });
        }
        serde_json::from_slice(&bytes).map_err(|error| SysError::other("understand", path, error.to_string()))
    }

    /// Puts bytes with this digest into the store. What is there under this name has it already: objects
    /// come into being by one rename, when they are complete and on the disk.
    pub fn keep(&self, sys: &mut dyn Sys, source: Source<'_>, sha256: Digest) -> Result<(), SysError> {
        let path = self.object(&sha256)?;
        if sys.meta(&path)?.is_none() {
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
