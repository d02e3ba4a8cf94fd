//! Why a run did not begin. Once it has begun, its end is a [`super::Report`].

use chom_format::exit::Explain;
use chom_format::{Exit, HostPath, HostState, StepId};

use super::request::Position;
use crate::journal::JournalError;
use crate::resource::Obstacle;
use crate::step::StepError;
use crate::sys::SysError;
use crate::transaction::WayError;

/// No effect took place.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The host is not as the plan saw it.
    #[error("{path} has changed since the plan was made for {step}")]
    Stale {
        /// Whose plan.
        step: StepId,
        /// What differs.
        path: HostPath,
    },
    /// A rehearsal at a place that this run does not come to.
    #[error("this run does not come to `{0}`")]
    NoSuchPosition(Position),
    /// An earlier transaction is in the way.
    #[error("transaction {id} is neither done nor taken back")]
    Unfinished {
        /// Which.
        id: u64,
    },
    /// An earlier transaction is to be confirmed, or it takes itself back.
    #[error("transaction {id} waits to be confirmed, and is taken back in {seconds} s unless it is")]
    Awaiting {
        /// Which.
        id: u64,
        /// Until it is taken back.
        seconds: u64,
    },
    /// There is no such way back.
    #[error(transparent)]
    Way(#[from] WayError),
    /// What it saved is not what it was: to take it back would leave the host between two states.
    #[error("what transaction {id} has saved is lost or damaged:\n{}", .damaged.join("\n"))]
    Damaged {
        /// Which.
        id: u64,
        /// Each original, with what it is for.
        damaged: Vec<String>,
    },
    /// As the host is now, there is no way back that would end well.
    #[error("transaction {id} cannot be taken back now:\n{}", reasons(.obstacles))]
    NoWayBack {
        /// Which.
        id: u64,
        /// What stands in the way.
        obstacles: Vec<Obstacle>,
    },
    /// A journal could not be read or begun.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A step could not say what it touches.
    #[error(transparent)]
    Step(#[from] StepError),
    /// The door said no.
    #[error(transparent)]
    Sys(#[from] SysError),
}

fn reasons(obstacles: &[Obstacle]) -> String {
    obstacles.iter().map(|obstacle| obstacle.reason.as_str()).collect::<Vec<_>>().join("\n")
}

impl Explain for EngineError {
    fn exit(&self) -> Exit {
        match self {
            Self::Unfinished { .. } | Self::Journal(JournalError::Corrupt { .. }) => Exit::NeedsPerson,
            Self::Awaiting { .. } => Exit::Busy,
            Self::Damaged { .. } | Self::NoWayBack { .. } => Exit::Refused,
            Self::NoSuchPosition(_) => Exit::BadInput,
            Self::Way(error) => error.exit(),
            Self::Stale { .. } | Self::Journal(_) | Self::Step(_) | Self::Sys(_) => Exit::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoSuchPosition(_) => {
                "the steps that change something are listed by: chom-install plan".to_owned()
            }
            Self::Stale { .. } => "make the plan anew: chom-install plan".to_owned(),
            Self::Unfinished { .. } => "chom-install recover".to_owned(),
            Self::Awaiting { .. } => {
                "confirm it with the command that its run has printed, or take it back: chom-install rollback"
                    .to_owned()
            }
            Self::Damaged { .. } => {
                "bring them back from a copy of /var/lib/chom/objects; or put back what can be put back, and mend the \
                 rest: chom-install rollback --partly"
                    .to_owned()
            }
            Self::Way(error) => return error.hint(),
            Self::NoWayBack { obstacles, .. } => {
                let mut remedies: Vec<&str> =
                    obstacles.iter().map(|obstacle| obstacle.remedy.as_str()).collect();
                remedies.dedup();
                remedies.join("; then ")
            }
            Self::Step(StepError::Refused { hint, .. }) => return hint.clone(),
            Self::Journal(error) => return error.hint(),
            Self::Step(StepError::Sys(error)) | Self::Sys(error) => return error.hint(),
        })
    }

    fn host(&self) -> HostState {
        match self {
            Self::Awaiting { .. } => HostState::Exposed,
            Self::Unfinished { id } => HostState::Mixed(vec![format!("transaction {id} is unfinished")]),
            Self::Journal(JournalError::Corrupt { path, corrupt }) => {
                HostState::Mixed(vec![format!("{path}: {corrupt}")])
            }
            Self::Stale { .. }
            | Self::NoSuchPosition(_)
            | Self::Way(_)
            | Self::Damaged { .. }
            | Self::NoWayBack { .. }
            | Self::Journal(_)
            | Self::Step(_)
            | Self::Sys(_) => HostState::Unchanged,
        }
    }
}
