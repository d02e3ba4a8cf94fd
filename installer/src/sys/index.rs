//! What files were read before, so that a second run need not read them again.
//!
//! An entry holds while device, inode, size, mtime and ctime are what they were: ctime moves with every
//! change and cannot be set back. The index is a memory and never a truth: without it everything is
//! read, and a proof reads everything anyway.

use std::collections::BTreeMap;

use chom_format::{Digest, HostPath};
use serde::{Deserialize, Serialize};

use super::{Meta, Stamp};

/// Digests by path.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    entries: BTreeMap<HostPath, Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    dev: u64,
    ino: u64,
    size: u64,
    mtime: Stamp,
    ctime: Stamp,
    sha256: Digest,
}

// File systems keep time in ticks of up to 10 ms: within one tick a second write leaves no trace.
const TICKS_NS: i64 = 50_000_000;

impl Index {
    /// Reads the stored form; whatever cannot be read is an empty memory.
    pub fn parse(bytes: &[u8]) -> Self {
        serde_json::from_slice(bytes).unwrap_or_default()
    }

    /// The stored form.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The digest of a file that provably has not changed since it was noted, be it under another name: a release is
    /// reached by its own path and through a link.
    pub fn get(&self, path: &HostPath, meta: &Meta) -> Option<Digest> {
        let same = |entry: &&Entry| {
            (entry.dev, entry.ino, entry.size) == (meta.dev, meta.ino, meta.size)
                && (entry.mtime, entry.ctime) == (meta.mtime, meta.ctime)
        };
        let known = self.entries.get(path).filter(same);
        known.or_else(|| self.entries.values().find(same)).map(|entry| entry.sha256)
    }

    /// Notes a file that was read at `now`, unless it changed so shortly before that it may change again
    /// within the same tick.
    pub fn note(&mut self, path: &HostPath, meta: &Meta, sha256: Digest, now: Stamp) {
        let age = (now.sec - meta.ctime.sec).saturating_mul(1_000_000_000) + now.nsec - meta.ctime.nsec;
        if age < TICKS_NS {
            self.entries.remove(path);
            return;
        }
        let entry = Entry {
            dev: meta.dev,
            ino: meta.ino,
            size: meta.size,
            mtime: meta.mtime,
            ctime: meta.ctime,
            sha256,
        };
        self.entries.insert(path.clone(), entry);
    }
}

#[cfg(test)]
mod tests {
    use chom_format::Mode;

    use super::super::Kind;
    use super::*;

    fn meta(ctime: i64) -> Meta {
        let stamp = Stamp { sec: ctime, nsec: 0 };
        Meta {
            kind: Kind::File,
            mode: Mode::from_bits(0o644),
            uid: 0,
            gid: 0,
            size: 3,
            mtime: stamp,
            ctime: stamp,
            dev: 1,
            ino: 2,
            nlink: 1,
            rdev: 0,
        }
    }

    #[test]
    fn an_entry_holds_until_ctime_moves() {
        let path: HostPath = "/a".parse().unwrap();
        let mut index = Index::default();
        index.note(&path, &meta(10), Digest::of(b"abc"), Stamp { sec: 11, nsec: 0 });
        let index = Index::parse(&index.to_bytes());
        assert_eq!(index.get(&path, &meta(10)), Some(Digest::of(b"abc")));
        let by_another_name: HostPath = "/link/a".parse().unwrap();
        assert_eq!(index.get(&by_another_name, &meta(10)), Some(Digest::of(b"abc")));
        assert_eq!(index.get(&path, &meta(11)), None);
        assert_eq!(index.get(&path, &Meta { ino: 3, ..meta(10) }), None);
    }

    #[test]
    fn a_file_changed_just_now_is_not_trusted() {
        let path: HostPath = "/a".parse().unwrap();
        let mut index = Index::default();
        index.note(&path, &meta(10), Digest::of(b"abc"), Stamp { sec: 10, nsec: 9_000_000 });
        assert_eq!(index.get(&path, &meta(10)), None);
    }

    #[test]
    fn a_broken_index_is_empty() {
        assert_eq!(Index::parse(b"{\"entries\":3"), Index::default());
    }
}
