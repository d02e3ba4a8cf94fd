//! What the engine is asked to do.

use std::time::Duration;

use chom_format::step::Phase;
use chom_format::{CheckSpec, Digest, HostPath, StepId};

use crate::check::{Before, Progress, Report, Runner};
use crate::step::{Change, Context, Step};
use crate::sys::{PathState, Sys};

/// An installation: a plan that was shown and agreed to.
pub struct TransactionRequest<'a> {
    /// Name of the bundle.
    pub bundle: &'a str,
    /// The bytes of its manifest; a copy stays with the transaction.
    pub manifest: &'a [u8],
    /// Who asked, and from where.
    pub by: &'a str,
    /// What is to be changed, in order. Steps that keep what is there are not in it.
    pub tasks: Vec<Task<'a>>,
    /// What the steps are told; as it was when the plan began.
    pub context: Context,
    /// What must be true afterwards.
    pub checks: &'a dyn Checks,
    /// How it is done.
    pub options: Options,
    /// The backup that was made for it, just before.
    pub backup: Option<u64>,
    /// Nothing is known of what the host has, and what is as wanted is taken over as it is.
    pub adopts: bool,
}

/// One change of the plan.
pub struct Task<'a> {
    /// Which step.
    pub id: StepId,
    /// In which phase.
    pub phase: Phase,
    /// The step.
    pub step: &'a dyn Step,
    /// What was decided.
    pub change: Change,
    /// The paths that it was decided from, as they were.
    pub seen: Vec<(HostPath, PathState)>,
    /// It may not take longer. Looked at between its effects; each program that it runs has a limit of its own.
    pub deadline: Duration,
}

/// How a transaction is run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Transactions that are kept for a later rollback.
    pub keep: usize,
    /// For the whole way forward.
    pub deadline: Duration,
    /// When the plan changes the firewall, somebody must confirm within this window; none commits at once.
    pub window: Option<Window>,
    /// A rehearsal aid: fails deliberately after the effects of this step, before it is noted as done; or
    /// after the checks, or just before the commit.
    pub fail_at: Option<Position>,
    /// A rehearsal aid: sends this process a SIGINT in the middle of this step, after its first effect.
    pub interrupt_at: Option<Position>,
}

/// How long somebody has to confirm a changed firewall, and by which word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// For so long.
    pub within: Duration,
    /// Of the word that the confirmation must bring.
    pub nonce: Digest,
    /// `SSH_CONNECTION` of the run, if there is one.
    pub connection: Option<String>,
}

/// A place in a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Position {
    /// A step.
    Step(StepId),
    /// The checks.
    Check,
    /// The commit.
    Commit,
}

impl std::str::FromStr for Position {
    type Err = chom_format::name::NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "check" => Self::Check,
            "commit" => Self::Commit,
            step => Self::Step(step.parse()?),
        })
    }
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Step(step) => write!(f, "{step}"),
            Self::Check => f.write_str("check"),
            Self::Commit => f.write_str("commit"),
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self { keep: 5, deadline: Duration::from_secs(3600), window: None, fail_at: None, interrupt_at: None }
    }
}

/// How the engine learns whether the host is healthy.
pub trait Checks {
    /// Asks until each check has passed or its deadline is over, or `stop` says that nobody wants to know.
    fn run(
        &self,
        sys: &dyn Sys,
        progress: &(dyn Fn(&Progress) + Sync),
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Vec<Report>;
}

/// The checks of a manifest, against what was true before.
pub struct ManifestChecks<'a> {
    /// What is asked.
    pub specs: &'a [CheckSpec],
    /// What was red already.
    pub before: Before,
}

impl Checks for ManifestChecks<'_> {
    fn run(
        &self,
        sys: &dyn Sys,
        progress: &(dyn Fn(&Progress) + Sync),
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Vec<Report> {
        Runner::new(sys).run(self.specs, &self.before, progress, stop)
    }
}
