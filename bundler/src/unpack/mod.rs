//! Takes named members out of archives of foreign make, straight into the cache.
//!
//! Nothing is ever written to disk under a name that an archive chose: a member's bytes become an object, and
//! its name stays a key in a map. An archive with a name that leads out of it, or with more or larger members
//! than any program has, is refused as a whole. Links are followed inside the archive only.

mod collect;
mod error;
mod name;
mod tar;
mod zip;

use std::collections::BTreeMap;

use chom_format::{Digest, RelPath};
use serde::{Deserialize, Serialize};

use crate::cache::Cache;

pub(crate) use collect::{Collected, Limits, collect};
pub use error::UnpackError;
pub(crate) use tar::walk_tar;
pub(crate) use zip::walk_zip;

/// A member of an archive, as an object of the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Of its bytes.
    pub sha256: Digest,
    /// In bytes.
    pub size: u64,
    /// Whether the archive marks it as a program.
    pub executable: bool,
}

/// Members by their path in the archive, without a leading `/` or `./`.
pub type Members = BTreeMap<RelPath, Member>;

/// What archives gave for this very list before. Only as good as its objects: all must be there, whole.
pub(crate) fn remembered(cache: &Cache, key: &Digest) -> Option<Members> {
    let known: Members = serde_json::from_str(&cache.note(key)?).ok()?;
    known.values().all(|member| cache.size(&member.sha256) == Some(member.size)).then_some(known)
}

/// Notes what archives gave; `key` stands for them and for what was asked.
pub(crate) fn remember(cache: &Cache, key: &Digest, members: &Members) {
    if let Ok(text) = serde_json::to_string(members) {
        cache.keep_note(key, &text);
    }
}

/// What is asked of an archive: one file, or all files below a folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Want {
    /// A file.
    File(RelPath),
    /// A folder.
    Tree(RelPath),
}

impl Want {
    /// Reads a member path: absolute or not, with a trailing `/` for a whole folder.
    pub(crate) fn parse(text: &str) -> Result<Self, UnpackError> {
        let path = text.trim_start_matches('/');
        let wrong = |_| UnpackError::BadMember(text.to_owned());
        match path.strip_suffix('/') {
            Some(folder) => folder.parse().map(Self::Tree).map_err(wrong),
            None => path.parse().map(Self::File).map_err(wrong),
        }
    }
}

/// What an archive holds under one name.
pub(crate) enum Kind {
    /// A file, and whether it is marked as a program.
    File {
        /// Any of the execute bits.
        executable: bool,
    },
    /// A link with its text, as a path from the archive's root.
    Link(Option<RelPath>),
    /// A folder, or something that no release needs.
    Other,
}
