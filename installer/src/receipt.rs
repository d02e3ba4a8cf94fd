//! The receipt: what a transaction that stands has left, for people and for later runs.
//!
//! It repeats what the journal says in a form that can be read without it, and adds what only this run
//! knew: the change of each step and how the checks ended. Nothing is decided by it.

use chom_format::step::Phase;
use chom_format::{Digest, StepId};
use serde::{Deserialize, Serialize};

use crate::check::Report as CheckReport;
use crate::journal::{Begin, State};
use crate::resource::{Fingerprint, Resource, Sought};
use crate::sys::SysError;

/// The format that this build writes.
pub const FORMAT: u32 = 1;

/// `receipt.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// [`FORMAT`].
    pub format: u32,
    /// Number of the transaction.
    pub id: u64,
    /// Name of the bundle.
    pub bundle: String,
    /// Of its manifest.
    pub manifest: Digest,
    /// Who asked for it.
    pub by: String,
    /// When it began, RFC 3339.
    pub began: String,
    /// When it was written: just before the commit.
    pub written: String,
    /// What the steps did, in order.
    pub changes: Vec<StepChange>,
    /// What was touched, with how it was before.
    pub resources: Vec<(Resource, Fingerprint)>,
    /// What had changed although nobody declared it, and where nobody looked: a rollback will not put it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sought: Option<Sought>,
    /// Effects that the steps had.
    pub effects: u64,
    /// How the checks ended.
    pub checks: Vec<CheckReport>,
}

/// What one step did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepChange {
    /// Which.
    pub step: StepId,
    /// In which phase.
    pub phase: Phase,
    /// `create`, `replace`, ...
    pub verb: String,
    /// In one line.
    pub summary: String,
}

impl Receipt {
    /// The receipt of a transaction that is about to be committed.
    pub fn new(
        begin: &Begin,
        state: &State,
        changes: Vec<StepChange>,
        effects: u64,
        checks: &[CheckReport],
    ) -> Self {
        Self {
            format: FORMAT,
            id: begin.id,
            bundle: begin.bundle.clone(),
            manifest: begin.manifest,
            by: begin.by.clone(),
            began: begin.at.clone(),
            written: jiff::Timestamp::now().to_string(),
            changes,
            resources: state
                .saved
                .iter()
                .map(|(resource, saved)| (resource.clone(), saved.fingerprint))
                .collect(),
            sought: state.sought.clone(),
            effects,
            checks: checks.to_vec(),
        }
    }

    /// The bytes of the file.
    pub fn to_bytes(&self) -> Result<Vec<u8>, SysError> {
        let mut bytes = serde_json::to_vec_pretty(self)
            .map_err(|error| SysError::other("write", "the receipt", error.to_string()))?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Reads the bytes of the file.
    pub fn parse(bytes: &[u8]) -> Result<Self, SysError> {
        serde_json::from_slice(bytes)
            .map_err(|error| SysError::other("understand", "the receipt", error.to_string()))
    }
}
