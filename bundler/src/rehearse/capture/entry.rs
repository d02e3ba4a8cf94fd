//! One path of a host: what it is, whose, when it was changed.

use std::collections::BTreeMap;
use std::fmt;

use chom_format::Digest;
use serde::{Deserialize, Serialize};

/// One path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// What it is and holds.
    pub kind: Kind,
    /// Permission bits with setuid, setgid and sticky.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Time of the last change of its content: seconds and nanoseconds since 1970. None where the time does
    /// not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtime: Option<(i64, u32)>,
    /// Extended attributes: name, and value in ASCII with escapes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub xattrs: BTreeMap<String, String>,
}

/// What a path is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub enum Kind {
    /// A file.
    File {
        /// Bytes.
        size: u64,
        /// Of its content.
        sha256: Digest,
    },
    /// A folder.
    Dir,
    /// A symbolic link.
    Link {
        /// Its text.
        to: String,
    },
    /// A character device.
    Char {
        /// Its number.
        device: u64,
    },
    /// A block device.
    Block {
        /// Its number.
        device: u64,
    },
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { size, sha256 } => write!(f, "a file of {size} bytes, sha256 {}", sha256.short()),
            Self::Dir => f.write_str("a folder"),
            Self::Link { to } => write!(f, "a link to {to}"),
            Self::Char { device } => write!(f, "a character device {device:#x}"),
            Self::Block { device } => write!(f, "a block device {device:#x}"),
            Self::Fifo => f.write_str("a named pipe"),
            Self::Socket => f.write_str("a socket"),
        }
    }
}
