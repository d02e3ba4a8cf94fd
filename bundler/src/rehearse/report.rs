//! The account of a rehearsal: what was done, what was read afterwards, and whether all of it is as it must be.

use std::fmt;

use chom_format::Exit;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::capture::Difference;
use super::installer::Act;
use super::run::Fault;

/// The version of this shape.
pub const REPORT_FORMAT: u32 = 1;

/// What `chom-bundle rehearse --json` ends with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// [`REPORT_FORMAT`].
    pub format: u32,
    /// Name of the host.
    pub host: String,
    /// Its Debian release.
    pub suite: String,
    /// Folder of the bundle.
    pub bundle: String,
    /// Whether the bundle was installed with exit 0 and every check passed.
    pub installed: bool,
    /// What the installer found, check by check.
    pub checks: Vec<Value>,
    /// Each fault that was rehearsed before the installation.
    pub faults: Vec<FaultReport>,
    /// The installation.
    pub install: Option<Act>,
    /// The confirmation of the changed firewall, over a connection of its own; none when none was asked for.
    #[serde(default)]
    pub confirmed: Option<Confirmed>,
    /// The second run, on the healthy host.
    pub second_run: Option<SecondRun>,
    /// The rollback.
    pub rollback: Option<Rollback>,
    /// What is not as it was before the installation.
    pub differences: Vec<Difference>,
    /// How many paths were compared.
    pub paths: usize,
    /// Seconds of each phase, in order.
    pub phases: Vec<PhaseTime>,
    /// What is wrong, one line each; empty when the rehearsal passed.
    pub problems: Vec<String>,
    /// Whether nothing is wrong.
    pub passed: bool,
    /// How to enter the host, when it was kept.
    pub enter: Vec<String>,
}

/// One fault.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FaultReport {
    /// Which.
    #[serde(flatten)]
    pub fault: Fault,
    /// How the installer ended: 4 is right.
    pub exit: i32,
    /// Wall time on the host, in milliseconds.
    pub ms: f64,
    /// What is not as it was before the fault.
    pub differences: Vec<Difference>,
}

/// The confirmation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Confirmed {
    /// Exit code.
    pub exit: i32,
    /// Wall time on the host, in milliseconds.
    pub ms: f64,
}

/// The second run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SecondRun {
    /// Exit code.
    pub exit: i32,
    /// Wall time on the host, in milliseconds.
    pub ms: f64,
    /// Effects that the installer counted.
    pub effects: Option<u64>,
    /// Services whose main process is not the one from before.
    pub restarted: Vec<String>,
}

/// The rollback.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Rollback {
    /// Exit code.
    pub exit: i32,
    /// Wall time on the host, in milliseconds.
    pub ms: f64,
    /// The installer's own proof.
    pub proof: Option<Value>,
    /// Its first error.
    pub error: Option<String>,
}

/// A phase and how long it took.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PhaseTime {
    /// Its name.
    pub name: String,
    /// In seconds.
    pub seconds: f64,
}

impl Report {
    /// An account without any act yet.
    pub fn new(host: &str, suite: &str, bundle: &str) -> Self {
        Self {
            format: REPORT_FORMAT,
            host: host.to_owned(),
            suite: suite.to_owned(),
            bundle: bundle.to_owned(),
            installed: false,
            checks: Vec::new(),
            faults: Vec::new(),
            install: None,
            confirmed: None,
            second_run: None,
            rollback: None,
            differences: Vec::new(),
            paths: 0,
            phases: Vec::new(),
            problems: Vec::new(),
            passed: false,
            enter: Vec::new(),
        }
    }

    /// Judges what was found. The order is that of the play.
    pub fn judge(&mut self) {
        let mut problems = Vec::new();
        for fault in &self.faults {
            if fault.exit != i32::from(Exit::Restored.code()) {
                problems.push(format!(
                    "{}: the installer ended with {}, and not with 4",
                    fault.fault, fault.exit
                ));
            }
            if !fault.differences.is_empty() {
                problems.push(format!(
                    "{}: {} on the host",
                    fault.fault,
                    differences(fault.differences.len())
                ));
            }
        }
        match &self.install {
            Some(act) if act.exit != 0 => {
                problems.push(format!(
                    "the installation ended with {}{}",
                    act.exit,
                    because(act.error.as_deref())
                ));
            }
            Some(act) if !act.found().is_empty() => problems.push(format!(
                "no step, package or unit declares {}: name it in `writes` of the unit that changes it",
                act.found().join(", ")
            )),
            Some(_) => {}
            None => problems.push("nothing was installed".to_owned()),
        }
        let failed: Vec<&str> = self.checks.iter().filter(|check| !passes(check)).map(id).collect();
        if !failed.is_empty() {
            problems.push(format!("checks that did not pass: {}", failed.join(", ")));
        }
        if let Some(second) = &self.second_run {
            if second.exit != 0 {
                problems.push(format!("the second run ended with {}", second.exit));
            }
            if let Some(effects @ 1..) = second.effects {
                problems.push(format!("the second run had {effects} effect(s), and not none"));
            }
            if !second.restarted.is_empty() {
                problems.push(format!("the second run restarted {}", second.restarted.join(", ")));
            }
        }
        if let Some(rollback) = self.rollback.as_ref().filter(|rollback| rollback.exit != 0) {
            let why = because(rollback.error.as_deref());
            problems.push(format!("the rollback ended with {}{why}", rollback.exit));
        }
        if !self.differences.is_empty() {
            problems.push(format!("after all: {} on the host", differences(self.differences.len())));
        }
        self.installed = self.install.as_ref().is_some_and(|act| act.exit == 0) && failed.is_empty();
        self.passed = problems.is_empty();
        self.problems = problems;
    }

    /// The exit code of the command: 4 when the bundle cannot be installed but harmed nothing.
    pub fn exit(&self) -> Exit {
        let unharmed =
            self.differences.is_empty() && self.faults.iter().all(|fault| fault.differences.is_empty());
        match (self.passed, self.installed, unharmed) {
            (true, ..) => Exit::Done,
            (false, false, true) => Exit::Restored,
            _ => Exit::Failed,
        }
    }
}

/// The table at the end.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in &self.faults {
            let state = told(&fault.differences);
            writeln!(f, "{:<12} exit {}, {}, {state}", fault.fault.to_string(), fault.exit, took(fault.ms))?;
        }
        if let Some(act) = &self.install {
            writeln!(
                f,
                "install      exit {}, {}, {} step(s) changed",
                act.exit,
                took(act.ms),
                act.changed.len()
            )?;
        }
        if let Some(confirmed) = &self.confirmed {
            writeln!(
                f,
                "confirmed    exit {}, {:.0} ms, over a fresh connection",
                confirmed.exit, confirmed.ms
            )?;
        }
        let passed = self.checks.iter().filter(|check| passes(check)).count();
        writeln!(f, "checks       {passed} of {} passed", self.checks.len())?;
        if let Some(second) = &self.second_run {
            let effects =
                second.effects.map_or("effects not told".to_owned(), |count| format!("{count} effects"));
            let restarted =
                if second.restarted.is_empty() { "nothing".to_owned() } else { second.restarted.join(", ") };
            writeln!(
                f,
                "second run   exit {}, {}, {effects}, {restarted} restarted",
                second.exit,
                took(second.ms)
            )?;
        }
        if let Some(rollback) = &self.rollback {
            writeln!(f, "rollback     exit {}, {}", rollback.exit, took(rollback.ms))?;
        }
        writeln!(f, "compared     {} paths, {}", self.paths, told(&self.differences))?;
        self.differences.iter().take(SHOWN).try_for_each(|difference| writeln!(f, "  {difference}"))?;
        if self.differences.len() > SHOWN {
            writeln!(f, "  and {} more (--json has all)", self.differences.len() - SHOWN)?;
        }
        for problem in &self.problems {
            writeln!(f, "problem      {problem}")?;
        }
        for line in &self.enter {
            writeln!(f, "kept         {line}")?;
        }
        let verdict = if self.passed { "passed" } else { "FAILED" };
        write!(f, "rehearsal    {verdict}: {} on {}", self.bundle, self.suite)
    }
}

/// Differences that are shown in full.
const SHOWN: usize = 40;

fn told(found: &[Difference]) -> String {
    if found.is_empty() { "the host is as before".to_owned() } else { differences(found.len()) }
}

fn differences(count: usize) -> String {
    if count == 1 { "1 difference".to_owned() } else { format!("{count} differences") }
}

fn because(error: Option<&str>) -> String {
    error.map(|error| format!(": {error}")).unwrap_or_default()
}

fn took(ms: f64) -> String {
    if ms < 1000.0 { format!("{ms:.0} ms") } else { format!("{:.1} s", ms / 1000.0) }
}

/// A check of severity `warn` is told, and harms nothing.
fn passes(check: &Value) -> bool {
    check.get("passed").and_then(Value::as_bool) == Some(true)
        || check.get("severity").and_then(Value::as_str) == Some("warn")
}

fn id(check: &Value) -> &str {
    check.get("id").and_then(Value::as_str).unwrap_or("without an id")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::capture::Part;
    use super::super::run::FaultKind;
    use super::*;

    fn good() -> Report {
        let mut report = Report::new("mentat", "trixie", "mentat-1-abc");
        report.install = Some(Act::default());
        report.checks =
            vec![json!({"id": "a", "passed": true}), json!({"id": "b", "passed": false, "severity": "warn"})];
        report.second_run = Some(SecondRun { exit: 0, ms: 5.0, effects: Some(0), restarted: Vec::new() });
        report.rollback = Some(Rollback { exit: 0, ms: 5.0, proof: None, error: None });
        report
    }

    fn difference() -> Difference {
        Difference { part: Part::Path, name: "/a".to_owned(), change: "mode was 0644, is 0600".to_owned() }
    }

    #[test]
    fn all_as_it_must_be() {
        let mut report = good();
        report.judge();
        assert!(report.passed && report.installed, "{:?}", report.problems);
        assert_eq!(report.exit(), Exit::Done);
    }

    #[test]
    fn each_fault_of_a_run_is_a_problem() {
        let spoil: [fn(&mut Report); 7] = [
            |report| report.install = None,
            |report| report.checks = vec![json!({"id": "a", "passed": false, "severity": "fail"})],
            |report| report.second_run.as_mut().unwrap().effects = Some(1),
            |report| report.second_run.as_mut().unwrap().restarted = vec!["a.service".to_owned()],
            |report| report.rollback.as_mut().unwrap().exit = 5,
            |report| report.differences = vec![difference()],
            |report| {
                let fault = Fault { kind: FaultKind::Fail, step: "a/b".parse().unwrap() };
                report.faults = vec![FaultReport { fault, exit: 1, ms: 1.0, differences: Vec::new() }];
            },
        ];
        for (number, spoil) in spoil.into_iter().enumerate() {
            let mut report = good();
            spoil(&mut report);
            report.judge();
            assert!(!report.passed && report.problems.len() == 1, "{number}: {:?}", report.problems);
            assert_ne!(report.exit(), Exit::Done);
        }
    }

    #[test]
    fn what_could_not_be_installed_but_harmed_nothing_is_told_apart() {
        let mut report = good();
        report.install.as_mut().unwrap().exit = 4;
        report.judge();
        assert_eq!(report.exit(), Exit::Restored);
        report.differences = vec![difference()];
        report.judge();
        assert_eq!(report.exit(), Exit::Failed);
        assert!(report.to_string().contains("path /a: mode was 0644, is 0600"));
    }

    #[test]
    fn the_object_has_the_names_that_others_rely_on() {
        let object = serde_json::to_value(good()).unwrap();
        for key in ["installed", "checks", "second_run", "rollback", "differences"] {
            assert!(object.get(key).is_some(), "{key}");
        }
    }
}
