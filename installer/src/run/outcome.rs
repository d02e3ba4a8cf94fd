//! How a command that changes the host ended: one shape for people and for scripts.

use std::fmt;

use chom_format::exit::Explain;
use chom_format::{ComponentName, Exit, HostState, Severity, StepId};
use serde::Serialize;

use super::{Detached, Recorded, Waiting};
use crate::check::{self, Verdict};
use crate::engine;
use crate::resource::{Fingerprint, Found, Resource};

/// The version of this shape.
const FORMAT: u32 = 1;

/// The end of `install`, `rollback` and `recover`.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// Version of this shape.
    pub format: u32,
    /// The exit code.
    pub exit: u8,
    /// The transaction, when one was begun or taken back; of several the last.
    pub transaction: Option<u64>,
    /// Its bundle.
    pub bundle: Option<String>,
    /// Steps that were applied.
    pub changed: Vec<StepId>,
    /// Effects that they had.
    pub effects: u64,
    /// How the checks ended.
    pub checks: Vec<CheckLine>,
    /// The state that the host is in now.
    pub host: String,
    /// How it is to be confirmed, when it waits for that.
    pub confirm: Option<Waiting>,
    /// The unit that goes on with it, when this process does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detached: Option<Detached>,
    /// Every resource that was read again after a restore, with its fingerprint.
    pub proof: Option<Vec<(Resource, Fingerprint)>>,
    /// What others had changed meanwhile, and where it is kept.
    pub exceptions: Vec<String>,
    /// What is not as it was although nobody declared it: named, and never restored.
    pub found: Vec<Found>,
    /// Where nobody looked.
    pub not_looked_at: Vec<String>,
    /// The backup that was made before it; of several the one before the first of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup: Option<u64>,
    /// What became of the manifest on record, of an installation that was begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Recorded>,
    /// The first error.
    pub error: Option<Problem>,
    /// How long it took.
    pub seconds: f64,
    #[serde(skip)]
    code: Exit,
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// In which step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<StepId>,
    /// What happened.
    pub message: String,
    /// What mends it.
    pub hint: Option<String>,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckLine {
    /// Which.
    pub id: StepId,
    /// Whose.
    pub component: ComponentName,
    /// Whether all is well.
    pub passed: bool,
    /// Red, as it was before the run.
    pub was_red: bool,
    /// What a failure means.
    pub severity: Severity,
    /// What was seen.
    pub message: String,
    /// What the other side said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
    /// Where to look next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// From the start of the checks to the answer.
    pub ms: u64,
}

impl From<&check::Report> for CheckLine {
    fn from(report: &check::Report) -> Self {
        Self {
            id: report.id.clone(),
            component: report.component.clone(),
            passed: report.passed(),
            was_red: report.verdict == Verdict::WasRed,
            severity: report.severity,
            message: report.message.clone(),
            evidence: report.evidence.clone(),
            remedy: report.remedy.clone(),
            ms: report.ms,
        }
    }
}

impl Outcome {
    /// The end of a transaction.
    pub fn of(report: engine::Report) -> Self {
        let code = report.exit();
        let host = report.host().to_string();
        let error = (!matches!(code, Exit::Done | Exit::AwaitingConfirm))
            .then(|| report.clone().into_result().err())
            .flatten()
            .map(|failed| Problem {
                step: report.failure.as_ref().and_then(|failure| failure.step.clone()),
                message: failed.to_string(),
                hint: failed.hint(),
            });
        Self {
            format: FORMAT,
            exit: code.code(),
            transaction: Some(report.id),
            bundle: Some(report.bundle),
            changed: report.changed,
            effects: report.effects,
            checks: report.checks.iter().map(CheckLine::from).collect(),
            host,
            confirm: None,
            detached: None,
            proof: (!report.proof.is_empty()).then_some(report.proof),
            exceptions: report.exceptions,
            found: report.found,
            not_looked_at: report.not_looked_at,
            backup: report.backup,
            manifest: None,
            error,
            seconds: report.seconds,
            code,
        }
    }

    /// The end of several rollbacks: what they came to together.
    pub fn of_all(reports: Vec<engine::Report>) -> Self {
        let mut all = Self::nothing();
        let mut proof = Vec::new();
        for report in reports {
            let one = Self::of(report);
            proof.extend(one.proof.unwrap_or_default());
            all = Self {
                exit: all.exit.max(one.exit),
                code: all.code.max(one.code),
                changed: [all.changed, one.changed].concat(),
                effects: all.effects + one.effects,
                exceptions: [all.exceptions, one.exceptions].concat(),
                found: [all.found, one.found].concat(),
                not_looked_at: [all.not_looked_at, one.not_looked_at].concat(),
                backup: one.backup.or(all.backup),
                error: all.error.or(one.error),
                seconds: all.seconds + one.seconds,
                transaction: one.transaction,
                bundle: one.bundle,
                host: one.host,
                confirm: None,
                detached: None,
                checks: one.checks,
                proof: None,
                manifest: None,
                format: FORMAT,
            };
        }
        all.proof = (!proof.is_empty()).then_some(proof);
        all
    }

    /// Nothing had to be done, and no check was asked.
    pub fn nothing() -> Self {
        Self {
            format: FORMAT,
            exit: 0,
            transaction: None,
            bundle: None,
            changed: Vec::new(),
            effects: 0,
            checks: Vec::new(),
            host: HostState::Unchanged.to_string(),
            confirm: None,
            detached: None,
            proof: None,
            exceptions: Vec::new(),
            found: Vec::new(),
            not_looked_at: Vec::new(),
            backup: None,
            manifest: None,
            error: None,
            seconds: 0.0,
            code: Exit::Done,
        }
    }

    /// The first half of a recovery at boot is done.
    pub fn half_way(transaction: Option<u64>) -> Self {
        let host = "being put back: what lies on the disk is back, the rest follows once the host is up";
        Self { transaction, host: host.to_owned(), ..Self::nothing() }
    }

    /// A unit of systemd goes on with it.
    pub fn detached(detached: Detached) -> Self {
        let host = format!("being installed by {}", detached.unit);
        Self { transaction: Some(detached.transaction), host, detached: Some(detached), ..Self::nothing() }
    }

    /// The host is already as the bundle says; these checks tell whether it is healthy.
    pub fn unchanged(bundle: String, reports: &[check::Report], seconds: f64) -> Self {
        let red: Vec<&check::Report> = reports.iter().filter(|report| report.condemns()).collect();
        let code = if red.is_empty() { Exit::Done } else { Exit::Failed };
        let host = if red.is_empty() { HostState::Installed } else { HostState::Unchanged };
        let names: Vec<&str> = red.iter().map(|report| report.id.as_str()).collect();
        let error = (!red.is_empty()).then(|| Problem {
            step: None,
            message: format!(
                "there is nothing to change, and {} check(s) fail: {}",
                red.len(),
                names.join(", ")
            ),
            hint: red.first().and_then(|report| report.remedy.clone()),
        });
        Self {
            exit: code.code(),
            code,
            bundle: Some(bundle),
            checks: reports.iter().map(CheckLine::from).collect(),
            host: host.to_string(),
            error,
            seconds,
            ..Self::nothing()
        }
    }

    /// The same, with what became of the manifest on record.
    pub(super) fn recorded(self, recorded: Recorded) -> Self {
        Self { manifest: Some(recorded), ..self }
    }

    /// The same, where more is to be said of the host than that it is as before.
    pub(super) fn told_as(self, host: Option<String>) -> Self {
        match host {
            Some(host) if self.code == Exit::Done => Self { host, ..self },
            _ => self,
        }
    }

    fn what_changed(&self, steps: usize) -> String {
        let manifest = match (&self.manifest, steps) {
            (Some(Recorded::Other { .. }), 0) => return "the manifest alone changed".to_owned(),
            (Some(Recorded::Other { .. }), _) => " and the manifest",
            (Some(Recorded::Adopted { .. }), _) => {
                " and what was in place already, which no rollback removes"
            }
            _ => "",
        };
        format!("{steps} steps{manifest}")
    }

    /// The exit code.
    pub fn code(&self) -> Exit {
        self.code
    }
}

/// What a person reads of it on standard output. The error is told apart, on standard error.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let passed = self.checks.iter().filter(|check| check.passed).count();
        if !self.checks.is_empty() {
            writeln!(f, "{passed} of {} checks pass", self.checks.len())?;
        }
        for check in self.checks.iter().filter(|check| !check.passed) {
            write!(f, "{check}")?;
        }
        for exception in &self.exceptions {
            writeln!(f, "kept: {exception}")?;
        }
        for found in &self.found {
            writeln!(f, "found, not restored: {found}; neither a step nor a package nor a unit declares it")?;
        }
        for place in &self.not_looked_at {
            writeln!(f, "not looked at: {place}")?;
        }
        if let Some(proof) = &self.proof {
            writeln!(f, "proof: {} resources were read again and are as before", proof.len())?;
        }
        if let Some(detached) = &self.detached {
            return write!(f, "{detached}");
        }
        if let Some(backup) = self.backup {
            writeln!(f, "backup {backup} was made before it: chom-install backup restore {backup}")?;
        }
        match (self.code, self.transaction, self.changed.len()) {
            (Exit::Done, None, _) => writeln!(f, "nothing to do"),
            (Exit::Done, Some(id), changed) if self.proof.is_none() => {
                writeln!(
                    f,
                    "transaction {id} stands: {} in {:.1} s",
                    self.what_changed(changed),
                    self.seconds
                )
            }
            (Exit::Done, Some(id), _) => writeln!(f, "transaction {id} is taken back"),
            (Exit::AwaitingConfirm, ..) => {
                self.confirm.as_ref().map_or(Ok(()), |confirm| write!(f, "{confirm}"))
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Display for CheckLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match (self.passed, self.was_red, self.severity) {
            (true, ..) => "pass",
            (false, true, _) => "was red before",
            (false, false, Severity::Warn) => "warn",
            (false, false, Severity::Fail) => "FAIL",
        };
        writeln!(f, "{word} {}: {}", self.id, self.message)?;
        if let Some(evidence) = &self.evidence {
            writeln!(f, "    it said: {evidence}")?;
        }
        match &self.remedy {
            Some(remedy) => writeln!(f, "    look: {remedy}"),
            None => Ok(()),
        }
    }
}
