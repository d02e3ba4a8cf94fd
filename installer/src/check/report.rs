//! What is told of a check.

use std::time::Duration;

use chom_format::{CheckSpec, ComponentName, Severity, StepId};
use serde::{Deserialize, Serialize};

use super::{Answer, kind};
use crate::redact;

/// The end of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Which check.
    pub id: StepId,
    /// Whose health it tells.
    pub component: ComponentName,
    /// What a failure means.
    pub severity: Severity,
    /// How it ended.
    pub verdict: Verdict,
    /// What was seen, or what was wanted and what was there instead.
    pub message: String,
    /// What the other side said, shortened and without secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
    /// Where to look next, when it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// From the start of the checks to the answer, in milliseconds.
    pub ms: u64,
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Passed,
    /// Not so.
    Failed,
    /// Not so, as it was before the run.
    WasRed,
}

impl Report {
    /// The report of a check from its last answer.
    pub(super) fn of(spec: &CheckSpec, answer: &Answer, after: Duration) -> Self {
        let ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
        let (verdict, message, evidence, remedy) = match answer {
            Ok(seen) => (Verdict::Passed, seen.clone(), None, None),
            Err(miss) => (
                Verdict::Failed,
                miss.message.clone(),
                miss.evidence.clone(),
                Some(kind::of(&spec.probe).remedy()),
            ),
        };
        let message = redact::text(&message);
        Self {
            id: spec.id.clone(),
            component: spec.component.clone(),
            severity: spec.severity,
            verdict,
            message,
            evidence,
            remedy,
            ms,
        }
    }

    /// Whether all is well.
    pub fn passed(&self) -> bool {
        self.verdict == Verdict::Passed
    }

    /// Whether the transaction must be taken back because of it.
    pub fn condemns(&self) -> bool {
        self.verdict == Verdict::Failed && self.severity == Severity::Fail
    }
}
