//! The play: a throw-away host, the bundle on it, and every act that must leave the host as it was.
//!
//! ```text
//! host -> prepare -> capture -> scp, tar xzf -> [ fault -> capture, compare ]...
//!      -> install -> status -> install again -> rollback -> capture, compare
//! ```
//!
//! A rehearsal goes on after a failure for as long as the next act makes sense, so that one run tells all.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use chom_format::manifest::Suite;
use chom_format::{HostName, StepId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::base::native;
use super::bundle::BundleHead;
use super::cancel::Cancel;
use super::capture::{Capture, services};
use super::error::RehearseError;
use super::host::{Host, HostPlan};
use super::installer::{self, Act, quoted};
use super::lab::{Lab, LabOptions};
use super::report::{Confirmed, FaultReport, PhaseTime, Report, Rollback, SecondRun};
use super::talk::Talk;

/// Where a person would put a bundle: a private folder in scratch space, which is not compared.
const UPLOAD: &str = "/var/tmp/rehearsal";
/// The last word of a preparation.
const PREPARE_LIMIT: Duration = Duration::from_secs(900);

/// What a host is made to be before it is first captured.
pub type PrepareHook<'a> = dyn FnMut(&mut Host) -> Result<(), RehearseError> + 'a;

/// How a bundle is rehearsed.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// Where hosts are made.
    pub lab: LabOptions,
    /// The tarball.
    pub bundle: PathBuf,
    /// Name of the host; the bundle's own if none.
    pub host: Option<HostName>,
    /// Debian release; the bundle's own if none.
    pub suite: Option<Suite>,
    /// Faults to rehearse before the installation, in order.
    pub faults: Vec<Fault>,
    /// Files to lay beside the bundle on the host.
    pub carry: Vec<PathBuf>,
    /// Programs to run there as root before the first capture, in the folder of the carried files.
    pub before: Vec<PathBuf>,
    /// Further arguments for the installer.
    pub installer_args: Vec<String>,
}

/// Something that goes wrong while the installer runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// What.
    pub kind: FaultKind,
    /// At which step.
    pub step: StepId,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FaultKind {
    /// The step fails.
    Fail,
    /// SIGINT comes during the step.
    Interrupt,
}

impl FaultKind {
    /// The installer's option for it.
    pub fn flag(self) -> &'static str {
        match self {
            Self::Fail => "--fail-at",
            Self::Interrupt => "--interrupt-at",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            FaultKind::Fail => write!(f, "failure at {}", self.step),
            FaultKind::Interrupt => write!(f, "SIGINT at {}", self.step),
        }
    }
}

/// Rehearses a bundle. An `Err` means that no verdict was reached; what the bundle did wrong is in the report.
pub fn rehearse(
    options: &RunOptions,
    prepare: Option<&mut PrepareHook<'_>>,
    talk: &Talk<'_>,
    cancel: &Cancel,
) -> Result<Report, RehearseError> {
    super::need::check()?;
    let head = BundleHead::read(&options.bundle)?;
    let plan = plan(options, &head)?;
    let start = Instant::now();
    let mut lab = Lab::open(options.lab.clone(), talk, cancel)?;
    talk.say(format!("booting a throw-away {} host named {}", plan.suite.name(), plan.name));
    let mut report = Report::new(plan.name.as_str(), plan.suite.name(), &head.folder);
    let mut host = match lab.host(plan, talk) {
        Ok(host) => host,
        Err(error) => return finish_without_host(lab, error),
    };
    report.phases.push(PhaseTime { name: "boot".to_owned(), seconds: start.elapsed().as_secs_f64() });
    let played = Play { options, head: &head, talk, report: &mut report }.run(&mut host, prepare);
    let stopped = matches!(played, Err(RehearseError::Stopped));
    if lab.keeps() && !stopped {
        report.enter = host.how_to_enter().to_vec();
        talk.say("the host is kept: it runs until `chom-bundle rehearse --clean`");
        lab.leave();
    } else {
        lab.close()?;
    }
    played?;
    report.judge();
    Ok(report)
}

fn finish_without_host(lab: Lab, error: RehearseError) -> Result<Report, RehearseError> {
    // The first error is the one that matters; a second one is in the log of the next sweep.
    if let Err(second) = lab.close() {
        log::warn!("{second}");
    }
    Err(error)
}

fn plan(options: &RunOptions, head: &BundleHead) -> Result<HostPlan, RehearseError> {
    let refuse = |why: String, hint: &str| RehearseError::Bundle {
        path: head.path.clone(),
        why,
        hint: hint.to_owned(),
    };
    let arch = native()?;
    if let Some(wanted) = head.arch.filter(|wanted| *wanted != arch) {
        let why = format!("is for {}, and this machine is {}", wanted.name(), arch.name());
        return Err(refuse(why, "rehearse it on a machine of its own architecture"));
    }
    let suite = match (options.suite, head.suite) {
        (Some(asked), Some(own)) if asked != own => {
            let why = format!("is for {}, and not for {}", own.name(), asked.name());
            return Err(refuse(why, "build it for that release, or leave --suite away"));
        }
        (asked, own) => asked.or(own).unwrap_or(Suite::Trixie),
    };
    let places = head.places();
    for fault in &options.faults {
        if !places.contains(&fault.step) {
            let why = format!("has no step `{}`", fault.step);
            return Err(refuse(
                why,
                "chom-bundle inspect lists the steps; `check` and `commit` are places too, and `all` means every place",
            ));
        }
    }
    let name = options.host.clone().or(head.host.clone());
    let name =
        name.ok_or_else(|| refuse("does not say whose it is".to_owned(), "name the host with --host"))?;
    Ok(HostPlan { name, suite, machine_id: head.machine_id.clone(), addresses: Vec::new(), own_disk: false })
}

/// One rehearsal on its host.
struct Play<'a> {
    options: &'a RunOptions,
    head: &'a BundleHead,
    talk: &'a Talk<'a>,
    report: &'a mut Report,
}

impl Play<'_> {
    fn run(&mut self, host: &mut Host, prepare: Option<&mut PrepareHook<'_>>) -> Result<(), RehearseError> {
        self.phase("prepare", |play| {
            play.prepare(host)?;
            prepare.map_or(Ok(()), |prepare| prepare(host))
        })?;
        let before = self.phase("capture", |_| host.capture())?;
        self.report.paths = before.tree.len();
        self.talk.say(format!("captured {} paths, {} packages", before.tree.len(), before.packages.len()));
        self.phase("copy", |play| play.copy(host))?;
        let mut last = before.clone();
        for fault in &self.options.faults {
            last = self.phase(&fault.to_string(), |play| play.fault(host, fault, last))?;
        }
        let installed = self.phase("install", |play| play.install(host))?;
        if installed {
            self.phase("second run", |play| play.second(host))?;
            self.phase("rollback", |play| play.rollback(host))?;
        }
        let after = self.phase("compare", |_| host.capture())?;
        self.report.differences = Capture::diff(&before, &after);
        Ok(())
    }

    fn phase<T>(
        &mut self,
        name: &str,
        act: impl FnOnce(&mut Self) -> Result<T, RehearseError>,
    ) -> Result<T, RehearseError> {
        let start = Instant::now();
        let done = act(self);
        let seconds = (start.elapsed().as_secs_f64() * 1000.0).round() / 1000.0;
        self.report.phases.push(PhaseTime { name: name.to_owned(), seconds });
        done
    }

    fn prepare(&self, host: &Host) -> Result<(), RehearseError> {
        ssh(host, &format!("mkdir -m 0700 {UPLOAD}"), Duration::from_secs(60))?;
        for file in &self.options.carry {
            host.scp(file, &on_host(file))?;
        }
        for file in &self.options.before {
            let path = on_host(file);
            host.scp(file, &path)?;
            self.talk.say(format!("{} $ {path}", host.name()));
            let command = format!("cd {UPLOAD} && chmod 0700 {path} && {path}", path = quoted(&path));
            ssh(host, &command, PREPARE_LIMIT)?;
        }
        Ok(())
    }

    fn copy(&self, host: &Host) -> Result<(), RehearseError> {
        let path = on_host(&self.head.path);
        self.talk.say(format!("copying {} to {}", self.head.path.display(), host.name()));
        host.scp(&self.head.path, &path)?;
        ssh(host, &format!("cd {UPLOAD} && tar xzf {}", quoted(&path)), Duration::from_secs(600))
    }

    fn fault(&mut self, host: &mut Host, fault: &Fault, before: Capture) -> Result<Capture, RehearseError> {
        let act = self.installer(host, &["--yes", fault.kind.flag(), fault.step.as_str()])?;
        let after = host.capture()?;
        let differences = Capture::diff(&before, &after);
        let said = if differences.is_empty() { "the host is as before" } else { "the host is NOT as before" };
        self.talk.say(format!("{fault}: exit {}, {said}", act.exit));
        for difference in differences.iter().take(20) {
            self.talk.say(format!("  {difference}"));
        }
        self.report.faults.push(FaultReport {
            fault: fault.clone(),
            exit: act.exit,
            ms: act.ms,
            differences,
        });
        Ok(after)
    }

    /// Installs; whether the rest of the play makes sense.
    fn install(&mut self, host: &Host) -> Result<bool, RehearseError> {
        let mut act = self.installer(host, &["--yes"])?;
        let mut checks = act.checks();
        if act.exit == i32::from(chom_format::Exit::AwaitingConfirm.code()) {
            let confirmed = self.confirm(host, &act)?;
            self.report.confirmed = Some(Confirmed { exit: confirmed.exit, ms: confirmed.ms });
            (act.exit, act.error) = (confirmed.exit, confirmed.error);
        }
        let installed = act.exit == 0;
        if installed && checks.is_empty() {
            checks = self.installer(host, &["status"])?.checks();
        }
        self.report.checks = checks;
        self.report.install = Some(act);
        Ok(installed)
    }

    /// Each ssh of a rehearsal is a fresh connection: it comes through the new rules, or not at all.
    fn confirm(&self, host: &Host, act: &Act) -> Result<Act, RehearseError> {
        let told = |name: &str| act.said.pointer(&format!("/confirm/{name}"));
        let id = told("transaction").and_then(Value::as_u64).unwrap_or_default().to_string();
        let nonce = told("nonce").and_then(Value::as_str).unwrap_or_default();
        self.installer(host, &["confirm", &id, "--nonce", nonce])
    }

    fn second(&mut self, host: &Host) -> Result<(), RehearseError> {
        let before = services(host)?;
        let act = self.installer(host, &["--yes"])?;
        let after = services(host)?;
        let restarted = before.iter().filter(|(name, started)| after.get(*name) != Some(started));
        let restarted = restarted.map(|(name, _)| name.clone()).collect();
        self.report.second_run =
            Some(SecondRun { exit: act.exit, ms: act.ms, effects: act.effects, restarted });
        Ok(())
    }

    fn rollback(&mut self, host: &Host) -> Result<(), RehearseError> {
        let act = self.installer(host, &["rollback", "--yes"])?;
        self.report.rollback =
            Some(Rollback { exit: act.exit, ms: act.ms, proof: act.proof(), error: act.error });
        Ok(())
    }

    fn installer(&self, host: &Host, words: &[&str]) -> Result<Act, RehearseError> {
        let folder = format!("{UPLOAD}/{}", self.head.folder);
        // Further arguments are those of an installation.
        let further = self.options.installer_args.iter().filter(|_| words.first() == Some(&"--yes"));
        let words: Vec<&str> =
            words.iter().copied().chain(["--json"]).chain(further.map(String::as_str)).collect();
        let act = installer::run(host, &folder, &words, self.talk)?;
        if act.said == Value::Null {
            self.talk.say(format!("the installer ended with {} and printed no result", act.exit));
        }
        Ok(act)
    }
}

fn ssh(host: &Host, command: &str, limit: Duration) -> Result<(), RehearseError> {
    let ran = host.ssh(command, limit, &mut |_, _| {})?;
    match ran.code {
        0 => Ok(()),
        code => {
            let (host, command) = (host.name().to_string(), command.to_owned());
            Err(RehearseError::OnHost { host, command, code, said: ran.tail() })
        }
    }
}

fn on_host(file: &Path) -> String {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    format!("{UPLOAD}/{name}")
}
