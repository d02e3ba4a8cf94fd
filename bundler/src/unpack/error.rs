//! Why an archive cannot be taken apart.

use std::io;

use crate::cache::CacheError;

/// Why an archive cannot be taken apart.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The bytes are no such archive, or a damaged one.
    #[error("the archive cannot be read: {0}")]
    Broken(io::Error),
    /// A name that leads out of the archive, or that no file can have.
    #[error("the archive holds the name {0:?}, which leads out of it: it is refused as a whole")]
    Hostile(String),
    /// One name, two files.
    #[error("the archive holds {0} twice")]
    Twice(String),
    /// More members, or larger ones, than any program has.
    #[error("the archive has more than {limit} {what}")]
    TooMuch {
        /// `members` or `bytes`.
        what: &'static str,
        /// Where reading stopped.
        limit: u64,
    },
    /// Members that were asked for are not in it.
    #[error("the archive has no {}{}", .members.join(", "), Near(.near))]
    Missing {
        /// Which.
        members: Vec<String>,
        /// Files of the same name elsewhere in the archive.
        near: Vec<String>,
    },
    /// A member path that cannot be one.
    #[error("`{0}` is not a path in an archive")]
    BadMember(String),
    /// The format is not known.
    #[error("{0} is neither .tar.gz, .tgz, .tar nor .zip")]
    Format(String),
    /// The cache failed.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

struct Near<'a>(&'a [String]);

impl std::fmt::Display for Near<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, "; it has {}", self.0.join(", ")) }
    }
}

impl From<io::Error> for UnpackError {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}
