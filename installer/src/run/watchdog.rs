//! The watchdog: a unit of systemd that watches over one transaction from before its firewall changes until it is
//! settled. It takes back what nobody confirms in time, and what a run leaves that is killed on the way there.
//!
//! It owns nothing and is told nothing: it reads the journal, and changes the host only while it holds the lock,
//! by the same recovery as everybody. So it may be killed, started again, or run twice.

use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use super::session::this_program;
use super::{Outcome, RunError, Session, figures};
use crate::engine::{Engine, time_for};
use crate::journal::Standing;
use crate::sys::{SysError, interrupt};
use crate::transaction::{Busy, Hold, TransactionRecord, load};
use crate::ui::{Progress, Watcher};

/// How often the journal is read.
const LOOK: Duration = Duration::from_millis(500);

/// Watches until the transaction is settled, by whomever.
pub fn watchdog(id: u64, progress: &Progress) -> Result<Outcome, RunError> {
    if !nix::unistd::geteuid().is_root() {
        return Err(RunError::NotRoot);
    }
    // While it only watches, a signal ends it at once: what is left is for the next boot.
    let mut session = Session::new(Path::new("/"))?;
    loop {
        let Some(known) = load(&session.sys, &session.files, id)? else { return Ok(Outcome::nothing()) };
        let pause = match &known.state.standing {
            Standing::Empty | Standing::Committed { .. } | Standing::RolledBack { .. } => {
                return Ok(Outcome::nothing());
            }
            // A person has been told, and decides when it is tried again.
            Standing::Stuck { .. } => return Ok(Outcome::nothing()),
            Standing::Exposed { .. } | Standing::Open | Standing::RollingBack { .. } => {
                open_for(&session, &known)?
            }
        };
        match pause {
            Some(pause) => sleep(pause.min(LOOK)),
            None => match Hold::establish(&mut session.sys, &session.files, "guarding") {
                Ok(hold) => {
                    if let Some(outcome) = take_back(&mut session, &hold, id, progress)? {
                        return Ok(outcome);
                    }
                }
                // A run is at work: it settles the transaction, or ends and leaves it to us.
                Err(Busy::Held(_)) => sleep(LOOK),
                Err(error) => return Err(error.into()),
            },
        }
    }
}

// How long it may still be confirmed.
fn open_for(session: &Session, known: &TransactionRecord) -> Result<Option<Duration>, SysError> {
    let now = time_for(&session.sys, std::slice::from_ref(known))?;
    Ok(known.state.awaits_ms(&now).map(Duration::from_millis))
}

// With the lock held the journal is read again: what was open a moment ago may be exposed or confirmed now.
fn take_back(
    session: &mut Session,
    hold: &Hold,
    id: u64,
    progress: &Progress,
) -> Result<Option<Outcome>, RunError> {
    let Some(known) = load(&session.sys, &session.files, id)? else { return Ok(None) };
    if !known.state.is_open() || open_for(session, &known)?.is_some() {
        return Ok(None);
    }
    interrupt::listen()?;
    let mut watcher = Watcher::new(progress);
    let reports = Engine::new(&mut session.sys, session.files.clone(), hold, &mut watcher)
        .kept_as(this_program())
        .recover()?;
    let Some(last) = reports.last() else {
        return Err(
            SysError::other("take back", format!("transaction {id}"), "it was not found any more").into()
        );
    };
    figures::publish(session, last, false);
    Ok(Some(Outcome::of_all(reports)))
}
