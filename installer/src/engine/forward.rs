//! The way forward: step by step, checks, exposure, commit.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use chom_format::step::Phase;
use chom_format::{HostPath, StepId};

use super::begin::{fresh_token, still_as_planned};
use super::cancellable::Cancellable;
use super::report::{Ending, Failure, Report};
use super::request::{Position, Task, TransactionRequest};
use super::{Engine, EngineError, Event, Open, touch};
use crate::check::{Progress, Report as CheckReport};
use crate::journal::{Expected, JournalError, Record};
use crate::receipt::{Receipt, StepChange};
use crate::resource::{Resource, Saved, private};
use crate::step::{Context, StepError, Upcoming};
use crate::sys::{Effect, Source, SysError, interrupt};
use crate::transaction::prune;

/// What the way forward has come to.
#[derive(Default)]
pub(super) struct ForwardRun {
    pub(super) effects: u64,
    pub(super) checks: Vec<CheckReport>,
    /// A unit watches over the transaction.
    guarded: bool,
    /// The step that is being done.
    at: Option<StepId>,
}

impl Engine<'_> {
    /// Installs: all of it, or nothing. An error means that nothing was begun; the end of what was begun, good
    /// or bad, is the report.
    pub fn install(&mut self, request: &TransactionRequest<'_>) -> Result<Report, EngineError> {
        let begun = Instant::now();
        self.hold.say(&format!("installing {}", request.bundle));
        let mut open = self.begin(request)?;
        let mut run = ForwardRun::default();
        let mut report = match self.forward(&mut open, request, &mut run) {
            Ok(ending) => {
                if ending == Ending::Committed {
                    self.tidy(&mut open, request.options.keep);
                }
                Report { ending, ..open.report() }
            }
            Err(stop) => {
                let report = self.turn_back(&mut open, stop.failure(run.at.take()));
                if run.guarded {
                    self.unwatch(&mut open);
                }
                report
            }
        };
        report.effects = run.effects;
        report.checks = run.checks;
        report.seconds = begun.elapsed().as_secs_f64();
        Ok(report)
    }

    fn forward(
        &mut self,
        open: &mut Open,
        request: &TransactionRequest<'_>,
        run: &mut ForwardRun,
    ) -> Result<Ending, Stop> {
        self.save(open, self.boot_unit()?)?;
        self.arm(open)?;
        self.save(open, self.units(request)?)?;
        let end = Instant::now() + request.options.deadline;
        let mut context =
            Context { stage: Some(self.files.of(open.id, "stage")?), ..request.context.clone() };
        let expose = |task: &&Task<'_>| task.phase == Phase::Expose;
        let (last, first): (Vec<_>, Vec<_>) = request.tasks.iter().partition(expose);
        for (number, task) in (1..).zip(first.iter().chain(&last)) {
            if number == first.len() + 1 {
                self.check(open, request, run)?;
                if request.options.window.is_some() {
                    run.guarded = true;
                    self.watch(open)?;
                }
            }
            let total = request.tasks.len();
            let summary = task.change.summary.as_str();
            let event = Event::StepBegun { number, total, step: &task.id, phase: task.phase, summary };
            self.tell(open, &event);
            run.at = Some(task.id.clone());
            let deadline = end.min(Instant::now() + task.deadline);
            self.step(open, request, task, &context, deadline, run)?;
            run.at = None;
            context.absorb(&task.change);
        }
        // Once more after the exposure: the firewall must not have cut off what was healthy.
        self.check(open, request, run)?;
        self.seal(open, request, run)?;
        if let (Some(window), false) = (&request.options.window, last.is_empty()) {
            self.open_window(open, window)?;
            return Ok(Ending::Exposed);
        }
        open.note(self.sys, &Record::Committed { at: jiff::Timestamp::now().to_string() })?;
        let id = open.id;
        self.tell(open, &Event::Committed { id });
        Ok(Ending::Committed)
    }

    fn step(
        &mut self,
        open: &mut Open,
        request: &TransactionRequest<'_>,
        task: &Task<'_>,
        context: &Context,
        deadline: Instant,
        run: &mut ForwardRun,
    ) -> Result<(), Stop> {
        let began = Instant::now();
        let position = Some(Position::Step(task.id.clone()));
        interrupt::check()?;
        still_as_planned(self.sys, task, |path| touched(open, path))?;
        let touches = touch::complete(self.sys, task.step.touches(self.sys, context, &task.change)?)?;
        self.save(open, touches.clone())?;
        // Saving may have taken its time, or waited for somebody: what was saved must be what was planned from.
        still_as_planned(self.sys, task, |path| touched(open, path))?;
        task.step.ready(self.sys)?;
        let upcoming = |(path, upcoming): &(HostPath, _)| (path.clone(), expected(upcoming));
        let expects = task.change.changes.iter().map(upcoming).collect();
        let token = Some(fresh_token()?);
        let intent = Record::Intent { step: task.id.clone(), touches: touches.clone(), expects, token };
        open.note(self.sys, &intent)?;
        open.announce(self.sys);
        let rehearse = request.options.interrupt_at == position;
        let mut host = Cancellable::new(self.sys, deadline, task.id.as_str(), rehearse);
        let applied = task.step.apply(&mut host, context, &task.change);
        let effects = host.effects();
        let ended = host.end();
        run.effects += effects;
        applied?;
        ended?;
        fail_at(request, &position)?;
        interrupt::check()?;
        let mut after = Vec::new();
        for resource in touches {
            if let Some(saved) = open.state.saved(&resource).cloned() {
                let value = resource.handler().after(self.sys, &open.store, &saved)?;
                after.push((resource, value));
            }
        }
        open.note(self.sys, &Record::Done { step: task.id.clone(), after })?;
        self.tell(open, &Event::StepDone { step: &task.id, effects, took: began.elapsed() });
        Ok(())
    }

    /// Saves whatever is not saved yet, and keeps room for putting it back.
    fn save(&mut self, open: &mut Open, touches: Vec<Resource>) -> Result<(), Stop> {
        for resource in touch::complete(self.sys, touches)? {
            if open.state.saved(&resource).is_some() {
                continue;
            }
            interrupt::check()?;
            self.tell(open, &Event::Saving { resource: &resource });
            let saved = resource.handler().save(self.sys, &open.store)?;
            let room = self.room_for(open, &resource, &saved)?;
            if room > 0 {
                open.reserve.keep(self.sys, &self.files, open.id, &resource.handler().room_at()?, room)?;
            }
            open.room_for(&resource);
            open.note(self.sys, &Record::Saved { resource, saved })?;
        }
        Ok(())
    }

    /// What the way back may take of the disk for one resource.
    fn room_for(&self, open: &Open, resource: &Resource, saved: &Saved) -> Result<u64, Stop> {
        let size = |object| Ok(self.sys.meta(&open.store.object(object)?)?.map_or(0, |meta| meta.size));
        let objects: Vec<u64> = saved.objects.iter().map(size).collect::<Result<_, SysError>>()?;
        Ok(resource.handler().room(&objects))
    }

    fn check(
        &mut self,
        open: &mut Open,
        request: &TransactionRequest<'_>,
        run: &mut ForwardRun,
    ) -> Result<(), Stop> {
        let position = Some(Position::Check);
        if request.options.interrupt_at == position {
            interrupt::rehearse()?;
        }
        let reports = {
            let observer = Mutex::new(&mut *self.observer);
            let progress = |progress: &Progress| {
                let mut observer = observer.lock().unwrap_or_else(PoisonError::into_inner);
                observer.event(&Event::Checking { progress });
            };
            request.checks.run(self.sys, &progress, &|| interrupt::pending().is_some())
        };
        for report in &reports {
            self.tell(open, &Event::Checked { report });
        }
        run.checks = reports;
        interrupt::check()?;
        let failed: Vec<String> = run
            .checks
            .iter()
            .filter(|report| report.condemns())
            .map(|report| format!("{}: {}", report.id, report.message))
            .collect();
        if !failed.is_empty() {
            let remedy =
                run.checks.iter().find(|report| report.condemns()).and_then(|first| first.remedy.clone());
            return Err(Stop::Unhealthy { failed, remedy });
        }
        fail_at(request, &position)?;
        Ok(())
    }

    /// All that must be durable before the transaction can stand.
    fn seal(
        &mut self,
        open: &mut Open,
        request: &TransactionRequest<'_>,
        run: &ForwardRun,
    ) -> Result<(), Stop> {
        let position = Some(Position::Commit);
        self.seek(open)?;
        open.note(self.sys, &Record::Healthy)?;
        let changes = request.tasks.iter().map(changed).collect();
        let begin = open.state.begin.as_ref();
        let begin = begin.ok_or_else(|| SysError::other("write", "the receipt", "nothing was begun"))?;
        let receipt = Receipt::new(begin, &open.state, changes, run.effects, &run.checks);
        let bytes = receipt.to_bytes()?;
        let (path, source) = (self.files.of(open.id, "receipt.json")?, Source::Bytes(&bytes));
        self.sys.effect(&Effect::Write { path: &path, source, attrs: &private(0o600) })?;
        // Programs that the steps ran may not have synced what they wrote.
        self.sys.effect(&Effect::Sync)?;
        if request.options.interrupt_at == position {
            interrupt::rehearse()?;
        }
        fail_at(request, &position)?;
        interrupt::check()?;
        Ok(())
    }

    /// After the commit: nothing here can fail the run.
    pub(super) fn tidy(&mut self, open: &mut Open, keep: usize) {
        if let Err(error) = self.disarm(Some(&open.state)) {
            let text =
                format!("the boot unit could not be removed, and does so itself at the next boot: {error}");
            self.tell(open, &Event::Note { text: &text });
        }
        if let Err(error) = self.read_once(open) {
            let text = format!("what was installed could not be read: {error}");
            self.tell(open, &Event::Note { text: &text });
        }
        if let Err(error) = prune(self.sys, &self.files, keep) {
            let text = format!("old transactions could not be removed: {error}");
            self.tell(open, &Event::Note { text: &text });
        }
    }
}

impl Engine<'_> {
    /// Reads what was installed, so that the door remembers it and the next run need not.
    fn read_once(&self, open: &Open) -> Result<(), SysError> {
        for resource in &open.state.touched {
            for path in resource.handler().files(self.sys)? {
                self.sys.digest(&path)?;
            }
        }
        Ok(())
    }
}

/// What a step did, as the receipt tells it.
fn changed(task: &Task<'_>) -> StepChange {
    StepChange {
        step: task.id.clone(),
        phase: task.phase,
        verb: task.change.verb.to_owned(),
        summary: task.change.summary.clone(),
    }
}

/// What a plan says that there will be, as the journal notes it.
fn expected(upcoming: &Upcoming) -> Expected {
    match upcoming {
        Upcoming::File(content) => Expected::File { sha256: content.sha256 },
        Upcoming::Link(target) => Expected::Link { target: target.clone() },
        Upcoming::Dir => Expected::Dir,
        Upcoming::Absent => Expected::Absent,
    }
}

/// Whether this run may have changed a path already, so that it need not be as the plan saw it.
fn touched(open: &Open, path: &HostPath) -> bool {
    open.state.touched.iter().any(|resource| resource.handler().may_change(path))
}

fn fail_at(request: &TransactionRequest<'_>, position: &Option<Position>) -> Result<(), SysError> {
    match (&request.options.fail_at, position) {
        (Some(wanted), Some(here)) if wanted == here => Err(SysError::Injected(here.to_string())),
        _ => Ok(()),
    }
}

/// Why the way forward ended early.
pub(super) enum Stop {
    /// A step refused or failed.
    Step(StepError),
    /// The engine itself.
    Engine(EngineError),
    /// Checks failed.
    Unhealthy { failed: Vec<String>, remedy: Option<String> },
}

impl Stop {
    fn failure(self, step: Option<StepId>) -> Failure {
        use chom_format::exit::Explain as _;
        match self {
            Self::Step(error) => {
                let hint = match &error {
                    StepError::Refused { hint, .. } => hint.clone(),
                    StepError::Sys(error) => error.hint(),
                };
                Failure { step, message: error.to_string(), hint }
            }
            Self::Engine(error) => Failure { step, message: error.to_string(), hint: error.hint() },
            Self::Unhealthy { failed, remedy } => {
                let message = format!("{} check(s) failed: {}", failed.len(), failed.join("; "));
                Failure { step: None, message, hint: remedy }
            }
        }
    }
}

impl From<StepError> for Stop {
    fn from(error: StepError) -> Self {
        Self::Step(error)
    }
}

impl From<EngineError> for Stop {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

impl From<SysError> for Stop {
    fn from(error: SysError) -> Self {
        Self::Engine(error.into())
    }
}

impl From<JournalError> for Stop {
    fn from(error: JournalError) -> Self {
        Self::Engine(error.into())
    }
}
