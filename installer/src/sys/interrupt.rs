//! Signals that ask the run to stop.
//!
//! They only set a flag, which the engine reads between effects and whoever waits reads while waiting. So
//! no effect is ever cut in two by a signal. Once the host is being put back the flag is shielded: a second
//! Ctrl-C does not leave a half restored host behind.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use nix::sys::signal::{Signal, raise};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::SysError;

static FLAG: OnceLock<Arc<AtomicUsize>> = OnceLock::new();
static SHIELDED: AtomicBool = AtomicBool::new(false);

/// Listens for SIGINT, SIGTERM and SIGHUP from now on. Calling it again does nothing.
pub fn listen() -> Result<(), SysError> {
    if FLAG.get().is_some() {
        return Ok(());
    }
    let flag = Arc::clone(FLAG.get_or_init(|| Arc::new(AtomicUsize::new(0))));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register_usize(signal, Arc::clone(&flag), usize::try_from(signal).unwrap_or(1))
            .map_err(SysError::io("listen for", format!("signal {signal}")))?;
    }
    Ok(())
}

/// The signal that arrived, unless the run is past heeding it.
pub fn pending() -> Option<&'static str> {
    if SHIELDED.load(Ordering::SeqCst) {
        return None;
    }
    let number = FLAG.get()?.load(Ordering::SeqCst);
    [(SIGINT, "SIGINT"), (SIGTERM, "SIGTERM"), (SIGHUP, "SIGHUP")]
        .into_iter()
        .find(|(signal, _)| usize::try_from(*signal) == Ok(number))
        .map(|(_, name)| name)
}

/// An error when a signal arrived; for every loop that waits.
pub fn check() -> Result<(), SysError> {
    pending().map_or(Ok(()), |signal| Err(SysError::Interrupted(signal)))
}

/// From now on signals are noted and not heeded: the host is being put back.
pub fn shield() {
    SHIELDED.store(true, Ordering::SeqCst);
}

/// Signals are heeded again, one that arrived meanwhile included: the host is back, and nothing is half done.
pub fn unshield() {
    SHIELDED.store(false, Ordering::SeqCst);
}

/// Forgets a signal that arrived: the tests of one process interrupt many runs.
#[cfg(test)]
pub(crate) fn forget() {
    if let Some(flag) = FLAG.get() {
        flag.store(0, Ordering::SeqCst);
    }
}

/// Sends ourselves a SIGINT, as a person at the terminal would: a rehearsal of being interrupted.
pub fn rehearse() -> Result<(), SysError> {
    raise(Signal::SIGINT).map_err(|error| SysError::other("raise", "SIGINT", error.desc()))
}
