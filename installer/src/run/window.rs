//! Whether a run waits to be confirmed, by whom, and what it does meanwhile.
//!
//! | the run | who confirms |
//! |---|---|
//! | leaves the firewall as it is, or `--no-confirm` | nobody: it is committed |
//! | over ssh, or `--detach` | whoever made it, over another connection: the run ends with 7 |
//! | on a terminal of the host | whoever sits there: a question with a countdown |
//! | by a program of the host | nobody: it would else always take itself back |

use std::time::Duration;

use chom_format::step::Phase;

use super::detach::Ticket;
use super::install::Consent;
use super::{Outcome, RunError, Session, Waiting, confirm};
use crate::caller::Caller;
use crate::engine::Window;
use crate::nonce::Nonce;
use crate::plan::Plan;
use crate::sys::SysError;
use crate::ui::{Event, Progress};

const NOBODY: &str =
    "nobody is here to confirm the firewall, neither over ssh nor on a terminal: it is not waited for";

/// Who confirms a changed firewall.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirming {
    /// Nobody: it is committed at once.
    pub skip: bool,
    /// For how long that is waited for.
    pub within: Duration,
}

impl Default for Confirming {
    fn default() -> Self {
        Self { skip: false, within: Duration::from_secs(120) }
    }
}

/// The window that a run will open.
pub(super) struct Opened {
    /// As the engine wants it.
    pub(super) window: Window,
    nonce: Nonce,
    /// Somebody sits at the host, and is asked.
    ask: bool,
}

impl Confirming {
    /// The window that this run needs, if it needs one.
    pub(super) fn window(
        &self,
        plan: &Plan,
        ticket: Option<&Ticket>,
        progress: &Progress,
    ) -> Result<Option<Opened>, RunError> {
        let exposes = plan.effects().iter().any(|(planned, _)| planned.phase == Phase::Expose);
        if self.skip || !exposes {
            return Ok(None);
        }
        let caller = Caller::of_this_process();
        let (connection, nonce, ask) = match ticket {
            Some(ticket) => (ticket.connection.clone(), ticket.nonce()?, false),
            None if caller.connection.is_none() && !caller.terminal => {
                progress.show(&Event::Note { text: NOBODY });
                return Ok(None);
            }
            None => {
                let ask = caller.connection.is_none();
                (caller.connection, fresh()?, ask)
            }
        };
        let window = Window { within: self.within, nonce: nonce.digest(), connection };
        Ok(Some(Opened { window, nonce, ask }))
    }
}

impl Opened {
    /// What the run does once it is exposed: it asks who sits there, or it ends, and says how to confirm.
    pub(super) fn wait(
        &self,
        session: &Session,
        id: u64,
        mut outcome: Outcome,
        consent: &dyn Consent,
        progress: &Progress,
    ) -> Result<Outcome, RunError> {
        let waiting = Waiting::of(session, id, &self.nonce)?;
        if !self.ask {
            outcome.confirm = Some(waiting);
            return Ok(outcome);
        }
        progress.pause();
        let left = || {
            let now = Waiting::of(session, id, &self.nonce).ok()?;
            Some(now.seconds_left).filter(|left| *left > 0)
        };
        let kept = consent.agree_to_expose(&waiting, &left);
        let mut ended = confirm::settle(id, &self.nonce, kept, progress)?;
        (ended.checks, ended.effects, ended.seconds) = (outcome.checks, outcome.effects, outcome.seconds);
        Ok(ended)
    }
}

/// A word that was never used.
pub(super) fn fresh() -> Result<Nonce, SysError> {
    Nonce::fresh().map_err(SysError::io("read", "/dev/urandom"))
}
