//! A rehearsal aid: something goes wrong at one effect of this process. What the model of a host is put through in
//! tests, the real program goes through on a real one.
//!
//! Effects are counted from 1 over every door of the process, each of a batch for itself. Nothing is armed unless
//! the command line says so and the environment allows it: no slip of a command line breaks a host.

use std::fmt;
use std::io;
use std::str::FromStr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use chom_format::exit::Explain;
use chom_format::{Exit, HostState};
use nix::sys::signal::{Signal, raise};

use super::{Effect, SysError};

static ARMED: OnceLock<Fault> = OnceLock::new();
static EFFECTS: AtomicU64 = AtomicU64::new(0);

/// What goes wrong, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    kind: Kind,
    at: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It fails, and has not happened.
    Fail,
    /// The same, since the disk is full.
    Full,
    /// The process is killed before it.
    KillBefore,
    /// The process is killed after it.
    KillAfter,
    /// The process stands still before and after it and every later one, until it is told to go on: for whoever keeps
    /// the disk of each moment.
    Walk,
}

const KINDS: [(&str, Kind); 5] = [
    ("fail", Kind::Fail),
    ("full", Kind::Full),
    ("kill-before", Kind::KillBefore),
    ("kill-after", Kind::KillAfter),
    ("walk", Kind::Walk),
];

/// The variable that must be `1` for a fault to be armed.
const ALLOWED: &str = "CHOM_FAULTS";

/// The environment does not allow faults.
#[derive(Debug, thiserror::Error)]
#[error(
    "`--fault` is for tests and rehearsals, and is not allowed here: `{0}` would make this program fail on purpose"
)]
pub struct FaultsForbidden(Fault);

impl Explain for FaultsForbidden {
    fn exit(&self) -> Exit {
        Exit::BadInput
    }

    fn hint(&self) -> Option<String> {
        Some(format!("on a host that may break: set {ALLOWED}=1 in the environment of this command"))
    }

    fn host(&self) -> HostState {
        HostState::Unchanged
    }
}

/// A text that is no fault.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no fault: fail, full, kill-before, kill-after or walk, then @ and the number of an effect")]
pub struct FaultError(String);

impl Fault {
    fn is_at(self, number: u64) -> bool {
        self.at == number || self.kind == Kind::Walk && self.at < number
    }
}

impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = || {
            let (name, at) = text.split_once('@')?;
            let (_, kind) = KINDS.iter().find(|(known, _)| *known == name)?;
            Some(Self { kind: *kind, at: at.parse().ok()? })
        };
        parsed().ok_or_else(|| FaultError(text.to_owned()))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = KINDS.iter().find(|(_, kind)| *kind == self.kind).map_or("", |(name, _)| name);
        write!(f, "{name}@{}", self.at)
    }
}

/// Whether the environment allows faults.
pub fn faults_allowed() -> bool {
    std::env::var_os(ALLOWED).is_some_and(|value| value == "1")
}

/// Lets it happen once its effect comes.
pub fn arm(fault: Fault) -> Result<(), FaultsForbidden> {
    if !faults_allowed() {
        return Err(FaultsForbidden(fault));
    }
    // A second one would be a second command line.
    let _ = ARMED.set(fault);
    Ok(())
}

/// How many effects there were so far.
pub fn effects() -> u64 {
    EFFECTS.load(Ordering::SeqCst)
}

/// One effect comes.
pub(super) fn before(effect: &Effect<'_>) -> Result<Turn, SysError> {
    let number = EFFECTS.fetch_add(1, Ordering::SeqCst) + 1;
    let Some(fault) = ARMED.get().filter(|fault| fault.is_at(number)) else { return Ok(Turn(None)) };
    match fault.kind {
        Kind::Fail => return Err(SysError::Injected(effect.describe())),
        Kind::Full => {
            return Err(SysError::io("write", effect.describe())(io::ErrorKind::StorageFull.into()));
        }
        Kind::KillBefore => send(Signal::SIGKILL),
        Kind::Walk => {
            send(Signal::SIGSTOP);
            return Ok(Turn(Some(Signal::SIGSTOP)));
        }
        Kind::KillAfter => return Ok(Turn(Some(Signal::SIGKILL))),
    }
    Ok(Turn(None))
}

/// The effect in hand, and what this process sends itself after it.
#[must_use]
pub(super) struct Turn(Option<Signal>);

impl Turn {
    /// It has happened.
    pub(super) fn over(self) {
        if let Some(signal) = self.0 {
            send(signal);
        }
    }
}

fn send(signal: Signal) {
    if let Err(error) = raise(signal) {
        log::error!("the fault that was asked for did not happen: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read_and_written() {
        for text in ["fail@1", "full@20", "kill-before@3", "kill-after@4", "walk@5"] {
            assert_eq!(text.parse::<Fault>().unwrap().to_string(), text);
        }
        for text in ["", "fail", "fail@", "fail@x", "kill@3", "@3"] {
            assert!(text.parse::<Fault>().is_err(), "{text}");
        }
    }
}
