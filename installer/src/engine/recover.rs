//! Runs that were cut off, and transactions that are no longer wanted: both are taken back, newest first.

use std::time::Instant;

use chom_format::Digest;

use super::clock::boot_time;
use super::log::Log;
use super::report::{Ending, Report};
use super::{Engine, EngineError, Event, Open};
use crate::journal::{BootTime, Standing, State};
use crate::resource::Resource;
use crate::sys::{Sys, interrupt};
use crate::transaction::{Files, Known, Reserve, list};

/// Whether a transaction can be taken back: every original that it has saved is read and compared, before anything is
/// touched. Whoever recovers a host that is half done does not ask: there, all that can be put back is better than nothing.
pub fn prove_originals(sys: &dyn Sys, files: &Files, known: &Known) -> Result<(), EngineError> {
    let store = files.store(known.id)?;
    let reason = |(object, resource): (Digest, &Resource)| {
        store.prove(sys, &object).err().map(|error| format!("{resource}: {error}"))
    };
    let damaged: Vec<String> = known.objects()?.into_iter().filter_map(reason).collect();
    if damaged.is_empty() { Ok(()) } else { Err(EngineError::Damaged { id: known.id, damaged }) }
}

impl Engine<'_> {
    /// Takes back what a run that was cut off left half done, and what nobody has confirmed in time; a window
    /// that is still open is left alone. Nothing to do is an empty list.
    pub fn recover(&mut self) -> Result<Vec<Report>, EngineError> {
        let now = boot_time(self.sys).unwrap_or_default();
        let reports = self.unfinished(&now)?.into_iter().map(|known| {
            let cause = cause(&known.state, &now);
            self.take_back_known(known, &cause)
        });
        reports.collect()
    }

    /// Transactions that were cut off, newest first, and those whose window is closed. When none is open, what one
    /// that ended may have left goes.
    pub(super) fn unfinished(&mut self, now: &BootTime) -> Result<Vec<Known>, EngineError> {
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
        known.retain(|known| known.state.is_open() && known.state.awaits_ms(now).is_none());
        known.reverse();
        Ok(known)
    }

    /// Takes back the newest transaction that stands, or all of them that are newer than `to`.
    pub fn rollback(&mut self, to: Option<u64>) -> Result<Vec<Report>, EngineError> {
        let known = list(self.sys, &self.files)?;
        // What waits to be confirmed is taken back like what stands: somebody says no.
        let wanted =
            |known: &Known| matches!(known.state.standing, Standing::Exposed { .. }) || known.state.stands();
        if let Some(open) = known.iter().find(|known| known.state.is_open() && !wanted(known)) {
            return Err(EngineError::Unfinished { id: open.id });
        }
        if let Some(id) = to.filter(|id| *id != 0 && !known.iter().any(|known| known.id == *id)) {
            return Err(EngineError::NoSuch { id });
        }
        let standing: Vec<Known> = known.into_iter().filter(wanted).rev().collect();
        let wanted: Vec<Known> = match to {
            Some(id) => standing.into_iter().filter(|known| known.id > id).collect(),
            None => standing.into_iter().take(1).collect(),
        };
        if wanted.is_empty() {
            return Err(EngineError::NothingStands);
        }
        let mut reports = Vec::new();
        for known in wanted {
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
    pub(super) fn reopen(&self, known: Known) -> Result<Open, EngineError> {
        let Known { id, state, journal } = known;
        let log = Log::open(self.sys.root(), &self.files.of(id, "log")?);
        let (store, reserve) = (self.files.store(id)?, Reserve::default());
        Ok(Open { id, journal, state, store, reserve, records: 0, log })
    }

    /// Why nothing may begin while this transaction is open.
    pub(super) fn in_the_way(&self, known: &Known) -> EngineError {
        let now = boot_time(self.sys).unwrap_or_default();
        match known.state.awaits_ms(&now) {
            Some(left) => EngineError::Awaiting { id: known.id, seconds: left.div_ceil(1000) },
            None => EngineError::Unfinished { id: known.id },
        }
    }

    pub(super) fn take_back_known(&mut self, known: Known, cause: &str) -> Result<Report, EngineError> {
        let begun = Instant::now();
        let mut open = self.reopen(known)?;
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
        _ => "the run was cut off".to_owned(),
    }
}
