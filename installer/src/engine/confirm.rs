//! What a confirmation must bring, and why one does not count.

use chom_format::exit::Explain;
use chom_format::{Exit, HostState};

use super::EngineError;
use crate::caller::{Caller, Proofless};
use crate::journal::{Exposure, Standing, State};
use crate::nonce::Nonce;

/// Somebody says that the host is still within reach.
#[derive(Debug, Clone)]
pub struct Confirmation<'a> {
    /// Of which transaction.
    pub id: u64,
    /// The word of its exposure.
    pub nonce: &'a Nonce,
    /// Over what.
    pub caller: &'a Caller,
    /// Who, for the journal.
    pub by: &'a str,
}

/// A confirmation that does not count. It has changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum ConfirmError {
    /// No such transaction.
    #[error("there is no transaction {id} on this host")]
    NoSuch {
        /// As asked for.
        id: u64,
    },
    /// The run has not come to its firewall yet.
    #[error("transaction {id} is not exposed yet: there is nothing to confirm")]
    NotYet {
        /// Which.
        id: u64,
    },
    /// The word of another exposure.
    #[error("this is not the word of transaction {id}: it belongs to another run")]
    Stale {
        /// Which.
        id: u64,
    },
    /// It stands, and nobody had to confirm it.
    #[error("transaction {id} stands, and never waited to be confirmed")]
    Unasked {
        /// Which.
        id: u64,
    },
    /// It is being or was taken back.
    #[error("transaction {id} {how}: it cannot be confirmed any more")]
    TooLate {
        /// Which.
        id: u64,
        /// What became of it.
        how: String,
        /// It is whole again.
        restored: bool,
    },
    /// It shows nothing.
    #[error("the confirmation of transaction {id} proves nothing: {why}")]
    Proofless {
        /// Which.
        id: u64,
        /// To be given again.
        nonce: Nonce,
        /// Why.
        why: Proofless,
    },
    /// A journal could not be read or written.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl Confirmation<'_> {
    /// The exposure that is meant, confirmed or not; an error when there is none, or another, or no longer one.
    pub fn admit(&self, state: &State) -> Result<Exposure, ConfirmError> {
        let id = self.id;
        if state.exposure.as_ref().is_some_and(|known| known.nonce != self.nonce.digest()) {
            return Err(ConfirmError::Stale { id });
        }
        let too_late = |how: &str, restored| ConfirmError::TooLate { id, how: how.to_owned(), restored };
        match (&state.standing, &state.exposure) {
            (Standing::Empty | Standing::Open, _) => Err(ConfirmError::NotYet { id }),
            (Standing::Committed { .. }, None) => Err(ConfirmError::Unasked { id }),
            (Standing::Committed { .. } | Standing::Exposed { .. }, Some(exposure)) => Ok(exposure.clone()),
            // The fold gives no such state.
            (Standing::Exposed { .. }, None) => Err(ConfirmError::NotYet { id }),
            (Standing::RolledBack { at }, _) => Err(too_late(&format!("was taken back at {at}"), true)),
            (Standing::RollingBack { .. }, _) => Err(too_late("is being taken back", false)),
            (Standing::Stuck { .. }, _) => Err(too_late("could not be taken back in all", false)),
        }
    }
}

impl Explain for ConfirmError {
    fn exit(&self) -> Exit {
        match self {
            Self::NoSuch { .. } | Self::Stale { .. } | Self::Unasked { .. } => Exit::BadInput,
            Self::NotYet { .. } => Exit::Failed,
            Self::TooLate { restored: true, .. } => Exit::Restored,
            Self::TooLate { restored: false, .. } => Exit::NeedsPerson,
            Self::Proofless { .. } => Exit::Refused,
            Self::Engine(error) => error.exit(),
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoSuch { .. } => "chom-install history".to_owned(),
            Self::NotYet { .. } => {
                "wait until `chom-install status` says that it waits to be confirmed".to_owned()
            }
            Self::Stale { .. } => {
                "the command with the right word was printed by the run that waits".to_owned()
            }
            Self::Unasked { .. } => return None,
            Self::TooLate { restored: true, .. } => "chom-install history, then install again".to_owned(),
            Self::TooLate { restored: false, .. } => "chom-install status".to_owned(),
            Self::Proofless { id, nonce, .. } => format!(
                "from the machine that you log in from: ssh -o ControlMaster=no -o ControlPath=none HOST \
                 chom-install confirm {id} --nonce {nonce}"
            ),
            Self::Engine(error) => return error.hint(),
        })
    }

    fn host(&self) -> HostState {
        match self {
            Self::TooLate { restored: true, .. } => HostState::Restored,
            Self::TooLate { id, how, .. } => HostState::Mixed(vec![format!("transaction {id} {how}")]),
            Self::Unasked { .. } => HostState::Installed,
            Self::Stale { .. } | Self::Proofless { .. } | Self::NotYet { .. } | Self::NoSuch { .. } => {
                HostState::Unchanged
            }
            Self::Engine(error) => error.host(),
        }
    }
}
