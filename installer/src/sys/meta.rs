//! What a path is: the part of `lstat` that can be put back, and the part that tells whether it changed.

use std::collections::BTreeMap;

use chom_format::{Digest, Mode};
use serde::{Deserialize, Serialize};

/// A point in time as the file system keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Stamp {
    /// Seconds since 1970.
    pub sec: i64,
    /// Nanoseconds.
    pub nsec: i64,
}

/// The type of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "named after the file types")]
pub enum Kind {
    File,
    Dir,
    Link,
    Fifo,
    Socket,
    Block,
    Char,
}

/// `lstat` of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// Type.
    pub kind: Kind,
    /// Permission bits.
    pub mode: Mode,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// In bytes.
    pub size: u64,
    /// Last change of the content; can be put back.
    pub mtime: Stamp,
    /// Last change of anything; cannot be forged, so it tells whether a cached digest still holds.
    pub ctime: Stamp,
    /// Device.
    pub dev: u64,
    /// Inode.
    pub ino: u64,
    /// Hard links.
    pub nlink: u64,
    /// Device number of a block or character device.
    pub rdev: u64,
}

impl Meta {
    /// Whether its permission bits let nobody but root write to it.
    pub fn is_roots(&self) -> bool {
        let (others, group) = (self.mode.bits() & 0o002 != 0, self.mode.bits() & 0o020 != 0);
        self.uid == 0 && !others && (!group || self.gid == 0)
    }
}

/// What can be put back on a path beside its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attrs {
    /// Permission bits.
    pub mode: Mode,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Last change of the content.
    pub mtime: Stamp,
    /// Extended attributes, ACLs and capabilities among them: name to bytes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub xattrs: BTreeMap<String, Vec<u8>>,
}

/// The whole state of one path, what lies below a directory excepted. Two equal states cannot be told apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "lowercase")]
pub enum PathState {
    /// Nothing there.
    Absent,
    /// A regular file.
    File {
        /// Of its bytes.
        sha256: Digest,
        /// In bytes.
        size: u64,
        /// The rest.
        #[serde(flatten)]
        attrs: Attrs,
    },
    /// A directory.
    Dir {
        /// The rest. Its mtime belongs to the listing of the directory, see `Resource::Listing`.
        #[serde(flatten)]
        attrs: Attrs,
    },
    /// A symbolic link.
    Link {
        /// Its text.
        target: String,
        /// The rest; links have no mode of their own.
        #[serde(flatten)]
        attrs: Attrs,
    },
    /// A device, fifo or socket.
    Special {
        /// Which.
        kind: Kind,
        /// Device number.
        rdev: u64,
        /// The rest.
        #[serde(flatten)]
        attrs: Attrs,
    },
}
