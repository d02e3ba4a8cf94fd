//! One deployment to its end: asks the host again and again, confirms when it waits for that, and reports what it
//! said.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use chom_format::Exit;
use serde::Serialize;
use serde_json::Value;

use super::error::{DeployError, exit_of};
use super::target::{Place, Target};

const PAUSE: Duration = Duration::from_secs(1);

/// What the installer is told beside the bundle.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Terms {
    /// Let a changed firewall stand at once.
    pub no_confirm: bool,
    /// Seconds to confirm in; the installer's own if none.
    pub confirm_within: Option<u64>,
    /// Further words for the installer.
    pub further: Vec<String>,
}

/// How long a host that does not answer is asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience(pub Duration);

/// A deployment that stands.
#[derive(Debug, Clone, Serialize)]
pub struct Deployed {
    /// The host.
    pub host: String,
    /// Its transaction; none when there was nothing to do.
    pub transaction: Option<u64>,
    /// Whether it was confirmed over a fresh connection.
    pub confirmed: bool,
    /// The state that the host is in, in its words.
    pub state: String,
    /// What it said last.
    pub said: Value,
}

/// Uploads, installs, confirms. `tell` hears what happens.
pub fn deploy(
    target: &Target<'_>,
    tarball: &Path,
    terms: &Terms,
    patience: Patience,
    tell: &dyn Fn(&str),
) -> Result<Deployed, DeployError> {
    tell("uploading");
    let place = target.upload(tarball)?;
    tell("verified there; the host installs by itself from here on");
    let begun = target.install(&place, &terms.words());
    let ended = begun.and_then(|begun| Run { target, place: &place, patience, tell }.follow(&begun));
    // A run that may still be at work reads from there.
    if matches!(ended, Ok(_) | Err(DeployError::Refused { .. }))
        && let Err(error) = target.remove(&place)
    {
        tell(&format!("the bundle stays at {}: {error}", place.folder));
    }
    ended
}

impl Terms {
    fn words(&self) -> Vec<String> {
        let mut words = self.further.clone();
        words.extend(self.no_confirm.then(|| "--no-confirm".to_owned()));
        words.extend(self.confirm_within.map(|seconds| format!("--confirm-within={seconds}")));
        words
    }
}

struct Run<'a> {
    target: &'a Target<'a>,
    place: &'a Place,
    patience: Patience,
    tell: &'a dyn Fn(&str),
}

impl Run<'_> {
    fn follow(&self, begun: &Value) -> Result<Deployed, DeployError> {
        let Some(id) = begun.get("transaction").and_then(Value::as_u64) else {
            return Ok(self.deployed(None, false, begun));
        };
        let nonce = begun.pointer("/detached/nonce").and_then(Value::as_str).unwrap_or_default();
        (self.tell)(&format!("transaction {id} has begun"));
        let mut last = text(begun, "/host");
        let mut confirmed = false;
        let mut told = String::new();
        loop {
            let said = self.ask(id, &last)?;
            self.ours(id, &said)?;
            last = text(&said, "/host");
            if last != told {
                (self.tell)(&last);
                told.clone_from(&last);
            }
            match exit_of(said.get("exit").and_then(Value::as_u64).unwrap_or(1)) {
                Exit::Done => return Ok(self.deployed(Some(id), confirmed, &said)),
                Exit::AwaitingConfirm if !confirmed => confirmed = self.confirm(id, nonce),
                Exit::AwaitingConfirm | Exit::Busy => {}
                _ => return Err(self.failed(&said)),
            }
            sleep(PAUSE);
        }
    }

    // Between the beginning and its unit another run may have taken the number.
    fn ours(&self, id: u64, said: &Value) -> Result<(), DeployError> {
        let theirs = said.get("bundle").and_then(Value::as_str).filter(|bundle| *bundle != self.place.name());
        theirs.map_or(Ok(()), |bundle| {
            Err(DeployError::Overtaken { host: self.target.name(), id, bundle: bundle.to_owned() })
        })
    }

    // A confirmation whose answer is lost may have counted: what the host says next tells.
    fn confirm(&self, id: u64, nonce: &str) -> bool {
        (self.tell)("confirming over a fresh connection");
        match self.target.confirm(id, nonce) {
            Ok(said) => match self.target.refusal(&said) {
                None => true,
                Some(refused) => {
                    (self.tell)(&format!("it was not taken: {refused}"));
                    false
                }
            },
            Err(error) => {
                (self.tell)(&format!("no answer to it: {}", chain(&error)));
                false
            }
        }
    }

    fn ask(&self, id: u64, last: &str) -> Result<Value, DeployError> {
        let since = Instant::now();
        let mut quiet = true;
        loop {
            match self.target.status(self.place, id) {
                Ok(said) => return Ok(said),
                Err(error) if since.elapsed() >= self.patience.0 => {
                    let (host, last) = (self.target.name(), last.to_owned());
                    return Err(DeployError::Unknown { host, id, last, source: Box::new(error) });
                }
                Err(error) => {
                    if std::mem::take(&mut quiet) {
                        (self.tell)(&format!("no answer, asking again: {}", chain(&error)));
                    }
                }
            }
            sleep(PAUSE);
        }
    }

    // What the unit has printed says more than the journal does: the hint, and the reason of a refusal.
    fn failed(&self, said: &Value) -> DeployError {
        let outcome = said.get("outcome").filter(|outcome| outcome.pointer("/error/message").is_some());
        let told = outcome.and_then(|outcome| self.target.refusal(outcome));
        let now = self.target.refusal(said);
        match (told, now) {
            (
                Some(DeployError::Refused { message, hint, exit: then, state: before, host }),
                Some(DeployError::Refused { exit, state, .. }),
            ) => {
                // Of a run that never began its own word is the last.
                let began = exit != Exit::Failed;
                let (exit, state) = if began { (exit, state) } else { (then, before) };
                DeployError::Refused { host, exit, message, hint, state }
            }
            (Some(refused), _) | (None, Some(refused)) => refused,
            (None, None) => self.target.answer("tell how it ended", &said.to_string()),
        }
    }

    fn deployed(&self, transaction: Option<u64>, confirmed: bool, said: &Value) -> Deployed {
        let state = text(said, "/host");
        Deployed { host: self.target.name(), transaction, confirmed, state, said: said.clone() }
    }
}

fn text(said: &Value, at: &str) -> String {
    said.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn chain(error: &DeployError) -> String {
    let source = std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
    format!("{error}{source}")
}
