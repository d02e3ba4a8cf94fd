//! An installation, from the bundle to the outcome.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use chom_format::{CheckSpec, HostPath, StepId};

use super::detach::{self, Ticket};
use super::session::{this_program, who};
use super::window::Confirming;
use super::{Outcome, Recorded, RunError, Session, Waiting, backup, early, figures};
use crate::check::{Before, Report, Runner};
use crate::engine::{
    Ending, Engine, EngineError, ManifestChecks, Options, Position, Task, TransactionRequest,
};
use crate::open::{Bundle, Source};
use crate::plan::{self, Plan, PlanError};
use crate::preflight::{self, Findings};
use crate::step::{self, Decision, Entry};
use crate::sys::{SysError, interrupt};
use crate::systemd::Snapshot;
use crate::transaction::{Hold, Installed};
use crate::ui::{Event, Progress, Watcher};

/// What `install` is asked to do.
#[derive(Debug, Clone, Default)]
pub struct Install {
    /// The bundle; the folder of this program when none is named.
    pub bundle: Option<PathBuf>,
    /// Install on another host than the bundle's.
    pub any_host: bool,
    /// Steps that cannot be undone and that the operator named.
    pub accepted: Vec<StepId>,
    /// Who confirms a changed firewall, and for how long that is waited for.
    pub confirming: Confirming,
    /// Let a unit of systemd do it, and come back at once.
    pub detach: bool,
    /// This is that unit, and the number of its transaction.
    pub ticket: Option<u64>,
    /// A rehearsal aid: fail there.
    pub fail_at: Option<Position>,
    /// A rehearsal aid: be interrupted there.
    pub interrupt_at: Option<Position>,
}

/// What a person is asked to agree to.
pub struct Proposal<'a> {
    /// The bundle's name.
    pub bundle: &'a str,
    /// What will be done.
    pub plan: &'a Plan,
    /// What preflight says.
    pub findings: &'a Findings,
    /// What becomes of the manifest that the host has on record.
    pub recorded: &'a Recorded,
}

/// Whoever agrees, or does not.
pub trait Consent {
    /// Whether a transaction that was cut off shall be taken back now.
    fn agree_to_recover(&self, unfinished: &[u64]) -> Result<(), RunError>;

    /// Whether the plan shall be carried out.
    fn agree_to_install(&self, proposal: &Proposal<'_>) -> Result<(), RunError>;

    /// Whether the exposed host is still within reach, asked on its own terminal until `left` says that it is over.
    fn agree_to_expose(&self, waiting: &Waiting, left: &dyn Fn() -> Option<u64>) -> bool;
}

/// Installs: all of it, or nothing.
pub fn install(asked: &Install, consent: &dyn Consent, progress: &Progress) -> Result<Outcome, RunError> {
    let begun = Instant::now();
    let source = Source::find(asked.bundle.as_deref())?;
    let mut bundle = Bundle::open(&source, &|done| progress.show(&Event::Reading { done, total: None }))?;
    check_places(asked, &bundle)?;
    interrupt::listen()?;
    let mut session = Session::new(Path::new("/"))?;
    if !nix::unistd::geteuid().is_root() {
        // Refused with everything else that stands in the way.
        decide(asked, &bundle, &session, None, progress)?.findings.verdict()?;
        return Err(RunError::NotRoot);
    }
    let hold = Hold::take(&mut session.sys, &session.files, "looking")?;
    let ticket = asked.ticket.map(|id| Ticket::redeem(&mut session, id)).transpose()?;
    if let Some((known, seconds)) = session.awaiting()? {
        return Err(EngineError::Awaiting { id: known.id, seconds }.into());
    }
    if let (Some(hold), false) = (&hold, session.unfinished()?.is_empty())
        && let Some(stuck) = recover_first(asked, &bundle, &mut session, hold, consent, progress)?
    {
        return Ok(stuck);
    }
    let installed = session.installed()?;
    let (decided, early) = early::beside(&session, installed.as_ref(), &bundle, || {
        decide(asked, &bundle, &session, installed.as_ref(), progress)
    });
    let Decided { entries, plan, findings, recorded } = decided?;
    if plan.is_empty() && recorded == Recorded::Same {
        findings.verdict()?;
        let reports = health(&bundle, &session, &plan, early, progress);
        let outcome = Outcome::unchanged(bundle.name(), &reports, begun.elapsed().as_secs_f64());
        session.remember();
        return Ok(outcome);
    }
    findings.verdict()?;
    let total = Some(bundle.unread());
    bundle.verify_payloads(&|done| progress.show(&Event::Reading { done, total }))?;
    progress.pause();
    let (name, by) = (bundle.name(), ticket.as_ref().map_or_else(who, |ticket| ticket.by.clone()));
    let proposal = Proposal { bundle: &name, plan: &plan, findings: &findings, recorded: &recorded };
    consent.agree_to_install(&proposal)?;
    let passed = installed.as_ref().map(Installed::checks).unwrap_or_default();
    let before = Before::look(&session.sys, &bundle.manifest().checks, &passed);
    let hold = match hold {
        Some(hold) => hold,
        None => Hold::establish(&mut session.sys, &session.files, "installing")?,
    };
    if asked.detach {
        return detach::start(asked, &source, &mut session, hold);
    }
    let opened = asked.confirming.window(&plan, ticket.as_ref(), progress)?;
    // Where no step has an effect, none can harm what would be backed up.
    let backup = if plan.is_empty() { None } else { backup::before(&mut session, &hold, progress)? };
    let checks = ManifestChecks { specs: &bundle.manifest().checks, before };
    let request = TransactionRequest {
        bundle: &name,
        manifest: bundle.manifest_bytes(),
        by: &by,
        checks: &checks,
        context: plan.effects().first().map(|(_, context)| context.clone()).unwrap_or_default(),
        tasks: tasks(&entries, &plan),
        options: Options {
            window: opened.as_ref().map(|opened| opened.window.clone()),
            fail_at: asked.fail_at.clone(),
            interrupt_at: asked.interrupt_at.clone(),
            ..Options::default()
        },
        backup: backup.map(|created| created.backup.id),
        adopts: matches!(recorded, Recorded::Adopted { .. }),
    };
    let mut watcher = Watcher::new(progress);
    let mut engine = Engine::new(&mut session.sys, session.files.clone(), &hold, &mut watcher);
    engine = engine.kept_as(this_program());
    let report = engine.install(&request)?;
    figures::publish(&mut session, &report, false);
    let (ending, id) = (report.ending, report.id);
    let outcome = Outcome::of(report).recorded(recorded);
    if ending == Ending::Committed {
        session.remember();
    }
    match opened {
        Some(opened) if ending == Ending::Exposed => {
            // From here on whoever confirms needs the host, and so does the watchdog.
            drop(hold);
            opened.wait(&session, id, outcome, consent, progress)
        }
        _ => Ok(outcome),
    }
}

// The rehearsal aids must name what there is: a typing error would else be a rehearsal that tests nothing.
fn check_places(asked: &Install, bundle: &Bundle) -> Result<(), RunError> {
    let steps = bundle.manifest().steps();
    let named = [&asked.fail_at, &asked.interrupt_at].into_iter().flatten().filter_map(|place| match place {
        Position::Step(id) => Some(id),
        Position::Check | Position::Commit => None,
    });
    let unknown = named.chain(&asked.accepted).find(|id| !steps.iter().any(|(_, step)| step.id == **id));
    unknown.map_or(Ok(()), |id| Err(RunError::NoSuchStep(id.to_string())))
}

// A run that was cut off is taken back before anything is planned: the plan must see the host as it was before.
fn recover_first(
    asked: &Install,
    bundle: &Bundle,
    session: &mut Session,
    hold: &Hold,
    consent: &dyn Consent,
    progress: &Progress,
) -> Result<Option<Outcome>, RunError> {
    preflight::host(&request(asked, bundle, session, &BTreeSet::new(), &|_| {})).verdict()?;
    progress.pause();
    consent.agree_to_recover(&session.unfinished()?)?;
    let mut watcher = Watcher::new(progress);
    let mut engine = Engine::new(&mut session.sys, session.files.clone(), hold, &mut watcher);
    engine = engine.kept_as(this_program());
    let reports = engine.recover()?;
    if let Some(last) = reports.last() {
        figures::publish(session, last, false);
    }
    if reports.iter().any(|report| report.ending == Ending::Stuck) {
        return Ok(Some(Outcome::of_all(reports)));
    }
    session.look_again()?;
    Ok(None)
}

/// How old an answer of systemd may be that a plan is made from.
const FRESH: Duration = Duration::from_secs(2);

/// What a run would do, and whether it may.
struct Decided {
    entries: Vec<Entry>,
    plan: Plan,
    findings: Findings,
    recorded: Recorded,
}

fn decide(
    asked: &Install,
    bundle: &Bundle,
    session: &Session,
    installed: Option<&Installed>,
    progress: &Progress,
) -> Result<Decided, RunError> {
    let waited = Cell::new(false);
    let waiting = |what: &str| {
        waited.set(true);
        progress.show(&Event::Waiting { what });
    };
    let ours = installed.map(Installed::paths).unwrap_or_default();
    let mut request = request(asked, bundle, session, &ours, &waiting);
    let decided = decide_now(asked, bundle, session, installed, &request);
    if !waited.get() {
        return decided;
    }
    // What was seen while others worked with packages is not what they have left.
    request.patience = Duration::ZERO;
    decide_now(asked, bundle, session, installed, &request)
}

fn decide_now(
    asked: &Install,
    bundle: &Bundle,
    session: &Session,
    installed: Option<&Installed>,
    request: &preflight::Request<'_>,
) -> Result<Decided, RunError> {
    let entries = step::all(bundle.manifest()).map_err(PlanError::from);
    let units = entries.as_deref().map(plan::units).unwrap_or_default();
    // systemd takes as long to answer as all the rest takes to be looked at.
    let (mut findings, made) = thread::scope(|scope| {
        let ask = || Snapshot::read(&session.sys, &units);
        let answer = scope.spawn(ask);
        let join = || match answer.join() {
            // Preflight may wait for whoever installs packages, and those restart services.
            Ok(Ok(asked)) if !asked.holds(units.iter(), FRESH) => ask(),
            Ok(answer) => answer,
            Err(_) => Err(SysError::other("ask", "systemd", "the thread broke down")),
        };
        let findings = preflight::host(request);
        let made = entries.and_then(|entries| {
            let plan = Plan::of(&session.sys, &entries, bundle.dir(), &asked.accepted, join)?;
            Ok((entries, plan))
        });
        (findings, made)
    });
    // Of a host that is fit and has nothing to change nothing more is asked; of any other everything is, so
    // that all that is to be mended is told at once.
    if !findings.allow() || made.as_ref().is_ok_and(|(_, plan)| !plan.is_empty()) {
        findings.extend(preflight::plan(request, made.as_ref().ok().map(|(_, plan)| plan)));
        findings.0.extend(backup::finding(session));
    }
    if made.is_err() {
        findings.verdict()?;
    }
    let (entries, plan) = made?;
    let recorded = Recorded::of(session, installed, bundle, &plan);
    findings.0.extend(recorded.finding());
    Ok(Decided { entries, plan, findings, recorded })
}

fn request<'a>(
    asked: &Install,
    bundle: &'a Bundle,
    session: &'a Session,
    ours: &'a BTreeSet<HostPath>,
    waiting: &'a dyn Fn(&str),
) -> preflight::Request<'a> {
    preflight::Request {
        sys: &session.sys,
        manifest: bundle.manifest(),
        facts: &session.facts,
        any_host: asked.any_host,
        ours,
        unfinished: &[],
        patience: preflight::LOCK_PATIENCE,
        waiting,
    }
}

// Every check of the bundle, in its order: those that have passed already, and the others until they do.
fn health(
    bundle: &Bundle,
    session: &Session,
    plan: &Plan,
    early: Vec<Report>,
    progress: &Progress,
) -> Vec<Report> {
    let checks = &bundle.manifest().checks;
    let shown = |seen: &crate::check::Progress| {
        let passed = early.len() + seen.passed;
        progress.show(&Event::Checks { passed, total: checks.len(), waiting: &seen.waiting });
    };
    let stop = || interrupt::pending().is_some();
    let open: Vec<CheckSpec> =
        checks.iter().filter(|spec| !early.iter().any(|report| report.id == spec.id)).cloned().collect();
    let runner = Runner::knowing(&session.sys, plan.context().units.clone());
    let mut reports = runner.run(&open, &Before::default(), &shown, &stop);
    reports.extend(early);
    reports.sort_by_key(|report| checks.iter().position(|spec| spec.id == report.id));
    reports
}

fn tasks<'a>(entries: &'a [Entry], plan: &Plan) -> Vec<Task<'a>> {
    let task = |planned: &step::Planned| {
        let entry = entries.iter().find(|entry| entry.id == planned.id)?;
        let Decision::Change(change) = &planned.decision else { return None };
        Some(Task {
            id: planned.id.clone(),
            phase: planned.phase,
            step: &*entry.step,
            change: change.clone(),
            seen: planned.seen.clone(),
            deadline: step::stated(&entry.spec).deadline,
        })
    };
    plan.steps.iter().filter_map(task).collect()
}
