//! Why a `.deb` cannot be used.

use chom_format::{Digest, Exit, HostState, exit::Explain};

use crate::cache::CacheError;
use crate::child::ChildError;
use crate::unpack::UnpackError;

/// Why a `.deb` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DebError {
    /// It is not in the cache.
    #[error("{name} (sha256 {sha256}) is not in the cache")]
    Absent {
        /// What people call it.
        name: String,
        /// Its digest.
        sha256: Digest,
    },
    /// `dpkg-deb` is missing, or does not take it for a package.
    #[error("{name}: {source}")]
    Tool {
        /// What people call it.
        name: String,
        /// What went wrong.
        source: ChildError,
    },
    /// Its control fields do not say what every package says.
    #[error("{name}: its control file {problem}")]
    Control {
        /// What people call it.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// A member could not be taken out.
    #[error("{name}: {source}")]
    Unpack {
        /// What people call it.
        name: String,
        /// What went wrong.
        source: UnpackError,
    },
    /// The cache failed.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

impl Explain for DebError {
    fn exit(&self) -> Exit {
        match self {
            Self::Unpack { source: UnpackError::Missing { .. } | UnpackError::BadMember(_), .. } => {
                Exit::BadInput
            }
            _ => Exit::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Absent { .. } => "run `chom-bundle fetch`".to_owned(),
            Self::Tool { source, .. } if source.is_missing() => "install the package dpkg".to_owned(),
            Self::Unpack { source: UnpackError::Missing { .. } | UnpackError::BadMember(_), .. } => {
                "mend `payload.debian.members` of the component".to_owned()
            }
            Self::Tool { .. } | Self::Control { .. } | Self::Unpack { .. } => {
                "run `chom-bundle lock --update`; the package in the archive may be damaged".to_owned()
            }
            Self::Cache(error) => return error.hint(),
        })
    }

    fn host(&self) -> HostState {
        HostState::NotConcerned
    }
}
