//! The confirmation of a changed firewall: somebody says, over a connection made since, that the host is still
//! within reach.

use std::fmt;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::session::{this_program, who};
use super::{Outcome, RunError, Session, figures};
use crate::caller::Caller;
use crate::engine::{ConfirmError, Confirmation, Ending, Engine};
use crate::journal::Standing;
use crate::nonce::Nonce;
use crate::transaction::{Busy, Hold};
use crate::ui::{Progress, Watcher};

/// The run that has exposed the host may still be tidying up.
const PATIENCE: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(100);

/// How an exposed transaction is to be confirmed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Waiting {
    /// Which.
    pub transaction: u64,
    /// The word to be brought.
    pub nonce: String,
    /// Until when, by the wall clock, RFC 3339.
    pub until: String,
    /// How long that is yet.
    pub seconds_left: u64,
    /// The command that confirms, to be run over a fresh connection.
    pub command: String,
}

impl Waiting {
    /// As the journal has it now; over when it waits no longer.
    pub(super) fn of(session: &Session, id: u64, nonce: &Nonce) -> Result<Self, RunError> {
        let known = crate::transaction::load(&session.sys, &session.files, id)?;
        let now = crate::engine::boot_time(&session.sys)?;
        let left = known.as_ref().and_then(|known| known.state.awaits_ms(&now)).unwrap_or(0);
        let exposure = known.and_then(|known| known.state.exposure);
        let program = session.files.program()?;
        Ok(Self {
            transaction: id,
            nonce: nonce.to_string(),
            until: exposure.map(|exposure| exposure.until).unwrap_or_default(),
            seconds_left: left.div_ceil(1000),
            command: format!("{program} confirm {id} --nonce {nonce}"),
        })
    }
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { transaction, seconds_left, command, .. } = self;
        writeln!(
            f,
            "transaction {transaction} is waiting for confirm: {seconds_left} s, then it is taken back"
        )?;
        writeln!(f, "log in once more, over a new connection, and run: {command}")
    }
}

/// Confirms. What comes too late is taken back here and now.
pub fn confirm(id: u64, nonce: &Nonce, progress: &Progress) -> Result<Outcome, RunError> {
    let mut session = Session::for_change()?;
    let known = session.known.iter().find(|known| known.id == id).ok_or(ConfirmError::NoSuch { id })?;
    // Its run holds the host for as long as it takes: that is not waited for.
    if known.state.standing == Standing::Open {
        return Err(ConfirmError::NotYet { id }.into());
    }
    let hold = take(&mut session)?;
    let (caller, by) = (Caller::of_this_process(), who());
    let mut watcher = Watcher::new(progress);
    let report = Engine::new(&mut session.sys, session.files.clone(), &hold, &mut watcher)
        .kept_as(this_program())
        .confirm(&Confirmation { id, nonce, caller: &caller, by: &by })?;
    figures::publish(&mut session, &report, false);
    if report.ending == Ending::Committed {
        session.remember();
    }
    Ok(Outcome::of(report))
}

/// What a person on the terminal of the host has said, or has not.
pub(super) fn settle(id: u64, nonce: &Nonce, kept: bool, progress: &Progress) -> Result<Outcome, RunError> {
    if kept {
        return confirm(id, nonce, progress);
    }
    let mut session = Session::for_change()?;
    let hold = take(&mut session)?;
    let mut watcher = Watcher::new(progress);
    let report = Engine::new(&mut session.sys, session.files.clone(), &hold, &mut watcher)
        .kept_as(this_program())
        .decline(id)?;
    figures::publish(&mut session, &report, false);
    Ok(Outcome::of(report))
}

fn take(session: &mut Session) -> Result<Hold, RunError> {
    let begun = Instant::now();
    loop {
        match Hold::establish(&mut session.sys, &session.files, "confirming") {
            Err(Busy::Held(_)) if begun.elapsed() < PATIENCE => sleep(PAUSE),
            taken => return Ok(taken?),
        }
    }
}
