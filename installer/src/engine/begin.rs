//! The beginning of a transaction: the plan still holds, the way back has its space, the journal is open.

use chom_format::{Digest, StepId};

use super::log::Log;
use super::request::{Position, Task, TransactionRequest};
use super::{Engine, EngineError, Event, Open};
use crate::journal::{Begin, Journal, Record, State};
use crate::nonce::Nonce;
use crate::resource::{Resource, private};
use crate::step::Detail;
use crate::sys::{Effect, Source, Sys, SysError, look};
use crate::transaction::{Reserve, Way, list};

const JOURNAL_FORMAT: u32 = 1;

impl Engine<'_> {
    /// Begins a transaction. Outside the state directory nothing has changed when this fails.
    pub(super) fn begin(&mut self, request: &TransactionRequest<'_>) -> Result<Open, EngineError> {
        let known = list(self.sys, &self.files)?;
        if let Some(known) = known.iter().find(|known| known.state.is_open()) {
            return Err(self.in_the_way(known));
        }
        for position in [&request.options.fail_at, &request.options.interrupt_at].into_iter().flatten() {
            if let Position::Step(step) = position
                && !request.tasks.iter().any(|task| task.id == *step)
            {
                return Err(EngineError::NoSuchPosition(position.clone()));
            }
        }
        for task in &request.tasks {
            still_as_planned(self.sys, task, |_| false)?;
        }
        let id = self.files.next_id(self.sys)?;
        let dir = self.files.transaction(id)?;
        self.sys.effect(&Effect::MakeDir { path: &dir, attrs: &private(0o700) })?;
        let (path, source) = (self.files.of(id, "manifest.json")?, Source::Bytes(request.manifest));
        self.sys.effect(&Effect::Write { path: &path, source, attrs: &private(0o600) })?;
        let journal = Journal::create(self.sys, self.files.of(id, "journal")?)?;
        let log = Log::open(self.sys.root(), &self.files.of(id, "log")?, id);
        let store = self.files.store(id)?;
        let (state, reserve) = (State::default(), Reserve::default());
        let before = super::seek::before(self.sys, request)?;
        let mut open = Open { id, journal, state, store, before, reserve, records: 0, log };
        let begin = Begin {
            format: JOURNAL_FORMAT,
            id,
            bundle: request.bundle.to_owned(),
            manifest: Digest::of(request.manifest),
            at: jiff::Timestamp::now().to_string(),
            boot_id: super::clock::boot_id(self.sys),
            by: request.by.to_owned(),
            backup: request.backup,
            token: Some(fresh_token()?),
            upon: Some(Way::of(&known).committed(&known).unwrap_or(0)),
            adopts: request.adopts,
        };
        open.note(self.sys, &Record::Begin(begin))?;
        open.announce(self.sys);
        let steps = request.tasks.len();
        self.tell(&mut open, &Event::Begun { id, bundle: request.bundle, steps });
        Ok(open)
    }

    /// The units of the whole plan. They are saved before everything else, so that they come back after
    /// everything else, and as what they were before any package or file of this run.
    pub(super) fn units(&self, request: &TransactionRequest<'_>) -> Result<Vec<Resource>, EngineError> {
        let mut units = Vec::new();
        let has_units = |detail: &Detail| matches!(detail, Detail::Unit(_) | Detail::Firewall(_));
        for task in request.tasks.iter().filter(|task| has_units(&task.change.detail)) {
            let touches = task.step.touches(self.sys, &request.context, &task.change)?;
            units.extend(touches.into_iter().filter(|resource| resource.handler().policy().any_step_changes));
        }
        Ok(units)
    }
}

/// What the names of a step's half-made files begin with, which nobody can guess.
pub(super) fn fresh_token() -> Result<String, EngineError> {
    let token = Nonce::fresh().map_err(SysError::io("read", "random bytes"))?;
    Ok(token.to_string())
}

/// Looks again at what a step was planned from, except where this run has been itself.
pub(super) fn still_as_planned(
    sys: &dyn Sys,
    task: &Task<'_>,
    ours: impl Fn(&chom_format::HostPath) -> bool,
) -> Result<(), EngineError> {
    for (path, seen) in task.seen.iter().filter(|(path, _)| !ours(path)) {
        if look(sys, path)? != *seen {
            let step: StepId = task.id.clone();
            return Err(EngineError::Stale { step, path: path.clone() });
        }
    }
    Ok(())
}
