//! Preflight: may this bundle be installed on this host, now?
//!
//! Every check has a verdict, a reason and, unless it passed, a remedy, and all of them speak: a person who
//! must mend three things hears of three, not of one at a time. Nothing here changes the host or ends a
//! process that is not ours; what is in the way is named with its owner.
//!
//! There are two halves. [`host`] needs nothing but the manifest: the right machine, the right system,
//! enough of it. [`plan`] is asked when there is something to do: room, locks, ports, and what lies where the
//! plan wants to write. A run that finds nothing to do is not kept waiting by them.

mod absent;
mod finding;
mod identity;
mod lock;
mod machine;
mod packages;
mod ports;
mod proc;
mod space;
mod ssh;
mod startable;
mod systemd;
mod targets;
mod transaction;
mod writers;

use std::collections::BTreeSet;
use std::time::Duration;

use chom_format::{Facts, HostPath, Manifest};

pub use finding::{Finding, Findings, Level, Refused};
pub use identity::{Identity, compare as compare_identity};

use crate::plan::Plan;
use crate::sys::Sys;

/// How long a package run of somebody else is waited for.
pub const LOCK_PATIENCE: Duration = Duration::from_secs(120);

/// What preflight is told.
pub struct Request<'a> {
    /// The host.
    pub sys: &'a dyn Sys,
    /// What is to be installed.
    pub manifest: &'a Manifest,
    /// What was measured.
    pub facts: &'a Facts,
    /// The operator says that another host than the bundle's is meant.
    pub any_host: bool,
    /// Paths that a former transaction of ours has put there.
    pub ours: &'a BTreeSet<HostPath>,
    /// Transactions that were cut off and are to be taken back first.
    pub unfinished: &'a [u64],
    /// How long another package run is waited for.
    pub patience: Duration,
    /// Told what is waited for.
    pub waiting: &'a dyn Fn(&str),
}

impl Request<'_> {
    // A directory that is looked at as if it were a host runs nothing: what only a running host has is not asked.
    fn running(&self) -> bool {
        crate::facts::is_host(self.sys.root())
    }
}

/// The checks that need no plan.
pub fn host(request: &Request<'_>) -> Findings {
    let Request { manifest, facts, .. } = request;
    let mut findings = Vec::new();
    if request.running() {
        findings.push(machine::privileges());
    }
    findings.push(identity::check(&manifest.host, facts, request.any_host));
    findings.push(machine::release(&manifest.host, facts));
    findings.push(machine::architecture(&manifest.host, facts));
    if request.running() {
        findings.push(systemd::booted(request.sys));
    }
    findings.push(machine::processors(&manifest.requires, facts));
    findings.push(machine::memory(&manifest.requires, facts));
    findings.push(machine::disk(&manifest.requires, facts));
    findings.push(machine::clock(jiff::Timestamp::now()));
    findings.push(transaction::check(request.unfinished));
    Findings(findings)
}

/// The checks of a plan that changes something. Without a plan, because none could be made, those that need none.
pub fn plan(request: &Request<'_>, plan: Option<&Plan>) -> Findings {
    let mut findings = Vec::new();
    if let Some(plan) = plan {
        findings.extend(targets::refusals(plan));
        findings.extend(absent::check(request.sys, &plan.steps, request.ours));
        findings.push(space::check(&plan.room));
        findings.push(targets::writable(request.sys, &plan.steps));
        findings.extend(targets::behind_links(request.sys, &plan.steps));
        findings.extend(writers::check(request.sys, request.manifest));
        findings.extend(targets::in_the_way(request.sys, &plan.steps, request.ours));
    }
    findings.push(packages::check(request.sys, plan));
    if request.running() {
        findings.push(systemd::state(request.sys));
        findings.push(startable::check());
        findings.push(lock::check(request.patience, request.waiting));
        findings.push(ports::check(request.sys, &request.manifest.ports));
        findings.extend(ssh::check(request.sys, request.manifest));
    }
    Findings(findings)
}
