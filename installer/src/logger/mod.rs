//! Where log records go: to stderr as `-q` and `-v` say, to systemd's journal, and to the log of the transaction that
//! is open. A comfort and not a promise: what cannot be written is left out, and no run stops for it.
//!
//! `journalctl -t chom-install` shows what runs did here, `CHOM_TRANSACTION=7` behind it what one of them did. Events of
//! the engine ([`EVENTS`]) are in the log of their transaction already, and a person sees them as progress: of the three
//! they go to systemd's journal alone.

mod journal;

use std::fmt::Arguments;
use std::fs::File;
use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use log::{Level, LevelFilter, Log, Metadata, Record};

use self::journal::Journal;

/// The target of records that tell an event of a transaction.
pub const EVENTS: &str = "chom_install::events";

/// The transaction that is open in this process, and its log.
static OPEN: Mutex<Option<(u64, Option<File>)>> = Mutex::new(None);

/// How much is said on stderr. Errors and warnings are always said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Talk {
    /// Nothing but errors and warnings.
    Quiet,
    /// What a person wants to know.
    #[default]
    Normal,
    /// Also what a person who looks for a fault wants to know.
    Verbose,
}

/// Whoever writes to stderr: one line at a time, and none into another.
pub trait Stderr: Send + Sync {
    /// One record.
    fn record(&self, level: Level, words: &Arguments<'_>);
}

struct Logger {
    /// None where it is systemd's journal already, which would have each record twice.
    stderr: Option<Arc<dyn Stderr>>,
    journal: Option<Journal>,
    talk: Talk,
}

/// Sends the records of this process to where they belong.
pub fn install(stderr: Arc<dyn Stderr>, talk: Talk) {
    let stderr = (!journal::is_stderr()).then_some(stderr);
    let journal = Journal::open().ok();
    // A second one would be a second main.
    if log::set_boxed_logger(Box::new(Logger { stderr, journal, talk })).is_ok() {
        log::set_max_level(LevelFilter::Debug);
    }
}

/// Records belong to this transaction from now on.
pub(crate) fn transaction_opened(id: u64, log: Option<File>) {
    *OPEN.lock().unwrap_or_else(PoisonError::into_inner) = Some((id, log));
}

/// Records belong to no transaction any more.
pub(crate) fn transaction_closed() {
    *OPEN.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

impl Log for Logger {
    fn enabled(&self, about: &Metadata<'_>) -> bool {
        on_stderr(about, self.talk) || in_journal(about)
    }

    fn log(&self, record: &Record<'_>) {
        let about = record.metadata();
        if let Some(stderr) = self.stderr.as_ref().filter(|_| on_stderr(about, self.talk)) {
            stderr.record(record.level(), record.args());
        }
        if !in_journal(about) {
            return;
        }
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, Some(log))) = open.as_mut().filter(|_| about.target() != EVENTS) {
            let _ = log.write_all(line(record).as_bytes());
        }
        let id = open.as_ref().map(|(id, _)| *id);
        drop(open);
        if let Some(journal) = &self.journal {
            let _ = journal.send(record.level(), id, &record.args().to_string());
        }
    }

    fn flush(&self) {}
}

// Warnings even with `-q`: they are for whoever must act.
fn on_stderr(about: &Metadata<'_>, talk: Talk) -> bool {
    let least = match talk {
        Talk::Quiet | Talk::Normal => Level::Warn,
        Talk::Verbose if is_ours(about) => Level::Debug,
        Talk::Verbose => Level::Info,
    };
    about.target() != EVENTS && about.level() <= least
}

fn in_journal(about: &Metadata<'_>) -> bool {
    about.level() <= if is_ours(about) { Level::Info } else { Level::Warn }
}

fn is_ours(about: &Metadata<'_>) -> bool {
    about.target().starts_with("chom_")
}

fn line(record: &Record<'_>) -> String {
    let label = if record.level() <= Level::Warn { "warning: " } else { "" };
    format!("{} {label}{}\n", jiff::Timestamp::now(), record.args())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_must_act_is_told_and_libraries_talk_little() {
        for (target, level, quiet, normal, verbose, journal) in [
            ("chom_install::run", Level::Error, true, true, true, true),
            ("chom_install::run", Level::Warn, true, true, true, true),
            ("chom_install::run", Level::Info, false, false, true, true),
            ("chom_install::run", Level::Debug, false, false, true, false),
            ("chom_install::sys", Level::Trace, false, false, false, false),
            ("rustls::client", Level::Warn, true, true, true, true),
            ("rustls::client", Level::Info, false, false, true, false),
            ("rustls::client", Level::Debug, false, false, false, false),
            (EVENTS, Level::Warn, false, false, false, true),
            (EVENTS, Level::Debug, false, false, false, false),
        ] {
            let about = Metadata::builder().target(target).level(level).build();
            let got = [Talk::Quiet, Talk::Normal, Talk::Verbose].map(|talk| on_stderr(&about, talk));
            assert_eq!((got, in_journal(&about)), ([quiet, normal, verbose], journal), "{target} {level}");
        }
    }
}
