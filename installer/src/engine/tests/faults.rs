//! Every effect fails once, and the process is killed within and after every effect: of the way forward, of
//! the way back, and of the recovery itself. Each time the host is before or after, and says so. Being killed
//! before an effect is being killed after the one before it.
//!
//! Pairs of faults are many: each run takes every third first fault with all second ones, and all of them
//! when `CHOM_FAULTS=all` is set.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use chom_format::HostPath;

use super::host::*;
use super::steps::Does;
use crate::engine::{Ending, Options};
use crate::sys::fault::{Fault, FaultSys};
use crate::sys::{PathState, RealSys};
use crate::transaction::{Files, list};

/// Effects of a whole installation without a fault.
fn effects_of(script: &[Does]) -> u64 {
    let host = host();
    let (sys, report) = install(host.path(), Fault::None, script, Options::default());
    assert_eq!(report.unwrap().ending, Ending::Committed);
    sys.effects()
}

/// Whether a transaction is open that has begun a step.
fn was_begun(root: &Path) -> bool {
    let known = list(&RealSys::new(root), &Files::standard().unwrap()).unwrap();
    known.iter().any(|known| known.state.is_open() && !known.state.begun.is_empty())
}

fn stands(root: &Path) -> bool {
    let known = list(&RealSys::new(root), &Files::standard().unwrap()).unwrap();
    known.iter().any(|known| known.state.stands())
}

/// Without the times of directories.
fn files(picture: &Picture) -> Vec<(HostPath, PathState)> {
    picture.iter().map(|(path, (state, _))| (path.clone(), state.clone())).collect()
}

fn is_no_boot_unit((path, _): &(HostPath, PathState)) -> bool {
    !path.as_str().starts_with("/etc/systemd/system.attached")
}

fn now(root: &Path) -> Picture {
    picture(&RealSys::new(root))
}

/// The host comes up and recovers by itself, without a fault. Whether its boot unit was there.
fn comes_up(root: &Path, what: &str) -> bool {
    let was_armed = !boot(root, Fault::None).1.unwrap_or_else(|error| panic!("{what}: {error}")).is_empty();
    if was_armed {
        assert!(root.join("run/motd.d/chom").exists(), "{what}: nobody is told");
    }
    was_armed
}

/// After a clean end neither unit nor notice are left.
fn nothing_stays(root: &Path, what: &str) {
    let left = [root.join("etc/systemd/system.attached"), root.join("run/motd.d/chom")];
    for path in left {
        assert!(!path.exists(), "{what}: {} is left", path.display());
    }
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
    nothing_stays(root, what);
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
fn whatever_a_power_cut_leaves_is_put_back_when_the_host_comes_up() {
    let _others = beside_others();
    let mut armed = 0;
    let effects = effects_of(&script());
    for k in 1..=effects {
        let host = host();
        let before = now(host.path());
        let what = format!("power cut after {k}");
        let (_, result) = install(host.path(), Fault::KillAfter(k), &script(), Options::default());
        assert!(result.is_err() || result.is_ok_and(|report| report.ending != Ending::Restored), "{what}");
        let begun = was_begun(host.path());
        if comes_up(host.path(), &what) {
            armed += 1;
            // What is on the disk is back by then, times of directories excepted.
            assert_eq!(
                files(&before),
                files(&now(host.path())).into_iter().filter(is_no_boot_unit).collect::<Vec<_>>(),
                "{what}"
            );
        } else {
            assert!(!begun, "{what}: a step had begun, and nothing was there to take it back");
            if !stands(host.path()) {
                assert_eq!(files(&before), files(&now(host.path())), "{what}: no unit, and not as before");
            }
        }
        settle(host.path(), &before, &what);
    }
    assert!(armed > effects / 2, "{armed} of {effects}");
}

/// It comes and goes piece by piece where the name of its directory is taken, and a power cut in between leaves a unit
/// that nothing starts. Where it is no directory, the unit is where older programs put it.
#[test]
fn what_has_the_name_of_its_directory_stays() {
    let _others = beside_others();
    let full = |path: &Path| {
        fs::create_dir(path).unwrap();
        fs::write(path.join("other.service"), "[Service]\n").unwrap();
    };
    cut_off_beside(&full, "system.attached");
    cut_off_beside(&|path| fs::write(path, "a file\n").unwrap(), "system");
    cut_off_beside(&|path| symlink("/somewhere", path).unwrap(), "system");
}

/// The power of a host where this has the name of the boot unit's directory is cut; its unit is in this one instead.
fn cut_off_beside(make: &dyn Fn(&Path), instead: &str) {
    let mut armed = 0;
    for k in (1..=effects_of(&short_script())).step_by(3) {
        let host = host();
        make(&host.path().join("etc/systemd/system.attached"));
        let before = now(host.path());
        let what = format!("power cut after {k}, unit in {instead}");
        install(host.path(), Fault::KillAfter(k), &short_script(), Options::default()).1.ok();
        let unit = host.path().join("etc/systemd").join(instead).join("chom-recover.service").exists();
        if comes_up(host.path(), &what) {
            assert!(unit, "{what}: not there");
            armed += 1;
        }
        recover(host.path(), Fault::None).1.unwrap_or_else(|error| panic!("{what}: {error}"));
        if stands(host.path()) {
            rollback(host.path(), Fault::None).1.unwrap_or_else(|error| panic!("{what}: {error}"));
        }
        assert_eq!(differences(&before, &now(host.path())), Vec::<String>::new(), "{what}");
    }
    assert!(armed > 3, "unit in {instead}: {armed}");
}

#[test]
fn a_second_power_cut_while_the_host_comes_up() {
    let _others = beside_others();
    let script = short_script();
    let stride = if std::env::var_os("CHOM_FAULTS").is_some_and(|wanted| wanted == "all") { 1 } else { 13 };
    for k in (20..=effects_of(&script)).step_by(stride) {
        for j in 1.. {
            let mut reached = false;
            for fault in [Fault::Fail(j), Fault::KillWithin(j), Fault::KillAfter(j)] {
                let host = host();
                let before = now(host.path());
                let (killed, _) = install(host.path(), Fault::KillAfter(k), &script, Options::default());
                assert!(killed.is_dead());
                let what = format!("power cut after {k}, then {fault:?} while it comes up");
                let (sys, _) = boot(host.path(), fault);
                reached |= sys.effects() >= j;
                if sys.is_dead() {
                    comes_up(host.path(), &what);
                }
                settle(host.path(), &before, &what);
            }
            if !reached {
                break;
            }
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
