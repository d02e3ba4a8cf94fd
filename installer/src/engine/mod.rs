//! The engine: runs a plan as a transaction that stands or leaves no trace.
//!
//! ```text
//!          begin ----------> step ... step ---> check ---> expose ... ---> check ---> commit
//!            |                 |                  |            |             |
//!  refused:  |                 '------------------'-- turn back --'----------'
//!  nothing   |                                         |
//!  happened  v                     quiesce units, restore in reverse, listings, prove
//!                                                      |
//!                                          as before, proved  |  stuck, each conflict named
//! ```
//!
//! Before the commit stands, where the plan changes the firewall, a window for confirming: see the module `expose`.
//!
//! It is generic over steps and resources. A step can only go forward: it names what it will touch and
//! applies. A resource can only be put back: it saves itself and restores. Between the two stands this
//! module, with a few rules that make any combination of them safe:
//!
//! 1. **The plan is a contract.** What the plan saw is looked at again before the first effect, and before
//!    each step wherever this run has not been itself. A difference ends the run.
//! 2. **Saved before touched, announced before done.** Each resource is saved once, its original durable,
//!    before the first step that may touch it; each step is announced before its first effect. The units
//!    are saved before everything, so that they are restored after everything.
//! 3. **Nothing is touched beside.** For every path the engine adds the listing of its directory, and the
//!    parents that are missing, as resources of their own.
//! 4. **Backward is one path.** An error, a signal, a failed check, a rollback asked for, and the recovery of
//!    a killed run are the same code, driven by the journal's state alone. It never needs the bundle, the
//!    network or new disk space, and it can be cut off and begun again at any point.
//! 5. **Said only when read.** After a restore every resource is read again. Either all are as saved, and the
//!    fingerprints are the proof, or each difference is a named conflict.
//! 6. **A reboot in the middle is no way out.** From before the first step until after the end a boot unit with
//!    a copy of this program waits for one ([`boot`]); what is on the disk comes back before the network does.
//! 7. **The first error is told first**, before anything is put back, so that no second one can hide it.
//!
//! Signals are heeded between effects, see [`crate::sys::interrupt`], until the way back begins.

// A kind that is new must be thought of wherever kinds are told apart.
#![cfg_attr(not(test), deny(clippy::wildcard_enum_match_arm))]

mod backward;
mod begin;
mod boot;
mod cancellable;
mod clock;
mod confirm;
mod early;
mod error;
mod event;
mod expose;
mod forward;
mod log;
mod notice;
mod prove;
mod recover;
mod report;
mod request;
mod seek;
mod touch;

#[cfg(test)]
mod tests;

pub use boot::keep_program;
pub use clock::{boot_time, time_for};
pub use confirm::{ConfirmError, Confirmation};
pub use error::EngineError;
pub use event::{Event, Observer, Silent};
pub use notice::tell_at_login;
pub use recover::{ask_for_obstacles, prove_originals};
pub use report::{Ending, Failure, Report, RunFailed};
pub use request::{Checks, ManifestChecks, Options, Position, Task, TransactionRequest, Window};

use crate::journal::{Journal, JournalError, Record, State};
use crate::resource::{Look, Resource, Store};
use crate::sys::Sys;
use crate::transaction::{Files, Hold, Reserve};

/// What the way back notes of one resource, beside its name.
const RECORDS_OF_ONE: u64 = 2 << 10;
/// What it notes once: causes, and what others have changed.
const RECORDS_OF_ALL: u64 = 256 << 10;

/// The manager reads all unit files of the host again.
const MANAGER: std::time::Duration = std::time::Duration::from_secs(90);

/// Runs transactions on one host.
pub struct Engine<'a> {
    sys: &'a mut dyn Sys,
    files: Files,
    hold: &'a Hold,
    observer: &'a mut (dyn Observer + 'a),
    /// What is kept on the host for a reboot in the middle.
    program: Option<Vec<u8>>,
}

/// A transaction that is being worked on.
struct Open {
    id: u64,
    journal: Journal,
    state: State,
    store: Store,
    /// What was there before the first effect; none when nothing runs that could change it unseen.
    before: Option<Look>,
    /// Space that is kept for the way back.
    reserve: Reserve,
    /// Bytes that the records of the way back may take.
    records: u64,
    log: log::Log,
}

impl<'a> Engine<'a> {
    /// An engine for the host that is held.
    pub fn new(
        sys: &'a mut dyn Sys,
        files: Files,
        hold: &'a Hold,
        observer: &'a mut (dyn Observer + 'a),
    ) -> Self {
        Self { sys, files, hold, observer, program: None }
    }

    /// The same, with the bytes of the program that is to go on when the host comes up in the middle of a
    /// transaction. Without it the next command by hand does.
    #[must_use]
    pub fn kept_as(mut self, program: Option<Vec<u8>>) -> Self {
        self.program = program;
        self
    }

    /// Tells the observer and the transaction's log.
    fn tell(&mut self, open: &mut Open, event: &Event<'_>) {
        open.log.write(event);
        self.observer.event(event);
    }
}

impl Open {
    /// Keeps room in the journal for what will be noted of one more resource on the way back: how it went,
    /// twice, and the proof or what is in the way.
    fn room_for(&mut self, resource: &Resource) {
        let named = serde_json::to_vec(resource).map_or(0, |bytes| bytes.len() as u64);
        self.records += RECORDS_OF_ONE + 4 * named;
        self.journal.keep_free(RECORDS_OF_ALL + self.records);
    }

    /// Temporary names are those that the journal has announced.
    fn announce(&self, sys: &mut dyn Sys) {
        self.state.tokens.iter().for_each(|token| sys.announce(token));
    }

    /// Notes a record; it is durable and part of the state when this returns.
    fn note(&mut self, sys: &mut dyn Sys, record: &Record) -> Result<(), JournalError> {
        self.journal.append(sys, record)?;
        self.state.apply(record);
        Ok(())
    }
}
