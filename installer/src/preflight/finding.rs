//! What one preflight check found.

use std::fmt;

use chom_format::exit::Explain;
use chom_format::{Exit, HostState};
use serde::Serialize;

/// How grave a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As wanted.
    Pass,
    /// Worth knowing.
    Warn,
    /// It must be mended first.
    Fail,
}

/// The verdict of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was checked. Stable: scripts may rely on it.
    pub check: &'static str,
    /// Verdict.
    pub level: Level,
    /// What was found, and what was wanted.
    pub reason: String,
    /// What mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Finding {
    pub(crate) fn pass(check: &'static str, reason: impl Into<String>) -> Self {
        Self { check, level: Level::Pass, reason: reason.into(), remedy: None }
    }

    pub(crate) fn warn(check: &'static str, reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { check, level: Level::Warn, reason: reason.into(), remedy: Some(remedy.into()) }
    }

    pub(crate) fn fail(check: &'static str, reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { check, level: Level::Fail, reason: reason.into(), remedy: Some(remedy.into()) }
    }
}

/// All verdicts, in the order in which they were asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Findings(pub Vec<Finding>);

impl Findings {
    /// Adds those of another half.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Whether nothing stands in the way.
    pub fn allow(&self) -> bool {
        self.0.iter().all(|finding| finding.level < Level::Fail)
    }

    /// An error that names all that stands in the way.
    pub fn verdict(&self) -> Result<(), Refused> {
        let failed: Vec<Finding> =
            self.0.iter().filter(|finding| finding.level == Level::Fail).cloned().collect();
        if failed.is_empty() { Ok(()) } else { Err(Refused(failed)) }
    }

    /// A table for a person: everything, or only what did not pass.
    pub fn table(&self, all: bool) -> String {
        let width = self.0.iter().map(|finding| finding.check.len()).max().unwrap_or(0);
        let mut text = String::new();
        for finding in self.0.iter().filter(|finding| all || finding.level > Level::Pass) {
            let Finding { check, reason, remedy, .. } = finding;
            let indented = reason.replace('\n', &format!("\n{:1$}", "", width + 8));
            text.push_str(&format!("{:<5} {check:<width$}  {indented}\n", finding.level));
            if let Some(remedy) = remedy {
                text.push_str(&format!("{:1$}  remedy: {remedy}\n", "", width + 6));
            }
        }
        text
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        })
    }
}

/// Preflight refused: nothing was changed.
#[derive(Debug, thiserror::Error)]
#[error("the host is not fit for this bundle: {}", list(.0))]
pub struct Refused(pub Vec<Finding>);

fn list(findings: &[Finding]) -> String {
    findings
        .iter()
        .map(|finding| format!("{}: {}", finding.check, finding.reason))
        .collect::<Vec<_>>()
        .join("; ")
}

impl Explain for Refused {
    fn exit(&self) -> Exit {
        Exit::Refused
    }

    fn hint(&self) -> Option<String> {
        let mut remedies: Vec<&str> = self.0.iter().filter_map(|finding| finding.remedy.as_deref()).collect();
        remedies.dedup();
        (!remedies.is_empty()).then(|| remedies.join("; then "))
    }

    fn host(&self) -> HostState {
        HostState::Unchanged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_stands_in_the_way_is_named() {
        let findings = Findings(vec![
            Finding::pass("memory", "2048 MiB"),
            Finding::warn("clock", "slow", "set it"),
            Finding::fail("space", "1 MiB free on /\n2 MiB free on /var", "make room"),
            Finding::fail("lock", "held by pid 7 (apt)", "wait for it"),
        ]);
        assert!(!findings.allow());
        let refused = findings.verdict().unwrap_err();
        assert_eq!(refused.exit(), Exit::Refused);
        assert_eq!(refused.hint().unwrap(), "make room; then wait for it");
        assert!(refused.to_string().contains("held by pid 7"));
        let table = findings.table(false);
        assert_eq!(
            table,
            "warn  clock   slow\n              remedy: set it\n\
             FAIL  space   1 MiB free on /\n              2 MiB free on /var\n              remedy: make room\n\
             FAIL  lock    held by pid 7 (apt)\n              remedy: wait for it\n"
        );
        assert_eq!(findings.table(true).lines().count(), 8);
    }
}
