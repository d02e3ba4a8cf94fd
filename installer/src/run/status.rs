//! How the host stands: which transactions it knows, whether a run is at work, and whether it is healthy now.

use std::fmt;

use chom_format::{Exit, HostState};
use serde::Serialize;

use super::recorded::unrecorded;
use super::{CheckLine, RunError, Session, WayBack};
use crate::check::Runner;
use crate::journal::{Confirmer, Standing};
use crate::receipt::Receipt;
use crate::sys::bytes_of;
use crate::transaction::{Hold, Holder, TransactionRecord, Unreadable};

/// How the host stands.
#[derive(Debug, Serialize)]
pub struct Status {
    /// Version of this shape.
    pub format: u32,
    /// The exit code.
    pub exit: u8,
    /// The transaction that the host has now.
    pub transaction: Option<Entry>,
    /// How far one can go back.
    pub way_back: Option<WayBack>,
    /// Files and releases of the bundle beside this program that are in place on a host that has no record of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unrecorded: Option<usize>,
    /// Who works on the host at this moment.
    pub running: Option<Holder>,
    /// What waits to be confirmed.
    pub awaiting: Option<Awaiting>,
    /// Transactions that were cut off or are stuck.
    pub unfinished: Vec<Entry>,
    /// The checks of the transaction that stands, asked now.
    pub checks: Vec<CheckLine>,
    /// In words.
    pub host: String,
    #[serde(skip)]
    code: Exit,
}

/// A transaction that waits to be confirmed.
#[derive(Debug, Clone, Serialize)]
pub struct Awaiting {
    /// Which, and until when.
    #[serde(flatten)]
    pub entry: Entry,
    /// How long that is yet.
    pub seconds_left: u64,
}

/// The transactions that the host knows, oldest first.
#[derive(Debug, Serialize)]
pub struct History {
    /// Version of this shape.
    pub format: u32,
    /// One each.
    pub transactions: Vec<Entry>,
    /// How far one can go back.
    pub way_back: Option<WayBack>,
}

/// One transaction.
#[derive(Debug, Clone, Serialize)]
pub struct Entry {
    /// Its number.
    pub id: u64,
    /// Its bundle.
    pub bundle: String,
    /// When it began; `at` is when it came to stand as it does.
    pub begun: String,
    /// Who asked for it.
    pub by: String,
    /// How it stands.
    #[serde(flatten)]
    pub standing: Standing,
    /// Steps that it did.
    pub changed: Vec<String>,
    /// Who confirmed it, when somebody had to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirmed: Option<Confirmer>,
    /// Why it was turned back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
}

impl Entry {
    pub(super) fn of(session: &Session, known: &TransactionRecord) -> Result<Self, RunError> {
        let begin = known.state.begin.clone();
        let path = session.files.of(known.id, "receipt.json")?;
        let parsed = bytes_of(&session.sys, &path)
            .and_then(|bytes| bytes.map(|bytes| Receipt::parse(&bytes)).transpose());
        let receipt = parsed.map_err(|error| Unreadable {
            id: known.id,
            why: error.to_string(),
            remedy: format!("do without, for the journal has what is in it: rm {path}"),
            path,
        })?;
        let done = known.state.done.iter().map(ToString::to_string).collect();
        Ok(Self {
            id: known.id,
            bundle: begin.as_ref().map(|begin| begin.bundle.clone()).unwrap_or_default(),
            begun: begin.as_ref().map(|begin| begin.at.clone()).unwrap_or_default(),
            by: begin.map(|begin| begin.by).unwrap_or_default(),
            standing: known.state.standing.clone(),
            changed: receipt.map_or(done, |receipt| {
                receipt.changes.iter().map(|change| change.summary.clone()).collect()
            }),
            confirmed: known.state.confirmed.clone(),
            cause: known.state.failed.as_ref().map(|(_, cause)| cause.clone()),
        })
    }
}

/// How the host stands. Changes nothing; the checks are asked once each.
pub fn status() -> Result<Status, RunError> {
    let session = Session::for_telling()?;
    let running = Hold::holder(&session.sys, &session.files)?;
    let unfinished = session.unfinished()?;
    let awaiting = session
        .awaiting()?
        .map(|(known, seconds_left)| Entry::of(&session, known).map(|entry| Awaiting { entry, seconds_left }))
        .transpose()?;
    let unfinished: Vec<Entry> = match running {
        // What is open belongs to the run that is at work.
        Some(_) => Vec::new(),
        None => session
            .known
            .iter()
            .filter(|known| unfinished.contains(&known.id))
            .map(|known| Entry::of(&session, known))
            .collect::<Result<_, _>>()?,
    };
    let installed = match session.installed() {
        // What is half done is told first, whatever else is to be said.
        Err(error) if running.is_none() && unfinished.is_empty() => return Err(error.into()),
        installed => installed.ok().flatten(),
    };
    let way_back = WayBack::of(&session);
    let unrecorded = match (&running, &way_back, &installed) {
        (None, None, _) if unfinished.is_empty() => unrecorded(&session),
        _ => None,
    };
    let known = installed.is_some();
    let specs = installed.map(|installed| installed.manifest.checks).unwrap_or_default();
    let reports = if running.is_some() { Vec::new() } else { Runner::new(&session.sys).once(&specs) };
    let red = reports.iter().filter(|report| report.condemns()).count();
    let committed = session.way().committed(&session.known);
    let (code, host) = match (&running, unfinished.is_empty(), committed, red) {
        (Some(_), ..) => (Exit::Busy, "being worked on".to_owned()),
        (None, false, ..) => (Exit::NeedsPerson, "half done: a run was cut off or is stuck".to_owned()),
        (None, true, ..) if awaiting.is_some() => (Exit::AwaitingConfirm, HostState::Exposed.to_string()),
        (None, true, None, _) => (Exit::Done, without_transaction(unrecorded)),
        (None, true, Some(id), _) if !known => (
            Exit::Done,
            format!(
                "as transaction {id} left it, of which nothing is kept; the next installation takes it over"
            ),
        ),
        (None, true, Some(_), 0) => (Exit::Done, "installed and healthy".to_owned()),
        (None, true, Some(_), red) => (Exit::Failed, format!("installed, and {red} check(s) fail")),
    };
    Ok(Status {
        format: 1,
        exit: code.code(),
        transaction: session.standing().map(|known| Entry::of(&session, known)).transpose()?,
        way_back,
        unrecorded,
        running,
        awaiting,
        unfinished,
        checks: reports.iter().map(CheckLine::from).collect(),
        host,
        code,
    })
}

fn without_transaction(unrecorded: Option<usize>) -> String {
    let without = "without a transaction of ours".to_owned();
    match unrecorded {
        None => without,
        Some(found) => format!(
            "{without}, and {found} files and releases of this bundle are in place: /var/lib/chom has lost its record of \
             them; the next installation takes them over"
        ),
    }
}

/// The transactions that the host knows.
pub fn history() -> Result<History, RunError> {
    let session = Session::for_telling()?;
    let transactions =
        session.known.iter().map(|known| Entry::of(&session, known)).collect::<Result<_, _>>()?;
    Ok(History { format: 1, transactions, way_back: WayBack::of(&session) })
}

impl Status {
    /// The exit code.
    pub fn code(&self) -> Exit {
        self.code
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(entry) = &self.transaction {
            writeln!(f, "{entry}")?;
        }
        if let Some(holder) = &self.running {
            writeln!(f, "process {} is {}, for {}", holder.pid, holder.phase, holder.age())?;
        }
        if let Some(Awaiting { entry, seconds_left }) = &self.awaiting {
            writeln!(f, "{entry}, {seconds_left} s left")?;
        }
        self.unfinished.iter().try_for_each(|entry| writeln!(f, "{entry}"))?;
        self.checks.iter().try_for_each(|check| write!(f, "{check}"))?;
        self.way_back.iter().try_for_each(|way_back| write!(f, "{way_back}"))?;
        writeln!(f, "the host is {}", self.host)
    }
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.transactions.is_empty() {
            return writeln!(f, "no transaction was ever begun on this host");
        }
        for entry in &self.transactions {
            writeln!(f, "{entry}")?;
            if let Some(cause) = &entry.cause {
                writeln!(f, "    {}", cause.replace('\n', "\n    "))?;
            }
        }
        self.way_back.iter().try_for_each(|way_back| write!(f, "{way_back}"))
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, bundle, begun, by, changed, .. } = self;
        let standing = match &self.standing {
            Standing::Empty => "did not begin".to_owned(),
            Standing::Open => "was cut off".to_owned(),
            Standing::Exposed { until } => format!("waits to be confirmed until {}", seconds(until)),
            Standing::Committed { at } => format!("stands since {}", seconds(at)),
            Standing::RollingBack { .. } => "is being taken back, or that was cut off".to_owned(),
            Standing::RolledBack { at } => format!("was taken back at {}", seconds(at)),
            Standing::Stuck { conflicts } => format!("needs a person: {}", conflicts.join("; ")),
        };
        write!(f, "{id:>6}  {bundle}  {}  by {by}: {} steps, {standing}", seconds(begun), changed.len())?;
        match &self.confirmed {
            Some(Confirmer { at, by }) => write!(f, ", confirmed by {by} at {}", seconds(at)),
            None => Ok(()),
        }
    }
}

// Nobody reads nanoseconds.
fn seconds(at: &str) -> String {
    match at.split_once('.') {
        Some((whole, _)) => format!("{whole}Z"),
        None => at.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_of_an_entry_stands_twice() {
        let entry = |standing| Entry {
            id: 1,
            bundle: "b".to_owned(),
            begun: "t".to_owned(),
            by: "root".to_owned(),
            confirmed: None,
            standing,
            changed: Vec::new(),
            cause: Some("c".to_owned()),
        };
        for standing in [
            Standing::Open,
            Standing::Exposed { until: "u".to_owned() },
            Standing::Committed { at: "u".to_owned() },
            Standing::RolledBack { at: "u".to_owned() },
            Standing::Stuck { conflicts: Vec::new() },
        ] {
            let text = serde_json::to_string(&entry(standing)).unwrap();
            let keys: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text).unwrap();
            for key in keys.keys() {
                assert_eq!(text.matches(&format!("\"{key}\":")).count(), 1, "{key}: {text}");
            }
        }
    }
}
