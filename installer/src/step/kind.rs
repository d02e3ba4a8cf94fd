//! What each kind of step states about itself, for whoever plans, opens, lists or times steps without knowing the kinds.
//!
//! Owns the one place where a step of a manifest is told apart beside its making. The kinds decide in their own files,
//! and a field that is new must be given by each of them.

use std::time::Duration;

use chom_format::{HostPath, StepId, StepSpec, UnitName};

use super::{absent, account, command, dir, file, firewall, link, packages, release, unit, validate};

/// What a step may take at most, when it has no reason to take longer.
pub(super) const USUAL: Duration = Duration::from_secs(300);

/// What is true of one step by what it wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stated<'a> {
    /// What it may take at most, before the run turns back. Programs that it runs have limits of their own.
    pub(crate) deadline: Duration,
    /// Paths that are ours by it, once its transaction is committed.
    pub(crate) owns: Vec<&'a HostPath>,
    /// Paths that it makes, replaces, removes or mounts over.
    pub(crate) writes: Vec<&'a HostPath>,
    /// The unit that it is about.
    pub(crate) unit: Option<&'a UnitName>,
    /// Steps that must be in the same manifest.
    pub(crate) needs: &'a [StepId],
    /// It brings the very bytes of the bundle, which are nobody else's when they are found in place.
    pub(crate) brings_bytes: bool,
}

/// What a step states.
pub(crate) fn stated(spec: &StepSpec) -> Stated<'_> {
    match spec {
        StepSpec::Packages(spec) => packages::stated(spec),
        StepSpec::Account(spec) => account::stated(spec),
        StepSpec::Dir(spec) => dir::stated(spec),
        StepSpec::Release(spec) => release::stated(spec),
        StepSpec::File(spec) => file::stated(spec),
        StepSpec::Link(spec) => link::stated(spec),
        StepSpec::Absent(spec) => absent::stated(spec),
        StepSpec::Unit(spec) => unit::stated(spec),
        StepSpec::Command(spec) => command::stated(spec),
        StepSpec::Firewall(spec) => firewall::stated(spec),
        StepSpec::Validate(spec) => validate::stated(spec),
    }
}

/// As long as usual, or so many times a step's own limit if that is longer.
pub(super) fn usual_or(times: u64, timeout_s: u32) -> Duration {
    USUAL.max(Duration::from_secs(u64::from(timeout_s) * times))
}
