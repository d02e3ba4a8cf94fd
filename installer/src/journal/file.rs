//! The journal's file: space taken in advance, appended to, read back.

use std::io::Read as _;

use chom_format::HostPath;

use super::frame::{Corrupt, Decoded, Tail, decode, encode};
use super::record::Record;
use crate::sys::{Effect, Sys, SysError};

/// Enough for a few thousand records, so that a full disk cannot keep a rollback from being noted.
const RESERVED: u64 = 4 << 20;
// A journal that is larger was not written by us.
const LARGEST: u64 = 256 << 20;

/// A journal that is being written.
#[derive(Debug, Clone)]
pub struct Journal {
    path: HostPath,
    tail: Tail,
}

/// Why a journal could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The door said no.
    #[error(transparent)]
    Sys(#[from] SysError),
    /// It is damaged.
    #[error("journal {path}: {corrupt}")]
    Corrupt {
        /// Which.
        path: HostPath,
        /// Where.
        corrupt: Corrupt,
    },
}

impl Journal {
    /// A new, empty journal with its space reserved.
    pub fn create(sys: &mut dyn Sys, path: HostPath) -> Result<Self, JournalError> {
        sys.effect(&Effect::Reserve { path: &path, bytes: RESERVED })?;
        Ok(Self { path, tail: Tail::default() })
    }

    /// An existing journal, with what it says. A torn last frame is not part of it, and goes with the next append.
    pub fn open(sys: &dyn Sys, path: HostPath) -> Result<(Self, Vec<Record>), JournalError> {
        let mut bytes = Vec::new();
        let file = sys.open(&path)?;
        file.take(LARGEST).read_to_end(&mut bytes).map_err(SysError::io("read", &path))?;
        match decode(&bytes) {
            Ok(Decoded { records, tail, .. }) => Ok((Self { path, tail }, records)),
            Err(corrupt) => Err(JournalError::Corrupt { path, corrupt }),
        }
    }

    /// Adds a record; it is on the disk when this returns. After an error it may be there or not, and the
    /// next append takes its place.
    pub fn append(&mut self, sys: &mut dyn Sys, record: &Record) -> Result<(), JournalError> {
        let (frame, tail) = encode(record, &self.tail)
            .map_err(|error| SysError::other("encode a record of", &self.path, error.to_string()))?;
        sys.effect(&Effect::Append { journal: &self.path, at: self.tail.length, frame: &frame })?;
        self.tail = tail;
        Ok(())
    }
}
