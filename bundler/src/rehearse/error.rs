//! Why a rehearsal could not be held. A rehearsal that was held and found something is no error: that is
//! its report.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chom_format::{Exit, HostState, exit::Explain};

use super::need::Missing;
use super::tool::ToolError;

/// Why a rehearsal could not be held.
#[derive(Debug, thiserror::Error)]
pub enum RehearseError {
    /// This machine lacks something.
    #[error("{0}")]
    Missing(#[from] Missing),
    /// The bundle cannot be read, or is not for a host that can be made here.
    #[error("{path}: {why}", path = path.display())]
    Bundle {
        /// The tarball.
        path: PathBuf,
        /// What is wrong.
        why: String,
        /// What mends it.
        hint: String,
    },
    /// A program of this machine failed.
    #[error("cannot {act}: {source}")]
    Tool {
        /// What it was to do.
        act: String,
        /// How it failed.
        source: ToolError,
    },
    /// A file of this machine could not be read or written.
    #[error("cannot {act} {path}: {source}", path = path.display())]
    Io {
        /// What was tried.
        act: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The base system could not be made.
    #[error("cannot make the {suite} base system: {why}")]
    Base {
        /// Debian release.
        suite: &'static str,
        /// What mmdebstrap said.
        why: String,
    },
    /// The host did not come up.
    #[error("the host {host} was not up after {} s: {why}", waited.as_secs())]
    Boot {
        /// Its name.
        host: String,
        /// The deadline that passed.
        waited: Duration,
        /// The end of its console.
        why: String,
    },
    /// The state of the host could not be read.
    #[error("cannot read the {what} of {host}: {why}")]
    Capture {
        /// Which part.
        what: &'static str,
        /// Its name.
        host: String,
        /// Why not.
        why: String,
    },
    /// A program that was to prepare the host failed on it.
    #[error("`{command}` ended with {code} on {host}: {said}")]
    OnHost {
        /// Its name.
        host: String,
        /// What was run.
        command: String,
        /// Exit code.
        code: i32,
        /// The end of what it said.
        said: String,
    },
    /// A person asked to stop.
    #[error("stopped; the throw-away host is gone")]
    Stopped,
}

impl RehearseError {
    /// For `map_err` on an operation with one path.
    pub(super) fn io(act: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_owned();
        move |source| Self::Io { act, path, source }
    }

    /// For `map_err` on a program.
    pub(super) fn tool(act: impl Into<String>) -> impl FnOnce(ToolError) -> Self {
        let act = act.into();
        move |source| match source {
            ToolError::Cancelled { .. } => Self::Stopped,
            source => Self::Tool { act, source },
        }
    }
}

impl Explain for RehearseError {
    fn exit(&self) -> Exit {
        match self {
            Self::Missing(_) => Exit::Refused,
            Self::Bundle { .. } => Exit::BadInput,
            _ => Exit::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Missing(missing) => Some(missing.hint()),
            Self::Bundle { hint, .. } => Some(hint.clone()),
            Self::Tool { .. } | Self::Boot { .. } => {
                Some("run again with --keep to look at the host: it is left running".to_owned())
            }
            Self::Io { .. } => Some("give the folder with --cache or CHOM_CACHE a place that root may write to".to_owned()),
            Self::Base { .. } => Some(
                "the base system comes from the apt sources of this machine; name another archive with --mirror"
                    .to_owned(),
            ),
            Self::Capture { .. } | Self::OnHost { .. } | Self::Stopped => None,
        }
    }

    fn host(&self) -> HostState {
        HostState::NotConcerned
    }
}
