//! The proof of a transaction that was taken back, as its journal keeps it.

use std::fmt;

use serde::Serialize;

use super::status::Entry;
use super::{RunError, Session};
use crate::engine::EngineError;
use crate::journal::Standing;
use crate::resource::{Fingerprint, Resource};
use crate::transaction::WayError;

/// What was read again, and what it came to.
#[derive(Debug, Serialize)]
pub struct Proof {
    /// Version of this shape.
    pub format: u32,
    /// Which transaction.
    pub transaction: Entry,
    /// It was taken back, and each of these was read again and equal to before. Otherwise they are how it was
    /// before, to be compared with.
    pub proved: bool,
    /// What was touched, with its fingerprint.
    pub resources: Vec<(Resource, Fingerprint)>,
    /// What others had changed meanwhile, and where it is kept.
    pub exceptions: Vec<String>,
}

/// The proof of one transaction.
pub fn proof(id: u64) -> Result<Proof, RunError> {
    let session = Session::for_telling()?;
    let known =
        session.known.iter().find(|known| known.id == id).ok_or(EngineError::Way(WayError::NoSuch { id }))?;
    let state = &known.state;
    let proved = matches!(state.standing, Standing::RolledBack { .. });
    let before =
        || state.saved.iter().map(|(resource, saved)| (resource.clone(), saved.fingerprint)).collect();
    Ok(Proof {
        format: 1,
        transaction: Entry::of(&session, known)?,
        proved,
        resources: if proved { state.proof.clone() } else { before() },
        exceptions: state.exceptions.clone(),
    })
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.transaction)?;
        let count = self.resources.len();
        match self.proved {
            true => {
                writeln!(f, "{count} resources were read again after it was taken back, and are as before:")?
            }
            false => writeln!(f, "it is not taken back; this is how {count} resources were before it:")?,
        }
        for (resource, Fingerprint(digest)) in &self.resources {
            writeln!(f, "  {digest}  {resource}")?;
        }
        self.exceptions.iter().try_for_each(|exception| writeln!(f, "kept: {exception}"))
    }
}
