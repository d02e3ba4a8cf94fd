//! Checks: is it healthy, and how do we know.
//!
//! Every check of a manifest is asked at once and again, with a growing pause, until it passes or its
//! deadline is over. There is no fixed sleep: a healthy host is told healthy in the time of one question,
//! and a daemon that needs forty seconds gets them. The probes change nothing on the host.
//!
//! A check that was red before the run and still is cannot be the run's fault. It is reported as such
//! ([`Verdict::WasRed`]) and does not lead to a rollback. What counts as "before" is what a former
//! transaction has left as healthy; on a first installation every check would be red, and mean nothing.
//!
//! What a report quotes of an answer is short and has no secrets in it, as far as they show ([`crate::redact`]).

// A kind that is new must be thought of wherever kinds are told apart.
#![cfg_attr(not(test), deny(clippy::wildcard_enum_match_arm))]

mod certificate;
mod command;
mod http;
mod json;
mod kind;
mod query;
mod report;
mod schedule;
mod tcp;
mod tls;
mod unit;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chom_format::{CheckSpec, StepId};

pub use report::{Report, Verdict};

use crate::redact;
use crate::sys::Sys;
use crate::systemd::Snapshot;

/// Longest time for one question; a check may ask again.
const ONE_TRY: Duration = Duration::from_secs(10);
/// The same when we only want to know how things stand.
const ONE_LOOK: Duration = Duration::from_secs(2);

/// What one question came to: what was seen, or what was missed.
type Answer = Result<String, Miss>;

/// Why a check did not pass, this time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Miss {
    /// What was wanted and what was there, in one line.
    pub(crate) message: String,
    /// What the other side said, shortened and without secrets.
    pub(crate) evidence: Option<String>,
    /// It was on a good way: a unit that runs, but not long enough. It is given that time beyond its deadline.
    pub(crate) wait: Option<Duration>,
}

impl Miss {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), ..Self::default() }
    }

    fn with(message: impl Into<String>, evidence: &str) -> Self {
        Self { evidence: redact::snippet(evidence), ..Self::new(message) }
    }
}

/// Whether systemd is asked for it, together with all others of the kind.
pub fn asks_systemd(spec: &CheckSpec) -> bool {
    kind::of(&spec.probe).unit().is_some()
}

/// Checks that were red before anything was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Before {
    red: BTreeSet<StepId>,
}

impl Before {
    /// One quick question each, for the checks in `known`: those that a former transaction has left passing.
    pub fn look(sys: &dyn Sys, specs: &[CheckSpec], known: &BTreeSet<StepId>) -> Self {
        let specs: Vec<CheckSpec> = specs.iter().filter(|spec| known.contains(&spec.id)).cloned().collect();
        let reports = Runner::new(sys).once(&specs);
        Self { red: reports.into_iter().filter(|report| !report.passed()).map(|report| report.id).collect() }
    }
}

/// How far the checks are, for whoever shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Passed by now.
    pub passed: usize,
    /// In all.
    pub total: usize,
    /// Those that are not through, with what they miss.
    pub waiting: Vec<(StepId, String)>,
}

/// Asks the host.
pub struct Runner<'a> {
    sys: &'a dyn Sys,
    http: http::Client,
    units: Arc<Snapshot>,
}

impl<'a> Runner<'a> {
    /// A runner for this host.
    pub fn new(sys: &'a dyn Sys) -> Self {
        Self { sys, http: http::Client::default(), units: Arc::default() }
    }

    /// The same, with what systemd said a moment ago: it is not asked again as long as that is fresh.
    pub fn knowing(sys: &'a dyn Sys, units: Arc<Snapshot>) -> Self {
        Self { units, ..Self::new(sys) }
    }

    /// Asks each check once. The order is that of `specs`.
    pub fn once(&self, specs: &[CheckSpec]) -> Vec<Report> {
        self.poll(specs, &schedule::Plan { polls: false, one_try: ONE_LOOK }, &|_| {}, &|| false)
    }

    /// Asks until each check has passed or its deadline is over, or `stop` says that nobody wants to know any
    /// longer. The order is that of `specs`.
    pub fn run(
        &self,
        specs: &[CheckSpec],
        before: &Before,
        progress: &(dyn Fn(&Progress) + Sync),
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Vec<Report> {
        let mut reports = self.poll(specs, &schedule::Plan { polls: true, one_try: ONE_TRY }, progress, stop);
        for report in reports.iter_mut().filter(|report| !report.passed()) {
            if before.red.contains(&report.id) {
                report.verdict = Verdict::WasRed;
            }
        }
        reports
    }

    fn poll(
        &self,
        specs: &[CheckSpec],
        plan: &schedule::Plan,
        progress: &(dyn Fn(&Progress) + Sync),
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Vec<Report> {
        let units = unit::Units::new(self.sys, specs, self.units.clone());
        let asking = kind::Asking { sys: self.sys, http: &self.http, units: &units };
        let ask = |spec: &CheckSpec, timeout: Duration| kind::of(&spec.probe).ask(&asking, timeout);
        schedule::run(specs, plan, &ask, progress, stop)
    }
}

#[cfg(test)]
mod tests;
