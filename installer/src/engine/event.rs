//! What the engine tells while it runs. Whoever shows it decides how; nothing depends on being heard.

use std::fmt;
use std::time::Duration;

use chom_format::StepId;
use chom_format::step::Phase;

use crate::check::{Progress, Report as CheckReport};
use crate::resource::{Resource, Restored};

/// One thing that happened or is about to.
#[derive(Debug, Clone)]
pub enum Event<'a> {
    /// A transaction begins.
    Begun {
        /// Its number.
        id: u64,
        /// Of which bundle.
        bundle: &'a str,
        /// How many steps it has.
        steps: usize,
    },
    /// An original is copied to the store.
    Saving {
        /// Of what.
        resource: &'a Resource,
    },
    /// A step begins.
    StepBegun {
        /// Counted from 1.
        number: usize,
        /// How many there are.
        total: usize,
        /// Which.
        step: &'a StepId,
        /// In which phase.
        phase: Phase,
        /// What it does.
        summary: &'a str,
    },
    /// A step is through.
    StepDone {
        /// Which.
        step: &'a StepId,
        /// Effects that it had.
        effects: u64,
        /// How long it took.
        took: Duration,
    },
    /// The checks are being asked.
    Checking {
        /// How far they are.
        progress: &'a Progress,
    },
    /// A check has ended.
    Checked {
        /// How.
        report: &'a CheckReport,
    },
    /// The transaction stands.
    Committed {
        /// Its number.
        id: u64,
    },
    /// The host is exposed, and waits to be confirmed.
    Exposed {
        /// Which transaction.
        id: u64,
        /// For so long.
        within: Duration,
    },
    /// The run turns back. This is the first error.
    Failed {
        /// Where, when it was a step.
        step: Option<&'a StepId>,
        /// What happened.
        cause: &'a str,
    },
    /// The host is being put back.
    RollingBack {
        /// Which transaction.
        id: u64,
        /// Why.
        cause: &'a str,
        /// Resources to be put back.
        resources: usize,
    },
    /// One resource is back, or is not.
    Restored {
        /// Which.
        resource: &'a Resource,
        /// How it went.
        restored: &'a Restored,
    },
    /// Everything is read again.
    Proving,
    /// Everything is as it was.
    Proved {
        /// Resources that were read and compared.
        resources: usize,
    },
    /// Not everything is.
    Stuck {
        /// What needs a person.
        conflicts: &'a [String],
    },
    /// Something is not as it should be, and nothing depends on it.
    Note {
        /// What.
        text: &'a str,
    },
}

/// Whoever wants to know.
pub trait Observer: Send {
    /// Is told as things happen. It must not take long.
    fn event(&mut self, event: &Event<'_>);
}

/// Nobody wants to know.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {
    fn event(&mut self, _: &Event<'_>) {}
}

impl fmt::Display for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Begun { id, bundle, steps } => {
                write!(f, "transaction {id} begins: {bundle}, {steps} steps")
            }
            Self::Saving { resource } => write!(f, "saving {resource}"),
            Self::StepBegun { number, total, step, summary, .. } => {
                write!(f, "[{number}/{total}] {step}: {summary}")
            }
            Self::StepDone { step, effects, took } => {
                write!(f, "{step} done in {:.1} s, {effects} effects", took.as_secs_f64())
            }
            Self::Checking { progress } => {
                write!(f, "{} of {} checks passed", progress.passed, progress.total)
            }
            Self::Checked { report } => {
                write!(f, "check {}: {:?}: {}", report.id, report.verdict, report.message)
            }
            Self::Committed { id } => write!(f, "transaction {id} stands"),
            Self::Exposed { id, within } => {
                write!(
                    f,
                    "transaction {id} is healthy, and taken back unless it is confirmed within {} s",
                    within.as_secs()
                )
            }
            Self::Failed { step: Some(step), cause } => write!(f, "{step} failed: {cause}"),
            Self::Failed { step: None, cause } => write!(f, "failed: {cause}"),
            Self::RollingBack { id, cause, resources } => {
                write!(f, "putting back {resources} resources of transaction {id}: {cause}")
            }
            Self::Restored { resource, restored } => write!(f, "{resource}: {restored}"),
            Self::Proving => f.write_str("reading everything again"),
            Self::Proved { resources } => write!(f, "{resources} resources are as they were before"),
            Self::Stuck { conflicts } => write!(f, "needs a person: {}", conflicts.join("; ")),
            Self::Note { text } => f.write_str(text),
        }
    }
}
