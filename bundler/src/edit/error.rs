//! Why the inventory was left as it is.

use std::path::PathBuf;

use chom_format::exit::Explain;
use chom_format::{Exit, HostState};

use crate::problem::Problems;

/// Why the inventory was left as it is.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] Problems),
    /// It does not have the host.
    #[error("{file} has no host `{host}`")]
    NoHost {
        /// The inventory.
        file: String,
        /// The host.
        host: String,
    },
    /// The value is shared with another place.
    #[error(
        "{file}:{line}: `{key}` is shared through an anchor or alias; writing to it would change other places too"
    )]
    Shared {
        /// The inventory.
        file: String,
        /// Where.
        line: usize,
        /// Which key.
        key: String,
    },
    /// The place is written in a way that is not edited.
    #[error("{file}:{line}: `{key}` cannot be written here: {reason}")]
    Style {
        /// The inventory.
        file: String,
        /// Where.
        line: usize,
        /// Which key.
        key: String,
        /// In what way.
        reason: &'static str,
    },
    /// The edited text does not say what was meant, or says more.
    #[error("the edited text of {file} failed its proof: {reason}")]
    Unproven {
        /// The inventory.
        file: String,
        /// What is different.
        reason: String,
    },
    /// Somebody else wrote the file.
    #[error("{} has changed since it was read", .0.display())]
    Changed(PathBuf),
    /// The file system refused.
    #[error("{what} {}", .path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// On which path.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl Explain for EditError {
    fn exit(&self) -> Exit {
        match self {
            Self::Read(_) | Self::NoHost { .. } | Self::Shared { .. } | Self::Style { .. } => Exit::BadInput,
            Self::Unproven { .. } | Self::Changed(_) | Self::File { .. } => Exit::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Read(_) => Some("`chom-bundle check` explains every mistake".to_owned()),
            Self::NoHost { .. } => None,
            Self::Shared { .. } => Some("write the host's `specs` out, without anchor and alias".to_owned()),
            Self::Style { .. } => Some(
                "write the host's `specs` as `key: value` lines, or put the values in by hand".to_owned(),
            ),
            Self::Unproven { .. } => Some("the file is untouched: put the values in by hand".to_owned()),
            Self::Changed(_) => Some("the file is untouched: run the same command again".to_owned()),
            Self::File { .. } => Some("the file is untouched".to_owned()),
        }
    }

    fn host(&self) -> HostState {
        HostState::NotConcerned
    }
}
