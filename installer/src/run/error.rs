//! Why a command ended before it did anything, or what the engine says of its end.

use chom_format::exit::Explain;
use chom_format::{Exit, HostState};

use crate::backup::BackupError;
use crate::engine::{ConfirmError, EngineError};
use crate::journal::JournalError;
use crate::open::OpenError;
use crate::plan::PlanError;
use crate::preflight::Refused;
use crate::step::StepError;
use crate::sys::SysError;
use crate::transaction::{Busy, Unreadable};

/// Why a command ended before it did anything.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The bundle.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The host.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// Another run.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// The plan could not be made.
    #[error("the plan could not be made: {0}")]
    Plan(#[from] PlanError),
    /// The engine did not begin.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A confirmation that does not count.
    #[error(transparent)]
    Confirm(#[from] ConfirmError),
    /// A journal could not be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The door said no.
    #[error(transparent)]
    Sys(#[from] SysError),
    /// What a committed transaction has left.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// A backup.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// Nobody is there to agree.
    #[error("nobody can be asked: standard input or error is not a terminal")]
    NobodyToAsk,
    /// A person said no.
    #[error("not agreed")]
    NotAgreed,
    /// Only root may.
    #[error("only root can do this")]
    NotRoot,
    /// What comes over standard input is gone with this process.
    #[error("a bundle from standard input cannot be installed by a unit of its own")]
    CannotDetach,
    /// The unit of an installation that nobody asked for, or not any more.
    #[error("no installation of transaction {0} is waited for")]
    NoTicket(u64),
    /// `--fail-at` and the like name a step that the bundle does not have.
    #[error("the bundle has no step `{0}`")]
    NoSuchStep(String),
}

impl Explain for RunError {
    fn exit(&self) -> Exit {
        match self {
            Self::Open(error) => error.exit(),
            Self::Refused(error) => error.exit(),
            Self::Busy(error) => error.exit(),
            Self::Unreadable(error) => error.exit(),
            Self::Backup(error) => error.exit(),
            Self::Engine(error) => error.exit(),
            Self::Confirm(error) => error.exit(),
            Self::Journal(JournalError::Corrupt { .. }) => Exit::NeedsPerson,
            Self::NobodyToAsk | Self::NoSuchStep(_) | Self::CannotDetach | Self::NoTicket(_) => {
                Exit::BadInput
            }
            Self::NotRoot => Exit::Refused,
            Self::Journal(_) | Self::Plan(_) | Self::Sys(_) | Self::NotAgreed => Exit::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Open(error) => error.hint(),
            Self::Refused(error) => error.hint(),
            Self::Busy(error) => error.hint(),
            Self::Unreadable(error) => error.hint(),
            Self::Backup(error) => error.hint(),
            Self::Engine(error) => error.hint(),
            Self::Confirm(error) => error.hint(),
            Self::Plan(PlanError { source: StepError::Refused { hint, .. }, .. }) => hint.clone(),
            Self::NobodyToAsk => Some("look at the plan with `chom-install plan`, then say --yes".to_owned()),
            Self::CannotDetach => Some("save it as a file, and name that with --bundle".to_owned()),
            Self::NoTicket(_) => Some("chom-install install --detach".to_owned()),
            Self::NotRoot => Some("sudo ./chom-install".to_owned()),
            Self::NoSuchStep(_) => Some("chom-install plan --all names them".to_owned()),
            Self::Journal(error) => error.hint(),
            Self::Sys(error) => error.hint(),
            Self::Plan(_) | Self::NotAgreed => None,
        }
    }

    fn host(&self) -> HostState {
        match self {
            Self::Engine(error) => error.host(),
            Self::Confirm(error) => error.host(),
            Self::Journal(JournalError::Corrupt { path, corrupt }) => {
                HostState::Mixed(vec![format!("{path}: {corrupt}")])
            }
            _ => HostState::Unchanged,
        }
    }
}
