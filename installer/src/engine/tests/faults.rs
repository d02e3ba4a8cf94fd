//! Every effect fails once, and the process is killed within and after every effect: of the way forward, of
//! the way back, and of the recovery itself. Each time the host is before or after, and says so. Being killed
//! before an effect is being killed after the one before it.
//!
//! Pairs of faults are many: each run takes every third first fault with all second ones, and all of them
//! when `CHOM_FAULTS=all` is set.

use std::path::Path;

use super::host::*;
use super::steps::Does;
use crate::engine::{Ending, Options};
use crate::sys::RealSys;
use crate::sys::fault::{Fault, FaultSys};

/// Effects of a whole installation without a fault.
fn effects_of(script: &[Does]) -> u64 {
    let host = host();
    let (sys, report) = install(host.path(), Fault::None, script, Options::default());
    assert_eq!(report.unwrap().ending, Ending::Committed);
    sys.effects()
}

fn now(root: &Path) -> Picture {
    picture(&RealSys::new(root))
}

/// Recovers without a fault and checks that the host is what it was before or what it was to become.
fn settle(root: &Path, before: &Picture, what: &str) {
    let reports = recover(root, Fault::None).1.unwrap_or_else(|error| panic!("{what}: {error}"));
    for report in &reports {
        assert_eq!(report.ending, Ending::Restored, "{what}: {report:?}");
        // Where an effect of the way back itself failed, a directory may have gone to the attic with what is in it.
        let excused = what.contains("Fail") && report.exceptions.iter().all(|text| text.contains("/attic/"));
        assert!(report.exceptions.is_empty() || excused, "{what}: {report:?}");
    }
    assert!(recover(root, Fault::None).1.unwrap().is_empty(), "{what}: it recovers once");
    let found = differences(before, &now(root));
    if !found.is_empty() {
        // Then it stands, whole, and can be taken back.
        let reports =
            rollback(root, Fault::None).1.unwrap_or_else(|error| panic!("{what}: {error}: {found:#?}"));
        assert!(reports.iter().all(|report| report.ending == Ending::Restored), "{what}: {reports:?}");
        assert_eq!(differences(before, &now(root)), Vec::<String>::new(), "{what}");
    }
}

/// After whatever happened the same installation succeeds.
fn still_installs(root: &Path, what: &str) {
    let (_, report) = install(root, Fault::None, &script(), Options::default());
    let report = report.unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(report.ending, Ending::Committed, "{what}: {report:?}");
}

#[test]
fn every_effect_fails_once() {
    let _others = beside_others();
    for k in 1..=effects_of(&script()) {
        let host = host();
        let before = now(host.path());
        let what = format!("effect {k} fails");
        let (_, result) = install(host.path(), Fault::Fail(k), &script(), Options::default());
        match result {
            // Only what comes after the commit may fail without taking it back.
            Ok(report) if report.ending == Ending::Committed => {
                assert!(!differences(&before, &now(host.path())).is_empty(), "{what}");
            }
            Ok(report) => {
                let restored = matches!(report.ending, Ending::Restored | Ending::Untouched);
                assert!(restored && report.conflicts.is_empty(), "{what}: {report:?}");
                assert!(report.failure.as_ref().unwrap().message.contains("deliberate fault"), "{what}");
                assert_eq!(differences(&before, &now(host.path())), Vec::<String>::new(), "{what}");
            }
            // It was not even begun.
            Err(_) => {}
        }
        settle(host.path(), &before, &what);
        still_installs(host.path(), &what);
    }
}

#[test]
fn the_process_is_killed_at_every_effect() {
    let _others = beside_others();
    for k in 1..=effects_of(&script()) {
        for fault in [Fault::KillWithin(k), Fault::KillAfter(k)] {
            let host = host();
            let before = now(host.path());
            let (sys, _) = install(host.path(), fault, &script(), Options::default());
            assert!(sys.is_dead());
            let what = format!("{fault:?}");
            settle(host.path(), &before, &what);
            still_installs(host.path(), &what);
        }
    }
}

#[test]
fn a_second_fault_at_every_effect_of_the_recovery() {
    let _others = beside_others();
    let script = short_script();
    let stride = if std::env::var_os("CHOM_FAULTS").is_some_and(|wanted| wanted == "all") { 1 } else { 3 };
    for k in (1..=effects_of(&script)).step_by(stride) {
        let mut j = 1;
        loop {
            let mut reached = false;
            for fault in [Fault::Fail(j), Fault::KillWithin(j), Fault::KillAfter(j)] {
                let host = host();
                let before = now(host.path());
                let (killed, _) = install(host.path(), Fault::KillAfter(k), &script, Options::default());
                assert!(killed.is_dead());
                let (sys, _) = recover(host.path(), fault);
                reached |= sys.effects() >= j;
                settle(host.path(), &before, &format!("killed after {k}, then {fault:?} in recovery"));
            }
            if !reached {
                break;
            }
            j += 1;
        }
    }
}

#[test]
fn a_fault_at_every_effect_of_a_rollback() {
    let _others = beside_others();
    let mut j = 1;
    loop {
        let mut reached = false;
        for fault in [Fault::Fail(j), Fault::KillWithin(j), Fault::KillAfter(j)] {
            let host = host();
            let before = now(host.path());
            still_installs(host.path(), "at first");
            let (sys, _): (FaultSys, _) = rollback(host.path(), fault);
            reached |= sys.effects() >= j;
            settle(host.path(), &before, &format!("{fault:?} in a rollback"));
        }
        if !reached {
            break;
        }
        j += 1;
    }
}
