//! The last step of the way forward, and the only one that can lock its owner out: the firewall.
//!
//! ```text
//! check -> watch -> firewall -> check -> Exposed --- confirmed in time ---> Confirmed: it stands
//!            |          |         |         |
//!            |          '---------'         '-------- the window closes, or the host boots: taken back
//!            '-- the run is killed: the watchdog finds the lock free, and takes it back
//! ```
//!
//! 1. **The watchdog comes first.** Before the first rule changes, a unit of systemd watches over the transaction
//!    (see [`crate::run::watchdog()`]). It needs neither this process nor the bundle nor the connection.
//! 2. **One append decides.** Whoever confirms and whoever takes back holds the lock, reads the journal again,
//!    and appends one record. The other one finds it.
//! 3. **Only what was proved counts.** The word of this exposure, over a connection made since: see
//!    [`crate::caller`].

use std::path::Path;
use std::time::Duration;

use super::boot::keep_program;
use super::clock::boot_time;
use super::confirm::{ConfirmError, Confirmation};
use super::forward::Stop;
use super::report::{Ending, Failure, Report};
use super::request::Window;
use super::{Engine, EngineError, Event, Open};
use crate::journal::{Exposure, Record, Standing};
use crate::sys::{Command, Effect, SysError};
use crate::transaction::{TransactionRecord, list};

/// Transactions that are kept, when the run that knew it is gone.
const KEEP: usize = 5;

impl Engine<'_> {
    /// Lets a unit of systemd watch over this transaction from now on.
    pub(super) fn watch(&mut self, open: &mut Open) -> Result<(), SysError> {
        // A directory that is treated as if it were a host has no systemd.
        if self.sys.root() != Path::new("/") {
            return Ok(());
        }
        let program = self.files.program()?;
        if let Some(bytes) = self.program.as_deref() {
            keep_program(self.sys, &program, bytes)?;
        }
        let output = self.sys.effect(&Effect::Run(&watchdog(open.id, program.as_str())))?;
        if !output.success() {
            let why = format!("systemd-run ended with {}: {}", output.code, output.complaint());
            return Err(SysError::other("guard", format!("transaction {}", open.id), why));
        }
        let text = format!("chom-guard-{:06} watches over transaction {}", open.id, open.id);
        self.tell(open, &Event::Note { text: &text });
        Ok(())
    }

    /// Ends the watch over a transaction that is settled. The watchdog would see it by itself a moment later.
    pub(super) fn unwatch(&mut self, open: &mut Open) {
        if self.sys.root() != Path::new("/") {
            return;
        }
        let unit = format!("chom-guard-{:06}.service", open.id);
        let command = Command::new(["systemctl", "stop", "--quiet", unit.as_str()]);
        if let Err(error) = self.sys.effect(&Effect::Run(&command)) {
            self.tell(open, &Event::Note { text: &format!("{unit} still watches: {error}") });
        }
    }

    /// Opens the window. From this append on the transaction no longer needs the process that runs it.
    pub(super) fn open_window(&mut self, open: &mut Open, window: &Window) -> Result<(), Stop> {
        let now = boot_time(self.sys)?;
        let within = u64::try_from(window.within.as_millis()).unwrap_or(u64::MAX);
        let exposure = Exposure {
            deadline_ms: now.ms.saturating_add(within),
            at_ms: now.ms,
            boot_id: now.boot_id,
            until: (jiff::Timestamp::now() + window.within).to_string(),
            nonce: window.nonce,
            connection: window.connection.clone(),
        };
        open.note(self.sys, &Record::Exposed { exposure })?;
        let id = open.id;
        self.tell(open, &Event::Exposed { id, within: window.within });
        Ok(())
    }

    /// Confirms an exposure. One that is confirmed already is told as what it is: whoever asks again has lost the
    /// answer. One whose window is closed is taken back, which the report says.
    pub fn confirm(&mut self, asked: &Confirmation<'_>) -> Result<Report, ConfirmError> {
        let known = list(self.sys, &self.files).map_err(EngineError::from)?;
        let known = known
            .into_iter()
            .find(|known| known.id == asked.id)
            .ok_or(ConfirmError::NoSuch { id: asked.id })?;
        let now = boot_time(self.sys).map_err(EngineError::from)?;
        let exposure = asked.admit(&known.state)?;
        if let Standing::Committed { .. } = known.state.standing {
            let open = self.reopen(known)?;
            return Ok(Report { ending: Ending::Committed, ..open.report() });
        }
        if exposure.left_ms(&now).is_none() {
            let message = format!("the confirmation of transaction {} came too late", known.id);
            return Ok(self.give_up(known, "nobody confirmed it in time", message)?);
        }
        asked.caller.proves(&exposure, &now).map_err(|why| ConfirmError::Proofless {
            id: asked.id,
            nonce: asked.nonce.clone(),
            why,
        })?;
        let mut open = self.reopen(known)?;
        let at = jiff::Timestamp::now().to_string();
        let by = asked.by.to_owned();
        open.note(self.sys, &Record::Confirmed { at, by }).map_err(EngineError::from)?;
        let id = open.id;
        self.tell(&mut open, &Event::Committed { id });
        self.unwatch(&mut open);
        self.tidy(&mut open, KEEP);
        Ok(Report { ending: Ending::Committed, ..open.report() })
    }

    /// Takes an exposure back that somebody on the terminal did not want, or did not answer for. One that was
    /// settled meanwhile is told as what it is.
    pub fn decline(&mut self, id: u64) -> Result<Report, ConfirmError> {
        let known = list(self.sys, &self.files).map_err(EngineError::from)?;
        let known = known.into_iter().find(|known| known.id == id).ok_or(ConfirmError::NoSuch { id })?;
        let message = format!("transaction {id} was not confirmed");
        let ending = match &known.state.standing {
            Standing::Exposed { .. } => return Ok(self.give_up(known, "it was not confirmed", message)?),
            Standing::Committed { .. } => Ending::Committed,
            Standing::RolledBack { .. } => Ending::Restored,
            Standing::Empty | Standing::Open | Standing::RollingBack { .. } | Standing::Stuck { .. } => {
                Ending::Stuck
            }
        };
        let open = self.reopen(known)?;
        let failure = (ending != Ending::Committed).then_some(Failure { step: None, message, hint: None });
        let (proof, exceptions) = (open.state.proof.clone(), open.state.exceptions.clone());
        Ok(Report { ending, failure, proof, exceptions, ..open.report() })
    }

    fn give_up(
        &mut self,
        known: TransactionRecord,
        cause: &str,
        message: String,
    ) -> Result<Report, EngineError> {
        let report = self.take_back_known(known.clone(), cause)?;
        let mut open = self.reopen(known)?;
        self.unwatch(&mut open);
        let failure = Some(Failure { step: None, message, hint: None });
        Ok(Report { wanted_back: false, failure, ..report })
    }
}

// `exec`: systemd-run comes back when the watchdog runs, or with the reason why it cannot. A watchdog that is killed is
// started again; one that needs a person is not.
fn watchdog(id: u64, program: &str) -> Command {
    let unit = format!("--unit=chom-guard-{id:06}");
    let what = format!("--description=Takes transaction {id} back unless it is confirmed");
    let number = id.to_string();
    let mut argv = vec!["systemd-run", "--quiet", "--collect", &unit, &what];
    for property in [
        "--property=Type=exec",
        "--property=Restart=on-failure",
        "--property=RestartSec=3",
        "--property=RestartPreventExitStatus=5",
        "--property=OOMScoreAdjust=-900",
    ] {
        argv.push(property);
    }
    argv.extend(["--", program, "guard", &number]);
    Command::new(argv).timeout(Duration::from_secs(30))
}
