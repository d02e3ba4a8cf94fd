//! What happens during a run, for a person as a line and for a script as JSON.

use chom_format::StepId;
use chom_format::step::Phase;
use serde::Serialize;

/// Something that happened, or goes on.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event<'a> {
    /// Bytes of the bundle are being read. Told often.
    Reading {
        /// So far.
        done: u64,
        /// In all; none when nobody knows.
        total: Option<u64>,
    },
    /// A transaction has begun.
    Begun {
        /// Its number.
        transaction: u64,
        /// How many steps it will change.
        steps: usize,
    },
    /// A step begins.
    Step {
        /// Which.
        id: &'a StepId,
        /// In which phase.
        phase: Phase,
        /// Its place among the steps that change something, from 1.
        number: usize,
        /// How many those are.
        of: usize,
        /// What it does.
        summary: &'a str,
    },
    /// That step is done.
    Done {
        /// Which.
        id: &'a StepId,
        /// How long it took.
        ms: u64,
    },
    /// The checks are asked. Told often.
    Checks {
        /// Passed by now.
        passed: usize,
        /// In all.
        total: usize,
        /// Those that are not through, with what they miss.
        waiting: &'a [(StepId, String)],
    },
    /// Something is waited for.
    Waiting {
        /// What.
        what: &'a str,
    },
    /// The run turns back. This is the first error.
    Failed {
        /// What happened.
        cause: &'a str,
    },
    /// The host is being put back.
    RollingBack {
        /// Why.
        cause: &'a str,
    },
    /// One resource is back.
    Restored {
        /// Which.
        resource: &'a str,
        /// What became of it.
        outcome: &'a str,
        /// Its place, from 1.
        number: usize,
        /// How many there are.
        of: usize,
        /// Just as it was meant: worth no line for a person.
        #[serde(skip)]
        plain: bool,
    },
    /// Worth knowing.
    Note {
        /// What.
        text: &'a str,
    },
}

impl Event<'_> {
    /// Whether it stands for a moment only: worth a moving line on a terminal, and no line in a log.
    pub(super) fn is_fleeting(&self) -> bool {
        matches!(self, Self::Reading { .. } | Self::Checks { .. } | Self::Restored { plain: true, .. })
    }

    /// How far, for a bar.
    pub(super) fn share(&self) -> Option<(u64, u64)> {
        match self {
            Self::Reading { done, total: Some(total) } => Some((*done, *total)),
            Self::Step { number, of, .. } | Self::Restored { number, of, .. } => {
                Some((*number as u64 - 1, *of as u64))
            }
            Self::Checks { passed, total, .. } => Some((*passed as u64, *total as u64)),
            _ => None,
        }
    }

    /// The event in words.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Reading { done, total: Some(total) } => {
                format!("reading the bundle, {} of {} MiB", done >> 20, total >> 20)
            }
            Self::Reading { done, total: None } => format!("reading the bundle, {} MiB", done >> 20),
            Self::Begun { transaction, steps } => format!("transaction {transaction}: {steps} steps"),
            Self::Step { id, number, of, summary, .. } => format!("{number}/{of} {id}: {summary}"),
            Self::Done { id, ms } => format!("{id} is done ({})", seconds(*ms)),
            Self::Checks { passed, total, waiting } => match waiting.first() {
                Some((id, what)) if !what.is_empty() => {
                    format!("{passed} of {total} checks pass; {id}: {what}")
                }
                _ => format!("{passed} of {total} checks pass"),
            },
            Self::Waiting { what } => format!("waiting for {what}"),
            Self::Failed { cause } => (*cause).to_owned(),
            Self::Note { text } => (*text).to_owned(),
            // The whole error was told before, and is told again at the end.
            Self::RollingBack { cause } => {
                format!("putting the host back: {}", cause.lines().next().unwrap_or_default())
            }
            Self::Restored { resource, outcome, number, of, .. } => {
                format!("{number}/{of} {resource}: {outcome}")
            }
        }
    }
}

fn seconds(ms: u64) -> String {
    format!("{}.{} s", ms / 1000, ms % 1000 / 100)
}
