//! Why a bundle is not one that may be obeyed.

use std::io;
use std::path::PathBuf;

use chom_format::archive::ArchiveError;
use chom_format::exit::Explain;
use chom_format::sums::SumsError;
use chom_format::{Digest, Exit, HostState, Mode, RelPath};

use crate::sys::SysError;

/// Why a bundle is refused. The host is untouched in every case.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Nothing says where the bundle is.
    #[error("no bundle: the folder of this program holds no manifest.json")]
    NoBundle,
    /// The folder has no manifest.
    #[error("{} is no bundle: it holds no manifest.json and SHA256SUMS", .dir.display())]
    NotABundle {
        /// Which folder.
        dir: PathBuf,
    },
    /// A file or folder could not be read or written.
    #[error("cannot {operation} {}", .path.display())]
    Io {
        /// In the infinitive.
        operation: &'static str,
        /// Of what.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// The folder could not be looked at.
    #[error(transparent)]
    Sys(#[from] SysError),
    /// The tarball is damaged or hostile.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// `SHA256SUMS` is no text.
    #[error("SHA256SUMS is not UTF-8 text")]
    SumsNotText,
    /// `SHA256SUMS` is not a list of digests.
    #[error(transparent)]
    Sums(#[from] SumsError),
    /// Files are wrong.
    #[error("{}", Problem::list(.0))]
    Contents(Vec<Problem>),
    /// The manifest is of a later format.
    #[error("the bundle has format {found}; this program reads format {known}")]
    Newer {
        /// The bundle's.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// The manifest does not parse.
    #[error("manifest.json: {0}")]
    Manifest(#[from] serde_json::Error),
    /// The manifest says what must not be.
    #[error("manifest.json: {}", .0.join("\nmanifest.json: "))]
    Senseless(Vec<String>),
}

/// What is wrong with one file of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Listed and not there.
    #[error("`{0}` is missing")]
    Missing(RelPath),
    /// There and not listed.
    #[error("`{0}` does not belong to the bundle")]
    Extra(RelPath),
    /// Other bytes than listed.
    #[error("`{path}` is damaged: its sha256 is {found}, not {wanted}")]
    Digest {
        /// Which.
        path: RelPath,
        /// Listed.
        wanted: Digest,
        /// Read.
        found: Digest,
    },
    /// Neither file nor directory, or a name that no bundle has.
    #[error("`{path}` {reason}")]
    Kind {
        /// As text, for the name itself may be the fault.
        path: String,
        /// What it is.
        reason: String,
    },
    /// Others may write it, or it has set-id bits.
    #[error(
        "`{path}` has mode {mode}: a bundle's files are written by their owner only, without set-id bits"
    )]
    Mode {
        /// Which.
        path: RelPath,
        /// Found.
        mode: Mode,
    },
}

// More lines than a person reads.
const SHOWN: usize = 20;

impl Problem {
    /// An error when there are any.
    pub(super) fn none_of(problems: Vec<Self>) -> Result<(), OpenError> {
        if problems.is_empty() { Ok(()) } else { Err(OpenError::Contents(problems)) }
    }

    fn list(problems: &[Self]) -> String {
        let mut lines: Vec<String> = problems.iter().take(SHOWN).map(ToString::to_string).collect();
        if problems.len() > SHOWN {
            lines.push(format!("and {} more", problems.len() - SHOWN));
        }
        format!("the bundle is not as it was made: {}", lines.join("\n"))
    }
}

impl OpenError {
    /// An I/O failure with its operation.
    pub(super) fn io(operation: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { operation, path, source }
    }
}

impl Explain for OpenError {
    fn exit(&self) -> Exit {
        match self {
            // The bundle may be good: it is this host that has no room or no permission.
            Self::Io { operation: "unpack to", .. } | Self::Archive(ArchiveError::Write { .. }) => {
                Exit::Failed
            }
            _ => Exit::BadInput,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NoBundle | Self::NotABundle { .. } => {
                "name the bundle: --bundle FOLDER, --bundle FILE.tar.gz, or --bundle - for standard input"
            }
            Self::Newer { .. } => "run the chom-install that lies in the bundle's own folder",
            Self::Archive(ArchiveError::Write { .. }) | Self::Io { operation: "unpack to", .. } => {
                "make room, or name another directory: TMPDIR=/var/tmp, or unpack the bundle yourself with tar xzf"
            }
            Self::Io { .. } | Self::Sys(_) => return None,
            Self::Contents(problems)
                if problems.iter().all(|problem| matches!(problem, Problem::Mode { .. })) =>
            {
                "unpack the tarball again as root, or: chmod -R go-w FOLDER"
            }
            Self::Contents(_) | Self::Archive(_) | Self::Sums(_) | Self::SumsNotText => {
                "copy the bundle again and compare it with its .tar.gz.sha256"
            }
            Self::Manifest(_) | Self::Senseless(_) => "build the bundle again: chom-bundle build",
        };
        Some(hint.to_owned())
    }

    fn host(&self) -> HostState {
        HostState::Unchanged
    }
}
