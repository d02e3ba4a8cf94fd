//! Checks that are asked while the plan is being made: of a host that has this very bundle already, most likely
//! nothing else will be asked.
//!
//! They change nothing, so what was asked in vain has cost nothing. An answer counts only when it is a pass, and only
//! for a plan that turned out to be empty. Units are left out: the plan itself asks systemd for them.

use std::thread;

use chom_format::CheckSpec;

use super::Session;
use crate::check::{self, Report, Runner};
use crate::open::Bundle;
use crate::transaction::Installed;

/// Does the work, and gives with it the checks that passed meanwhile.
pub(super) fn beside<T>(
    session: &Session,
    installed: Option<&Installed>,
    bundle: &Bundle,
    work: impl FnOnce() -> T,
) -> (T, Vec<Report>) {
    if installed.is_none_or(|installed| installed.bytes != bundle.manifest_bytes()) {
        return (work(), Vec::new());
    }
    let asks = |spec: &&CheckSpec| !check::asks_systemd(spec);
    let specs: Vec<CheckSpec> = bundle.manifest().checks.iter().filter(asks).cloned().collect();
    let (done, mut reports) = thread::scope(|scope| {
        let asked = scope.spawn(|| Runner::new(&session.sys).once(&specs));
        (work(), asked.join().unwrap_or_default())
    });
    reports.retain(Report::passed);
    (done, reports)
}
