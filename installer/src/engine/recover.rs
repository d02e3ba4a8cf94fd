//! Runs that were cut off, and transactions that are no longer wanted: both are taken back, newest first.

use std::time::Instant;

use chom_format::Digest;

use super::clock::time_for;
use super::log::Log;
use super::report::{Ending, Report};
use super::{Engine, EngineError, Event, Open};
use crate::journal::{BootTime, Standing, State};
use crate::resource::Resource;
use crate::sys::{Sys, interrupt};
use crate::transaction::{Files, Reserve, TransactionRecord, Way, list};

/// Whether a transaction can be taken back: every original that it has saved is read and compared, before anything is
/// touched. Whoever recovers a host that is half done does not ask: there, all that can be put back is better than nothing.
pub fn prove_originals(sys: &dyn Sys, files: &Files, known: &TransactionRecord) -> Result<(), EngineError> {
    let store = files.store(known.id)?;
    let reason = |(object, resource): (Digest, &Resource)| {
        store.prove(sys, &object).err().map(|error| format!("{resource}: {error}"))
    };
    let damaged: Vec<String> = known.objects()?.into_iter().filter_map(reason).collect();
    if damaged.is_empty() { Ok(()) } else { Err(EngineError::Damaged { id: known.id, damaged }) }
}

/// Whether a transaction can be taken back as the host is now: each of its resources is asked, before anything is touched.
pub fn ask_for_obstacles(sys: &dyn Sys, files: &Files, known: &TransactionRecord) -> Result<(), EngineError> {
    let (store, state) = (files.store(known.id)?, &known.state);
    let mut obstacles = Vec::new();
    for (resource, saved) in state.saved.iter().filter(|(resource, _)| state.touched.contains(resource)) {
        obstacles.extend(resource.handler().obstacles(sys, &store, saved, state.after.get(resource))?);
    }
    if obstacles.is_empty() { Ok(()) } else { Err(EngineError::NoWayBack { id: known.id, obstacles }) }
}

impl Engine<'_> {
    /// Takes back what a run that was cut off left half done, and what nobody has confirmed in time; a window
    /// that is still open is left alone. Nothing to do is an empty list.
    pub fn recover(&mut self) -> Result<Vec<Report>, EngineError> {
        let (unfinished, now) = self.unfinished(false)?;
        let reports = unfinished.into_iter().map(|known| {
            let cause = cause(&known.state, &now);
            self.take_back_known(known, &cause)
        });
        reports.collect()
    }

    /// Transactions that were interrupted, newest first, and those whose window is closed, with the time that this was
    /// judged by. When none is open, what one that ended may have left goes. No window is still open while the host comes
    /// up, whatever its clock says.
    pub(super) fn unfinished(
        &mut self,
        coming_up: bool,
    ) -> Result<(Vec<TransactionRecord>, BootTime), EngineError> {
        let mut known = match list(self.sys, &self.files) {
            Ok(known) => known,
            Err(error) => {
                self.say_at_login("a transaction cannot be read, and this host was left alone");
                return Err(error.into());
            }
        };
        if !known.iter().any(|known| known.state.is_open()) {
            // Cut off between a commit and the end of its boot unit.
            self.disarm(known.last().map(|known| &known.state))?;
            self.all_is_well();
        }
        let now = match time_for(self.sys, &known) {
            Err(_) if coming_up => BootTime::default(),
            now => now?,
        };
        known.retain(|known| known.state.is_open() && known.state.awaits_ms(&now).is_none());
        known.reverse();
        Ok((known, now))
    }

    /// Rolls back the newest committed transaction, or all of them that are newer than `to`; none when that is the newest.
    pub fn rollback(&mut self, to: Option<u64>) -> Result<Vec<Report>, EngineError> {
        let known = list(self.sys, &self.files)?;
        let way = Way::of(&known);
        if let Some(open) = known.iter().find(|known| known.state.is_open() && !way.back.contains(&known.id))
        {
            return Err(EngineError::Unfinished { id: open.id });
        }
        let wanted = way.to(to)?;
        let mut reports = Vec::new();
        for known in known.into_iter().rev().filter(|known| wanted.contains(&known.id)) {
            // Between two transactions, where nothing is half done, a wish to stop is heeded.
            interrupt::check()?;
            let report = self.take_back_known(known, "a rollback was asked for")?;
            let stuck = report.ending == Ending::Stuck;
            reports.push(report);
            if stuck {
                break;
            }
        }
        Ok(reports)
    }

    /// A transaction of an earlier process, to be gone on with.
    pub(super) fn reopen(&self, known: TransactionRecord) -> Result<Open, EngineError> {
        let TransactionRecord { id, state, journal } = known;
        let log = Log::open(self.sys.root(), &self.files.of(id, "log")?, id);
        let (store, reserve) = (self.files.store(id)?, Reserve::default());
        Ok(Open { id, journal, state, store, before: None, reserve, records: 0, log })
    }

    /// Why nothing may begin while this transaction is open.
    pub(super) fn in_the_way(&self, known: &TransactionRecord) -> EngineError {
        let left = time_for(self.sys, std::slice::from_ref(known)).map(|now| known.state.awaits_ms(&now));
        match left {
            Ok(Some(left)) => EngineError::Awaiting { id: known.id, seconds: left.div_ceil(1000) },
            Ok(None) => EngineError::Unfinished { id: known.id },
            Err(error) => error.into(),
        }
    }

    pub(super) fn take_back_known(
        &mut self,
        known: TransactionRecord,
        cause: &str,
    ) -> Result<Report, EngineError> {
        let begun = Instant::now();
        let stood = known.state.stands();
        let mut open = self.reopen(known)?;
        if !stood && open.state.sought.is_none() {
            open.before = self.look_from_before(&open).unwrap_or_default();
        }
        if let Err(error) = self.arm(&open) {
            let text = format!("a reboot in the middle of this will not be taken care of: {error}");
            self.tell(&mut open, &Event::Note { text: &text });
        }
        let report = self.take_back(&mut open, cause);
        interrupt::unshield();
        Ok(Report { wanted_back: true, seconds: begun.elapsed().as_secs_f64(), ..report })
    }
}

/// Why a transaction that is open is taken back.
pub(super) fn cause(state: &State, now: &BootTime) -> String {
    match &state.standing {
        Standing::RollingBack { cause } => cause.clone(),
        Standing::Exposed { .. } => {
            let same = state.exposure.as_ref().is_some_and(|exposure| exposure.boot_id == now.boot_id);
            let before = if same { "in time" } else { "before the host was started anew" };
            format!("nobody confirmed it {before}")
        }
        Standing::Stuck { .. } => "what could not be put back is tried again".to_owned(),
        Standing::Empty | Standing::Open | Standing::Committed { .. } | Standing::RolledBack { .. } => {
            "the run was cut off".to_owned()
        }
    }
}
