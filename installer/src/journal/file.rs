//! The journal's file: space taken in advance, appended to, read back.

use std::io::Read as _;

use chom_format::HostPath;

use super::frame::{Corrupt, Decoded, Tail, decode, encode};
use super::record::Record;
use crate::sys::{Effect, Sys, SysError};

/// Enough for a few thousand records, so that most transactions reserve once.
const RESERVED: u64 = 4 << 20;
/// Space is taken in pieces of this size when that was not enough.
const MORE: u64 = 1 << 20;
// A journal that is larger was not written by us.
const LARGEST: u64 = 256 << 20;

/// A journal that is being written.
#[derive(Debug, Clone)]
pub struct Journal {
    path: HostPath,
    tail: Tail,
    /// Bytes of the disk that the file owns; unknown of one that was opened again.
    reserved: Option<u64>,
    /// Bytes that a record must leave of them.
    kept_free: u64,
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

impl JournalError {
    /// The act that mends it, where one is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Sys(error) => error.hint(),
            Self::Corrupt { path, .. } => {
                let dir = path.parent().unwrap_or_else(HostPath::root);
                Some(format!(
                    "the host was left alone. What was done and saved: grep -ao '{{\"record\".*' {path}; the originals are \
                     named there by sha256 and lie in /var/lib/chom/objects. When all is in order by hand, let others \
                     begin: mv {dir} /root/"
                ))
            }
        }
    }
}

impl Journal {
    /// One that nobody writes, for tests of what is folded from records.
    #[cfg(test)]
    pub(crate) fn at(path: HostPath) -> Self {
        Self { path, tail: Tail::default(), reserved: None, kept_free: 0 }
    }

    /// A new, empty journal with its space reserved: file, directory and space are on the disk when this returns.
    pub fn create(sys: &mut dyn Sys, path: HostPath) -> Result<Self, JournalError> {
        sys.effect(&Effect::Reserve { path: &path, bytes: RESERVED })?;
        Ok(Self { path, tail: Tail::default(), reserved: Some(RESERVED), kept_free: 0 })
    }

    /// An existing journal, with what it says. A torn last frame is not part of it, and goes with the next append.
    pub fn open(sys: &dyn Sys, path: HostPath) -> Result<(Self, Vec<Record>), JournalError> {
        let mut bytes = Vec::new();
        let file = sys.open(&path)?;
        file.take(LARGEST).read_to_end(&mut bytes).map_err(SysError::io("read", &path))?;
        match decode(&bytes) {
            Ok(Decoded { records, tail, .. }) => {
                Ok((Self { path, tail, reserved: None, kept_free: 0 }, records))
            }
            Err(corrupt) => Err(JournalError::Corrupt { path, corrupt }),
        }
    }

    /// From now on every record leaves this much of the disk to those that come after it: the way back is
    /// noted in space that was there before its first need, and no full disk is in its way. 0 on the way back.
    pub fn keep_free(&mut self, bytes: u64) {
        self.kept_free = bytes;
    }

    /// Adds a record; it is on the disk when this returns. After an error it may be there or not, and the
    /// next append takes its place: a write or a sync that failed once is never taken for done.
    pub fn append(&mut self, sys: &mut dyn Sys, record: &Record) -> Result<(), JournalError> {
        let (frame, tail) = encode(record, &self.tail)
            .map_err(|error| SysError::other("encode a record of", &self.path, error.to_string()))?;
        let wanted = tail.length + self.kept_free;
        if let Some(reserved) = self.reserved.filter(|reserved| self.kept_free > 0 && *reserved < wanted) {
            let bytes = wanted.max(reserved + MORE);
            sys.effect(&Effect::Reserve { path: &self.path, bytes })?;
            self.reserved = Some(bytes);
        }
        sys.effect(&Effect::Append { journal: &self.path, at: self.tail.length, frame: &frame })?;
        self.tail = tail;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::RealSys;

    fn blocks(root: &std::path::Path) -> u64 {
        use std::os::unix::fs::MetadataExt as _;
        std::fs::metadata(root.join("journal")).unwrap().blocks() * 512
    }

    #[test]
    fn the_way_back_has_its_space_before_it_is_needed() {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let mut sys = RealSys::new(dir.path());
        let mut journal = Journal::create(&mut sys, "/journal".parse().unwrap()).unwrap();
        assert!(blocks(dir.path()) >= RESERVED);
        journal.append(&mut sys, &Record::Healthy).unwrap();
        assert!(blocks(dir.path()) < RESERVED + MORE, "enough is enough");
        journal.keep_free(3 * RESERVED);
        journal.append(&mut sys, &Record::Healthy).unwrap();
        assert!(blocks(dir.path()) >= 3 * RESERVED);
        let (mut again, records) = Journal::open(&sys, "/journal".parse().unwrap()).unwrap();
        assert_eq!(records, [Record::Healthy, Record::Healthy]);
        again.append(&mut sys, &Record::RollingBack { cause: "asked".into() }).unwrap();
        assert!(blocks(dir.path()) >= 3 * RESERVED, "what was reserved stays so");
    }

    #[test]
    fn a_torn_tail_gives_none_of_the_space_back() {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let mut sys = RealSys::new(dir.path());
        let path: HostPath = "/journal".parse().unwrap();
        let mut journal = Journal::create(&mut sys, path.clone()).unwrap();
        journal.append(&mut sys, &Record::RollingBack { cause: "one".into() }).unwrap();
        let torn = Effect::Append { journal: &path, at: journal.tail.length, frame: &[0xc4; 9000] };
        sys.effect(&torn).unwrap();
        let (mut again, _) = Journal::open(&sys, path.clone()).unwrap();
        again.append(&mut sys, &Record::Healthy).unwrap();
        assert!(blocks(dir.path()) >= RESERVED);
        let (_, records) = Journal::open(&sys, path).unwrap();
        assert_eq!(records, [Record::RollingBack { cause: "one".into() }, Record::Healthy]);
    }
}
