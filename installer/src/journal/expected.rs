//! What a step is about to make of a path, as far as that can be said beforehand: announced with the step, so that after
//! a crash its work can be told from somebody else's.

use chom_format::Digest;
use serde::{Deserialize, Serialize};

use crate::sys::PathState;

/// What there will be. Times and owners are left out: by its content a path is told apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "lowercase")]
pub enum Expected {
    /// Nothing.
    Absent,
    /// A directory.
    Dir,
    /// A link.
    Link {
        /// Its text.
        target: String,
    },
    /// A file.
    File {
        /// Its content.
        sha256: Digest,
    },
}

impl Expected {
    /// Whether it is what is there.
    pub fn is(&self, state: &PathState) -> bool {
        match (self, state) {
            (Self::Absent, PathState::Absent) | (Self::Dir, PathState::Dir { .. }) => true,
            (Self::Link { target }, PathState::Link { target: found, .. }) => target == found,
            (Self::File { sha256 }, PathState::File { sha256: found, .. }) => sha256 == found,
            _ => false,
        }
    }
}

impl From<&PathState> for Expected {
    fn from(state: &PathState) -> Self {
        match state {
            PathState::File { sha256, .. } => Self::File { sha256: *sha256 },
            PathState::Link { target, .. } => Self::Link { target: target.clone() },
            PathState::Dir { .. } => Self::Dir,
            PathState::Absent | PathState::Special { .. } => Self::Absent,
        }
    }
}
