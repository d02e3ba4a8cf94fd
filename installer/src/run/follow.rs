//! How one transaction stands, for whoever waits for it from afar: read from the journal, from systemd and from
//! what its unit has said, never from what somebody remembers.

use std::fmt;
use std::io::{Read as _, Seek as _, SeekFrom};

use chom_format::{Exit, HostState};
use serde::Serialize;
use serde_json::Value;

use super::{RunError, Session};
use crate::engine::boot_time;
use crate::journal::Standing;
use crate::sys::{Access, Command, Sys as _, open_own};
use crate::transaction::{Hold, Holder};

/// The end of what a unit has said holds its outcome.
const TAIL: u64 = 256 << 10;

/// How one transaction stands.
#[derive(Debug, Clone, Serialize)]
pub struct Followed {
    /// Version of this shape.
    pub format: u32,
    /// The exit code: 0 it stands, 7 it waits to be confirmed, 6 it is at work, 4 it was taken back, 5 it needs a
    /// person, 1 it did not begin.
    pub exit: u8,
    /// Which.
    pub transaction: u64,
    /// Its bundle, once it has begun.
    pub bundle: Option<String>,
    /// As its journal has it.
    #[serde(flatten)]
    pub standing: Standing,
    /// Whether a process is at work on it.
    pub at_work: bool,
    /// How long it may still be confirmed.
    pub seconds_left: Option<u64>,
    /// What works on the host at this moment.
    pub running: Option<Holder>,
    /// Why it was turned back.
    pub cause: Option<String>,
    /// The outcome that its unit has printed, when it was one.
    pub outcome: Option<Value>,
    /// In words.
    pub host: String,
    #[serde(skip)]
    code: Exit,
}

/// How this transaction stands. Changes nothing, and asks no check.
pub fn follow(id: u64) -> Result<Followed, RunError> {
    let session = Session::for_telling()?;
    let running = Hold::holder(&session.sys, &session.files)?;
    let at_work = running.is_some() || is_active(&session, id);
    // Read after who works: what ended in between is then seen as ended.
    let known = crate::transaction::load(&session.sys, &session.files, id)?;
    let now = boot_time(&session.sys)?;
    let seconds_left =
        known.as_ref().and_then(|known| known.state.awaits_ms(&now)).map(|ms| ms.div_ceil(1000));
    let state = known.map(|known| known.state).unwrap_or_default();
    let (code, host) = match (&state.standing, at_work) {
        (Standing::Committed { .. }, _) => (Exit::Done, "installed".to_owned()),
        (Standing::Exposed { .. }, _) if seconds_left.is_some() => {
            (Exit::AwaitingConfirm, HostState::Exposed.to_string())
        }
        (Standing::RolledBack { .. }, _) => (Exit::Restored, HostState::Restored.to_string()),
        (Standing::Stuck { conflicts }, _) => {
            (Exit::NeedsPerson, HostState::Mixed(conflicts.clone()).to_string())
        }
        (Standing::Exposed { .. }, _) => (Exit::Busy, "about to be put back".to_owned()),
        (Standing::Empty, true) => (Exit::Busy, "being looked at".to_owned()),
        (_, true) => (Exit::Busy, "being worked on".to_owned()),
        (Standing::Empty, false) => (Exit::Failed, HostState::Unchanged.to_string()),
        (_, false) => (Exit::NeedsPerson, "half done: the run was cut off".to_owned()),
    };
    Ok(Followed {
        format: 1,
        exit: code.code(),
        transaction: id,
        bundle: state.begin.map(|begin| begin.bundle),
        at_work,
        seconds_left,
        running,
        cause: state.failed.map(|(_, cause)| cause),
        standing: state.standing,
        outcome: outcome(&session, id),
        host,
        code,
    })
}

fn is_active(session: &Session, id: u64) -> bool {
    let units = [format!("chom-install-{id:06}.service"), format!("chom-guard-{id:06}.service")];
    let argv = ["systemctl", "is-active", "--quiet"].into_iter().map(str::to_owned).chain(units);
    // It succeeds when one of them is.
    session.sys.ask(&Command::new(argv)).is_ok_and(|output| output.success())
}

// The last line that is an outcome: events have no exit code.
fn outcome(session: &Session, id: u64) -> Option<Value> {
    let path = session.files.said(id).ok()?;
    let mut file = open_own(session.sys.root(), &path, Access::Read).ok()??;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL))).ok()?;
    let mut text = Vec::new();
    file.take(TAIL).read_to_end(&mut text).ok()?;
    let text = String::from_utf8_lossy(&text);
    let parse = |line: &str| serde_json::from_str::<Value>(line).ok();
    text.lines().rev().filter_map(parse).find(|said| said.get("exit").is_some())
}

impl Followed {
    /// The exit code.
    pub fn code(&self) -> Exit {
        self.code
    }
}

impl fmt::Display for Followed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = self.outcome.as_ref().and_then(|outcome| outcome.pointer("/error/message")?.as_str());
        if let Some(cause) = self.cause.as_deref().or(said) {
            writeln!(f, "{cause}")?;
        }
        if let Some(left) = self.seconds_left {
            writeln!(f, "{left} s are left to confirm it")?;
        }
        writeln!(f, "transaction {}: the host is {}", self.transaction, self.host)
    }
}
