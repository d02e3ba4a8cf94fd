//! How a run ended, as it was read from the host afterwards.

use chom_format::exit::Explain;
use chom_format::{Exit, HostState, StepId};
use serde::Serialize;

use crate::check::Report as CheckReport;
use crate::resource::{Fingerprint, Found, Resource, Sought};
use crate::sys::SysError;

/// The end of a transaction, or of taking one back.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Number of the transaction.
    pub id: u64,
    /// Name of its bundle.
    pub bundle: String,
    /// How it ended.
    pub ending: Ending,
    /// A rollback that was asked for, or the recovery of a run that was cut off: being restored is what was wanted.
    pub wanted_back: bool,
    /// The first error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// Steps that were applied.
    pub changed: Vec<StepId>,
    /// Effects that the steps had.
    pub effects: u64,
    /// How the checks ended.
    pub checks: Vec<CheckReport>,
    /// Every resource that was read again after a restore, with its fingerprint, equal to the one saved.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub proof: Vec<(Resource, Fingerprint)>,
    /// What others had changed meanwhile, and where it is kept.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exceptions: Vec<String>,
    /// How many resources are not as before by the work of others; each is among the exceptions.
    #[serde(skip_serializing_if = "is_none")]
    pub left: usize,
    /// What is not as it was although nobody declared it: named, and never restored.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub found: Vec<Found>,
    /// Where nobody looked: no part of what is found or proved.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_looked_at: Vec<String>,
    /// What needs a person.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conflicts: Vec<String>,
    /// The backup that was made for it, just before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup: Option<u64>,
    /// How long it took.
    pub seconds: f64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_none(left: &usize) -> bool {
    *left == 0
}

/// How a transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// It stands.
    Committed,
    /// It is applied and healthy, and waits to be confirmed.
    Exposed,
    /// It failed before its first effect.
    Untouched,
    /// It was taken back, with proof.
    Restored,
    /// It could not be taken back in all.
    Stuck,
}

/// The first error of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// Where, when it was a step.
    pub step: Option<StepId>,
    /// What happened.
    pub message: String,
    /// What mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Report {
    /// The exit code.
    pub fn exit(&self) -> Exit {
        match self.ending {
            Ending::Committed => Exit::Done,
            Ending::Exposed => Exit::AwaitingConfirm,
            Ending::Untouched => Exit::Failed,
            Ending::Restored if self.wanted_back => Exit::Done,
            Ending::Restored => Exit::Restored,
            Ending::Stuck => Exit::NeedsPerson,
        }
    }

    /// The state that the host is in now.
    pub fn host(&self) -> HostState {
        match self.ending {
            Ending::Committed => HostState::Installed,
            Ending::Exposed => HostState::Exposed,
            Ending::Untouched => HostState::Unchanged,
            Ending::Restored if self.left > 0 => HostState::LeftToOthers,
            Ending::Restored if !self.found.is_empty() => HostState::Told(format!(
                "as before in what was declared, proved; {} path(s) that nobody declared were found and are not restored",
                self.found.len()
            )),
            Ending::Restored => HostState::Restored,
            Ending::Stuck => HostState::Mixed(self.conflicts.clone()),
        }
    }

    /// The same with what was seen beside the proof.
    #[must_use]
    pub(super) fn beside(mut self, sought: Result<Sought, SysError>) -> Self {
        match sought {
            Ok(sought) => {
                self.not_looked_at = sought.unseen();
                self.found = sought.found;
            }
            Err(error) => self.not_looked_at = vec![format!("what nobody declared: {error}")],
        }
        self
    }

    /// The report when it is one of success, and the failure otherwise.
    pub fn into_result(self) -> Result<Self, RunFailed> {
        if matches!(self.exit(), Exit::Done | Exit::AwaitingConfirm) {
            Ok(self)
        } else {
            Err(RunFailed(Box::new(self)))
        }
    }
}

/// A run that did not end as it was meant to.
#[derive(Debug, thiserror::Error)]
#[error("{}", message(.0))]
pub struct RunFailed(pub Box<Report>);

fn message(report: &Report) -> String {
    match &report.failure {
        Some(Failure { step: Some(step), message, .. }) => format!("{step}: {message}"),
        Some(Failure { step: None, message, .. }) => message.clone(),
        None => format!("transaction {} could not be taken back in all", report.id),
    }
}

impl Explain for RunFailed {
    fn exit(&self) -> Exit {
        self.0.exit()
    }

    fn hint(&self) -> Option<String> {
        if self.0.ending == Ending::Stuck {
            return Some("mend what is named, then: chom-install recover".to_owned());
        }
        self.0.failure.as_ref()?.hint.clone()
    }

    fn host(&self) -> HostState {
        self.0.host()
    }
}
