//! A systemd unit: enabled or not, running, and reloaded or restarted only where something that it reads changed.
//!
//! What is to be done is decided from the state before the run and from what the run changes; a unit whose
//! inputs stay is left alone, so that a second run restarts nothing. "Started" means active after polling,
//! never "systemctl returned"; whether it also works is for the checks.

use std::thread;
use std::time::{Duration, Instant};

use chom_format::step::UnitSpec;
use chom_format::{Digest, HostPath};

use super::kind::{Stated, usual_or};
use super::{Change, Context, Decision, Detail, Run, Step, StepError, Undo, UnitMove};
use crate::redact;
use crate::resource::Resource;
use crate::sys::{Command, Effect, Kind, Sys};
use crate::systemd::{self, UnitState, read_one};

const POLL: Duration = Duration::from_millis(200);
// systemctl itself waits as long as the unit's own start timeout: it should be the one that speaks first.
const MARGIN: Duration = Duration::from_secs(5);
const LAST_LINES: &str = "15";

/// See [`UnitSpec`].
pub(super) struct UnitStep(pub UnitSpec);

/// What of a unit's inputs this run changes, in words for the plan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Inputs {
    /// The unit file or a drop-in.
    own: Vec<String>,
    /// Needs a restart.
    restart: Vec<String>,
    /// Needs a reload.
    reload: Vec<String>,
}

/// See [`Stated`].
pub(super) fn stated(spec: &UnitSpec) -> Stated<'_> {
    Stated {
        deadline: usual_or(4, spec.timeout_s),
        owns: Vec::new(),
        writes: Vec::new(),
        unit: Some(&spec.unit),
        needs: &[],
        brings_bytes: false,
    }
}

impl Step for UnitStep {
    fn decide(&self, sys: &dyn Sys, context: &Context) -> Result<Decision, StepError> {
        let state = context.units.unit(&self.0.unit);
        let inputs = self.inputs(sys, context, &state)?;
        let comes = !inputs.own.is_empty() || !context.packages.is_empty();
        Ok(decide(&self.0, &state, &inputs, comes))
    }

    fn touches(&self, _: &dyn Sys, _: &Context, _: &Change) -> Result<Vec<Resource>, StepError> {
        Ok(vec![Resource::Unit { unit: self.0.unit.clone(), writes: self.0.writes.clone() }])
    }

    fn apply(&self, sys: &mut dyn Sys, _: &Context, change: &Change) -> Result<(), StepError> {
        let Detail::Unit(planned) = &change.detail else { return Ok(()) };
        let unit = self.0.unit.as_str();
        let now = read_one(sys, &self.0.unit)?;
        if planned.daemon_reload || now.stale {
            self.systemctl(sys, &["daemon-reload"])?;
        }
        if planned.reset_failed {
            self.systemctl(sys, &["reset-failed", unit])?;
        }
        let now = read_one(sys, &self.0.unit)?;
        match planned.enable {
            Some(true) if !now.is_enabled() => self.systemctl(sys, &["enable", unit])?,
            Some(false) if now.is_enabled() => self.systemctl(sys, &["disable", unit])?,
            _ => {}
        }
        let Some(run) = planned.run else { return Ok(()) };
        self.run(sys, run)?;
        self.wait_until_active(sys)
    }
}

impl UnitStep {
    fn inputs(&self, sys: &dyn Sys, context: &Context, state: &UnitState) -> Result<Inputs, StepError> {
        let spec = &self.0;
        let unit_file = format!("/etc/systemd/system/{}", spec.unit);
        let drop_ins = format!("{unit_file}.d/");
        let changed = context.changed.keys();
        let own = |path: &&HostPath| path.as_str() == unit_file || path.as_str().starts_with(&drop_ins);
        let below = |roots: &[HostPath]| -> Vec<String> {
            let within = |path: &&HostPath| roots.iter().any(|root| path.is_within(root));
            changed.clone().filter(within).map(|path| format!("{path} changes")).collect()
        };
        let mut inputs = Inputs {
            own: changed.clone().filter(own).map(|path| format!("{path} changes")).collect(),
            restart: below(&spec.restart_on),
            reload: below(&spec.reload_on),
        };
        // What does not run yet is started with whatever is there by then.
        if !state.is_running() && !state.is_done() {
            return Ok(inputs);
        }
        for (path, digest) in &spec.runs {
            if behind(sys, path)? != Some(*digest) {
                inputs.restart.push(format!("{path} becomes another program"));
            }
        }
        inputs.restart.extend(replaced_package(sys, context, state)?);
        Ok(inputs)
    }

    fn run(&self, sys: &mut dyn Sys, run: Run) -> Result<(), StepError> {
        let verb = match run {
            Run::Start => "start",
            Run::Stop => "stop",
            Run::Reload => "reload",
            Run::Restart => "restart",
        };
        let timeout = Duration::from_secs(u64::from(self.0.timeout_s)) + MARGIN;
        let output = systemd::run(sys, verb, &self.0.unit, timeout)?;
        if output.success() {
            return Ok(());
        }
        Err(self.failure(sys, &format!("did not {verb}"), &output.complaint()))
    }

    // Active twice in a row and by the same process: a simple service counts as active before its program has
    // read its first line of configuration.
    fn wait_until_active(&self, sys: &dyn Sys) -> Result<(), StepError> {
        let deadline = Instant::now() + Duration::from_secs(u64::from(self.0.timeout_s));
        let mut before: Option<(u32, u32)> = None;
        loop {
            let now = read_one(sys, &self.0.unit)?;
            if now.is_done() {
                return Ok(());
            }
            let process = now.is_running().then_some((now.main_pid, now.restarts));
            if process.is_some() && process == before {
                return Ok(());
            }
            let hopeless = now.active == "failed" || now.active == "inactive";
            if hopeless || Instant::now() >= deadline {
                let how = format!("is {} ({}), and not active", now.active, now.sub);
                let result = format!("result: {}", now.result);
                return Err(self.failure(sys, &how, &result));
            }
            before = process;
            thread::sleep(POLL);
        }
    }

    fn systemctl(&self, sys: &mut dyn Sys, arguments: &[&str]) -> Result<(), StepError> {
        let argv = ["systemctl"].iter().chain(arguments).copied();
        let command = Command::new(argv).timeout(Duration::from_secs(60));
        let output = sys.effect(&Effect::Run(&command))?;
        if output.success() {
            return Ok(());
        }
        let what = format!("`systemctl {}` ended with {}", arguments.join(" "), output.code);
        Err(self.failure(sys, &what, &output.complaint()))
    }

    fn failure(&self, sys: &dyn Sys, how: &str, complaint: &str) -> StepError {
        let unit = self.0.unit.as_str();
        let last =
            Command::new(["journalctl", "--no-pager", "--quiet", "-o", "cat", "-n", LAST_LINES, "-u", unit]);
        let lines = sys.ask(&last).map(|output| redact::text(&output.text())).unwrap_or_default();
        let mut what = format!("{unit} {how}");
        for part in [redact::text(complaint), lines] {
            if !part.trim().is_empty() {
                what.push('\n');
                what.push_str(part.trim_end());
            }
        }
        StepError::Refused { what, hint: Some(format!("journalctl -u {unit}")) }
    }
}

/// What is to be done to a unit. `comes` says that this run brings or changes its unit file.
fn decide(spec: &UnitSpec, state: &UnitState, inputs: &Inputs, comes: bool) -> Decision {
    let unit = &spec.unit;
    if state.load == "masked" {
        return Decision::Refuse {
            conflict: format!("{unit} is masked: somebody wants it never to run"),
            remedy: format!("systemctl unmask {unit}"),
        };
    }
    let missing = !state.exists();
    if missing && !comes {
        return Decision::Refuse {
            conflict: format!("{unit} is not on this host, and no earlier step brings it"),
            remedy: format!("give {unit} a template in its component, or a package that has it"),
        };
    }
    let can_enable = !matches!(state.file.as_str(), "static" | "generated" | "transient" | "indirect");
    let enable = (spec.enable != state.is_enabled() && can_enable).then_some(spec.enable);
    // A unit file that is not there cannot be disabled, and what a package enables by itself is asked at apply.
    let enable = enable.filter(|wanted| *wanted || !missing);
    let run = run(spec, state, inputs);
    let planned = UnitMove {
        daemon_reload: !inputs.own.is_empty() || state.stale,
        reset_failed: state.active == "failed" && run.is_some(),
        enable,
        run,
    };
    if planned == UnitMove::default() {
        return Decision::Keep { why: kept(state) };
    }
    Decision::Change(Change {
        verb: verb(&planned),
        summary: unit.to_string(),
        diff: lines(&planned, state, inputs),
        detail: Detail::Unit(planned),
        undo: Undo::Copy,
        writes: Vec::new(),
        changes: Vec::new(),
    })
}

fn run(spec: &UnitSpec, state: &UnitState, inputs: &Inputs) -> Option<Run> {
    let due = !inputs.restart.is_empty() || !inputs.own.is_empty() || !inputs.reload.is_empty();
    if state.is_done() {
        return (spec.start && due).then_some(Run::Start);
    }
    if !state.is_running() {
        // A unit between two restarts is in a crash loop: only a restart takes it out of its pause.
        let looping = state.sub == "auto-restart";
        return spec.start.then_some(if looping { Run::Restart } else { Run::Start });
    }
    if !inputs.restart.is_empty() || !inputs.own.is_empty() {
        return Some(Run::Restart);
    }
    match (inputs.reload.is_empty(), state.can_reload) {
        (true, _) => None,
        (false, true) => Some(Run::Reload),
        (false, false) => Some(Run::Restart),
    }
}

fn verb(planned: &UnitMove) -> &'static str {
    match (planned.run, planned.enable) {
        (Some(Run::Start), _) => "start",
        (Some(Run::Stop), _) => "stop",
        (Some(Run::Reload), _) => "reload",
        (Some(Run::Restart), _) => "restart",
        (None, Some(true)) => "enable",
        (None, Some(false)) => "disable",
        (None, None) => "daemon-reload",
    }
}

fn lines(planned: &UnitMove, state: &UnitState, inputs: &Inputs) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(enable) = planned.enable {
        let was = if state.file.is_empty() { "not there" } else { &state.file };
        lines.push(format!("at boot: {was} -> {}", if enable { "enabled" } else { "disabled" }));
    }
    let was = if state.active.is_empty() { "not there" } else { &state.active };
    let because = |why: &[&Vec<String>]| {
        why.iter()
            .flat_map(|reasons| reasons.iter())
            .map(|reason| format!("because {reason}"))
            .collect::<Vec<_>>()
    };
    match planned.run {
        Some(Run::Start) => lines.push(format!("now: {was} -> active")),
        Some(Run::Restart) => lines.extend(because(&[&inputs.own, &inputs.restart, &inputs.reload])),
        Some(Run::Reload) => lines.extend(because(&[&inputs.reload])),
        Some(Run::Stop) => lines.push(format!("now: {was} -> inactive")),
        None => {}
    }
    lines
}

fn kept(state: &UnitState) -> String {
    let file = if state.file.is_empty() { "" } else { ", " };
    format!("{} ({}){file}{}", state.active, state.sub, state.file)
}

/// The digest of what is found behind a path when all links are followed; none when nothing is.
fn behind(sys: &dyn Sys, path: &HostPath) -> Result<Option<Digest>, StepError> {
    let Some(path) = sys.resolve(path)? else { return Ok(None) };
    let is_file = sys.meta(&path)?.is_some_and(|meta| meta.kind == Kind::File);
    Ok(if is_file { Some(sys.digest(&path)?) } else { None })
}

// Maintainer scripts do not restart services during our runs, so the unit of a package that is replaced
// would go on with the old program.
fn replaced_package(
    sys: &dyn Sys,
    context: &Context,
    state: &UnitState,
) -> Result<Option<String>, StepError> {
    if state.fragment.is_empty() {
        return Ok(None);
    }
    for package in &context.packages {
        for list in crate::dpkg::file_lists(sys, package)? {
            if list.lines().any(|line| crate::dpkg::same_place(line, &state.fragment)) {
                return Ok(Some(format!("package {package} is replaced")));
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> UnitSpec {
        UnitSpec {
            unit: "p.service".parse().unwrap(),
            enable: true,
            start: true,
            restart_on: Vec::new(),
            reload_on: Vec::new(),
            runs: std::collections::BTreeMap::new(),
            writes: Vec::new(),
            timeout_s: 10,
        }
    }

    fn state(load: &str, active: &str, sub: &str, file: &str) -> UnitState {
        UnitState {
            load: load.into(),
            active: active.into(),
            sub: sub.into(),
            file: file.into(),
            can_reload: true,
            ..UnitState::default()
        }
    }

    fn decided(state: &UnitState, inputs: &Inputs, comes: bool) -> String {
        match decide(&spec(), state, inputs, comes) {
            Decision::Keep { why } => format!("keep {why}"),
            Decision::Refuse { remedy, .. } => format!("refuse: {remedy}"),
            Decision::Change(change) => format!("{}: {}", change.verb, change.diff.join("; ")),
        }
    }

    fn changes(own: &[&str], restart: &[&str], reload: &[&str]) -> Inputs {
        let texts = |from: &[&str]| from.iter().map(|text| (*text).to_owned()).collect();
        Inputs { own: texts(own), restart: texts(restart), reload: texts(reload) }
    }

    #[test]
    fn a_unit_is_left_alone_started_reloaded_or_restarted() {
        let running = state("loaded", "active", "running", "enabled");
        let none = Inputs::default();
        for (state, inputs, comes, wanted) in [
            (running.clone(), none.clone(), false, "keep active (running), enabled"),
            (running.clone(), changes(&[], &[], &["x"]), false, "reload: because x"),
            (running.clone(), changes(&[], &["y"], &["x"]), false, "restart: because y; because x"),
            (running.clone(), changes(&["u"], &[], &[]), true, "restart: because u"),
            (
                UnitState { can_reload: false, ..running },
                changes(&[], &[], &["x"]),
                false,
                "restart: because x",
            ),
            (
                state("not-found", "inactive", "dead", ""),
                changes(&["u"], &[], &["x"]),
                true,
                "start: at boot: not there -> enabled; now: inactive -> active",
            ),
            (
                state("loaded", "failed", "failed", "enabled"),
                none.clone(),
                false,
                "start: now: failed -> active",
            ),
            (state("loaded", "activating", "auto-restart", "enabled"), none.clone(), false, "restart: "),
            (
                state("loaded", "active", "running", "disabled"),
                none.clone(),
                false,
                "enable: at boot: disabled -> enabled",
            ),
            (
                state("loaded", "active", "running", "static"),
                none.clone(),
                false,
                "keep active (running), static",
            ),
            (
                state("masked", "inactive", "dead", "masked"),
                none.clone(),
                true,
                "refuse: systemctl unmask p.service",
            ),
        ] {
            assert_eq!(decided(&state, &inputs, comes), wanted);
        }
        assert!(
            decided(&state("not-found", "inactive", "dead", ""), &none, false).starts_with("refuse: give")
        );
    }

    #[test]
    fn a_failed_unit_is_forgiven_before_it_starts() {
        let failed = state("loaded", "failed", "failed", "enabled");
        let Decision::Change(change) = decide(&spec(), &failed, &Inputs::default(), false) else { panic!() };
        let Detail::Unit(planned) = change.detail else { panic!() };
        assert!(planned.reset_failed && planned.run == Some(Run::Start) && planned.enable.is_none());
    }

    #[test]
    fn a_job_that_ran_to_its_end_is_left_alone_until_its_inputs_change() {
        let done = UnitState {
            kind: "oneshot".into(),
            result: "success".into(),
            invocation: "f00".into(),
            ..state("loaded", "inactive", "dead", "enabled")
        };
        assert_eq!(decided(&done, &Inputs::default(), false), "keep inactive (dead), enabled");
        assert!(decided(&done, &changes(&[], &["x"], &[]), false).starts_with("start"));
        let never = UnitState { invocation: String::new(), ..done };
        assert!(decided(&never, &Inputs::default(), false).starts_with("start"));
    }

    #[test]
    fn a_unit_that_is_not_to_be_started_is_not() {
        let spec = UnitSpec { start: false, enable: false, ..spec() };
        let idle = state("loaded", "inactive", "dead", "disabled");
        assert!(matches!(decide(&spec, &idle, &Inputs::default(), false), Decision::Keep { .. }));
        let running = state("loaded", "active", "running", "enabled");
        let Decision::Change(change) = decide(&spec, &running, &changes(&[], &["x"], &[]), false) else {
            panic!()
        };
        assert_eq!(change.verb, "restart");
        assert_eq!(change.diff.first().unwrap(), "at boot: enabled -> disabled");
    }
}
