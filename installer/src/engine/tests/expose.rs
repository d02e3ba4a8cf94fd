//! The window in which somebody must confirm: what decides, and that nothing stays half done whenever the run,
//! the confirmation or the way back is cut off.

use std::fs;
use std::path::Path;
use std::time::Duration;

use chom_format::step::Phase;
use chom_format::{Exit, HostState};
use tempfile::TempDir;

use super::host::*;
use super::steps::Does;
use crate::caller::{Caller, Proofless};
use crate::engine::{
    ConfirmError, Confirmation, Ending, Engine, EngineError, Options, Report, Silent, Window,
};
use crate::nonce::Nonce;
use crate::sys::fault::{Fault, FaultSys};
use crate::sys::{RealSys, interrupt};
use crate::transaction::{Files, Hold};

const WITHIN: u64 = 120;
const INSTALLER: &str = "192.0.2.7 50112 192.0.2.10 22";

fn clocked() -> TempDir {
    let host = host();
    fs::create_dir_all(host.path().join("proc/sys/kernel/random")).unwrap();
    clock(host.path(), "one", 1000);
    host
}

fn clock(root: &Path, boot: &str, seconds: u64) {
    fs::write(root.join("proc/uptime"), format!("{seconds}.00 1.00\n")).unwrap();
    fs::write(root.join("proc/sys/kernel/random/boot_id"), format!("{boot}\n")).unwrap();
}

fn now(root: &Path) -> Picture {
    let mut picture = picture(&RealSys::new(root));
    picture.retain(|path, _| !path.as_str().starts_with("/proc"));
    picture
}

fn word() -> Nonce {
    "0123456789abcdef".parse().unwrap()
}

fn firewall() -> Vec<Does> {
    vec![Does::file("/etc/app/old.conf", "new\n"), Does::file("/etc/app/user.rules", "allow 80\n")]
}

/// Installs; the last step stands for the firewall.
fn expose(root: &Path, fault: Fault) -> (FaultSys, Result<Report, EngineError>) {
    let script = firewall();
    let window = Window {
        within: Duration::from_secs(WITHIN),
        nonce: word().digest(),
        connection: Some(INSTALLER.to_owned()),
    };
    let options = Options { window: Some(window), ..Options::default() };
    let mut plan = order(&RealSys::new(root), &script, &Healthy, options);
    plan.tasks.last_mut().unwrap().phase = Phase::Expose;
    let mut sys = FaultSys::new(root, fault);
    let files = Files::standard().unwrap();
    let hold = match Hold::establish(&mut sys, &files, "test") {
        Ok(hold) => hold,
        Err(crate::transaction::Busy::Sys(error)) => return (sys, Err(error.into())),
        Err(busy) => panic!("{busy}"),
    };
    let result = Engine::new(&mut sys, files, &hold, &mut Silent).install(&plan);
    interrupt::unshield();
    (sys, result)
}

fn over(connection: &str, age_ms: u64) -> Caller {
    Caller { connection: Some(connection.to_owned()), age_ms: Some(age_ms), terminal: false }
}

fn fresh() -> Caller {
    over("192.0.2.7 50200 192.0.2.10 22", 0)
}

fn confirm(root: &Path, fault: Fault, word: &Nonce, caller: &Caller) -> Result<Report, ConfirmError> {
    let mut sys = FaultSys::new(root, fault);
    let files = Files::standard().unwrap();
    let hold = Hold::establish(&mut RealSys::new(root), &files, "test").unwrap();
    let asked = Confirmation { id: 1, nonce: word, caller, by: "the test" };
    let result = Engine::new(&mut sys, files, &hold, &mut Silent).confirm(&asked);
    interrupt::unshield();
    result
}

#[test]
fn a_confirmation_in_time_stands_and_a_lost_answer_is_given_again() {
    let _others = beside_others();
    let host = clocked();
    let before = now(host.path());
    let report = expose(host.path(), Fault::None).1.unwrap();
    let seen = (report.ending, report.exit(), report.host());
    assert_eq!(seen, (Ending::Exposed, Exit::AwaitingConfirm, HostState::Exposed));
    clock(host.path(), "one", 1000 + WITHIN - 1);
    assert!(recover(host.path(), Fault::None).1.unwrap().is_empty(), "a window that is open is left alone");
    let refused = expose(host.path(), Fault::None).1;
    assert!(matches!(refused, Err(EngineError::Awaiting { id: 1, seconds: 1 })), "{refused:?}");

    let wrong = "fedcba9876543210".parse().unwrap();
    let stale = confirm(host.path(), Fault::None, &wrong, &fresh());
    assert!(matches!(stale, Err(ConfirmError::Stale { id: 1 })), "{stale:?}");
    for _ in 0..2 {
        let report = confirm(host.path(), Fault::None, &word(), &fresh()).unwrap();
        assert_eq!((report.ending, report.exit()), (Ending::Committed, Exit::Done));
    }
    // It stands whatever the clock says, and is taken back like every other.
    clock(host.path(), "two", 5000);
    assert!(recover(host.path(), Fault::None).1.unwrap().is_empty());
    assert_eq!(confirm(host.path(), Fault::None, &word(), &fresh()).unwrap().ending, Ending::Committed);
    let report = rollback(host.path(), Fault::None).1.unwrap().remove(0);
    assert_eq!(report.ending, Ending::Restored);
    assert_eq!(differences(&before, &now(host.path())), Vec::<String>::new());
    let late = confirm(host.path(), Fault::None, &word(), &fresh());
    assert!(matches!(late, Err(ConfirmError::TooLate { restored: true, .. })), "{late:?}");
}

#[test]
fn a_connection_that_saw_nothing_of_the_change_confirms_nothing() {
    let _others = beside_others();
    let host = clocked();
    expose(host.path(), Fault::None).1.unwrap();
    clock(host.path(), "one", 1010);
    let old = "192.0.2.7 50111 192.0.2.10 22";
    for (caller, why) in [
        (over(INSTALLER, 500), Proofless::Shared(INSTALLER.to_owned())),
        (over(old, 60_000), Proofless::Old(old.to_owned())),
        (Caller::default(), Proofless::Nobody),
    ] {
        let refused = confirm(host.path(), Fault::None, &word(), &caller).unwrap_err();
        assert!(matches!(&refused, ConfirmError::Proofless { why: said, .. } if *said == why), "{refused}");
    }
    assert_eq!(confirm(host.path(), Fault::None, &word(), &fresh()).unwrap().ending, Ending::Committed);
}

#[test]
fn what_is_late_or_of_another_boot_is_taken_back() {
    let _others = beside_others();
    for (boot, seconds) in [("one", 1000 + WITHIN), ("two", 1001)] {
        for confirmed in [false, true] {
            let host = clocked();
            let before = now(host.path());
            expose(host.path(), Fault::None).1.unwrap();
            clock(host.path(), boot, seconds);
            let report = if confirmed {
                let report = confirm(host.path(), Fault::None, &word(), &fresh()).unwrap();
                assert!(report.failure.as_ref().unwrap().message.contains("too late"), "{report:?}");
                assert_eq!(report.exit(), Exit::Restored);
                report
            } else {
                recover(host.path(), Fault::None).1.unwrap().remove(0)
            };
            assert_eq!(report.ending, Ending::Restored);
            assert_eq!(differences(&before, &now(host.path())), Vec::<String>::new());
        }
    }
}

/// A window is closed by time, not by a clock that cannot be read; a host that comes up has none open, whatever its clock.
#[test]
fn a_clock_that_cannot_be_read_closes_no_window() {
    let _others = beside_others();
    for lost in ["proc/uptime", "proc/sys/kernel/random/boot_id"] {
        let host = clocked();
        let before = now(host.path());
        expose(host.path(), Fault::None).1.unwrap();
        fs::remove_file(host.path().join(lost)).unwrap();
        let exposed = now(host.path());
        let error = recover(host.path(), Fault::None).1.unwrap_err();
        assert!(error.to_string().contains(lost), "{error}");
        let error = install(host.path(), Fault::None, &firewall(), Options::default()).1.unwrap_err();
        assert!(error.to_string().contains(lost), "{error}");
        assert_eq!(differences(&exposed, &now(host.path())), Vec::<String>::new());
        clock(host.path(), "one", 1001);
        assert!(recover(host.path(), Fault::None).1.unwrap().is_empty(), "it is still open");
        fs::remove_file(host.path().join(lost)).unwrap();
        assert_eq!(comes_up(host.path()).unwrap(), [1]);
        clock(host.path(), "two", 1);
        assert_eq!(recover(host.path(), Fault::None).1.unwrap().remove(0).ending, Ending::Restored);
        assert_eq!(differences(&before, &now(host.path())), Vec::<String>::new());
    }
}

#[test]
fn whoever_does_not_want_it_has_it_taken_back_at_once() {
    let _others = beside_others();
    let host = clocked();
    let before = now(host.path());
    expose(host.path(), Fault::None).1.unwrap();
    assert_eq!(rollback(host.path(), Fault::None).1.unwrap().remove(0).ending, Ending::Restored);
    assert_eq!(differences(&before, &now(host.path())), Vec::<String>::new());
}

#[test]
fn whatever_is_cut_off_in_the_window_the_host_is_before_or_after() {
    let _others = beside_others();
    let effects = {
        let host = clocked();
        let (sys, report) = expose(host.path(), Fault::None);
        assert_eq!(report.unwrap().ending, Ending::Exposed);
        sys.effects()
    };
    for k in 1..=effects + 1 {
        for fault in [Fault::Fail(k), Fault::KillWithin(k), Fault::KillAfter(k)] {
            let host = clocked();
            let before = now(host.path());
            drop(expose(host.path(), fault));
            // What is exposed by now waits; all else is taken back at once, and then this does too.
            recover(host.path(), Fault::None).1.unwrap();
            clock(host.path(), "one", 1000 + WITHIN);
            recover(host.path(), Fault::None).1.unwrap();
            assert_eq!(differences(&before, &now(host.path())), Vec::<String>::new(), "{fault:?}");
        }
    }
    for fault in [Fault::Fail(1), Fault::KillWithin(1), Fault::KillAfter(1)] {
        let host = clocked();
        let before = now(host.path());
        expose(host.path(), Fault::None).1.unwrap();
        let after = now(host.path());
        clock(host.path(), "one", 1001);
        let answer = confirm(host.path(), fault, &word(), &fresh());
        assert!(matches!(answer, Err(ConfirmError::Engine(_))), "{answer:?}");
        clock(host.path(), "one", 1000 + WITHIN);
        let reports = recover(host.path(), Fault::None).1.unwrap();
        let stands = fault == Fault::KillAfter(1);
        let (wanted, taken_back) = if stands { (&after, 0) } else { (&before, 1) };
        assert_eq!(reports.len(), taken_back, "{fault:?}");
        assert_eq!(differences(wanted, &now(host.path())), Vec::<String>::new(), "{fault:?}");
    }
}
