//! Which transactions are kept, and that a way back exists in full or is refused.

use std::fs;
use std::path::Path;

use chom_format::exit::Explain;
use chom_format::{Exit, HostState};

use super::host::*;
use super::steps::Does;
use crate::engine::{Ending, Options, Position};
use crate::sys::RealSys;
use crate::sys::fault::Fault;
use crate::transaction::{Files, list};

fn keep(number: usize) -> Options {
    Options { keep: number, ..Options::default() }
}

fn ids(root: &Path) -> Vec<u64> {
    let files = Files::standard().unwrap();
    list(&RealSys::new(root), &files).unwrap().iter().map(|known| known.id).collect()
}

#[test]
fn what_stands_is_kept_however_many_attempts_come_after_it() {
    let _others = beside_others();
    let host = host();
    let before = picture(&RealSys::new(host.path()));
    let write = |text: &str| [Does::file("/etc/app/old.conf", text)];
    install_of(b"[1]", host.path(), Fault::None, &write("first\n"), keep(2)).1.unwrap();
    for _ in 0..3 {
        let options = Options { fail_at: Some(Position::Check), ..keep(2) };
        let report = install_of(b"[2]", host.path(), Fault::None, &write("bad\n"), options).1.unwrap();
        assert_eq!(report.ending, Ending::Restored);
    }
    install_of(b"[3]", host.path(), Fault::None, &write("second\n"), keep(2)).1.unwrap();
    assert_eq!(ids(host.path()), [1, 4, 5]);
    for _ in 0..2 {
        assert_eq!(rollback(host.path(), Fault::None).1.unwrap().remove(0).ending, Ending::Restored);
    }
    assert_eq!(differences(&before, &picture(&RealSys::new(host.path()))), Vec::<String>::new());
}

#[test]
fn what_brought_the_bundle_is_kept_however_often_data_is_restored_over_it() {
    let _others = beside_others();
    let host = host();
    let bundle = [Does::file("/etc/app/old.conf", "ours\n")];
    install_of(b"[0]", host.path(), Fault::None, &[Does::file("/etc/app/new.conf", "0\n")], keep(2))
        .1
        .unwrap();
    install_of(b"[1]", host.path(), Fault::None, &bundle, keep(2)).1.unwrap();
    for number in 0..4 {
        let data = [Does::file("/etc/app/data", &format!("{number}\n"))];
        install_of(b"[1]", host.path(), Fault::None, &data, keep(2)).1.unwrap();
    }
    assert_eq!(ids(host.path()), [2, 5, 6]);
}

#[test]
fn old_transactions_go_and_what_is_kept_can_still_be_taken_back() {
    let _others = beside_others();
    let host = host();
    let sys = RealSys::new(host.path());
    let mut pictures = vec![picture(&sys)];
    for number in 0..5 {
        let script = [Does::file("/etc/app/old.conf", &format!("version {number}\n"))];
        let bundle = format!("{{\"version\":{number}}}");
        install_of(bundle.as_bytes(), host.path(), Fault::None, &script, keep(3)).1.unwrap();
        pictures.push(picture(&sys));
    }
    assert_eq!(ids(host.path()), [3, 4, 5]);
    for number in [4, 3, 2] {
        let report = rollback(host.path(), Fault::None).1.unwrap().remove(0);
        assert_eq!(report.ending, Ending::Restored, "{report:?}");
        assert_eq!(differences(&pictures[number], &picture(&sys)), Vec::<String>::new());
    }
}

#[test]
fn a_way_that_is_not_kept_in_full_is_refused_before_anything_is_touched() {
    let _others = beside_others();
    let host = host();
    let sys = RealSys::new(host.path());
    let mut pictures = vec![picture(&sys)];
    for number in 0..5 {
        let script = [Does::file("/etc/app/old.conf", &format!("version {number}\n"))];
        install_of(&[b'0' + number], host.path(), Fault::None, &script, keep(3)).1.unwrap();
        pictures.push(picture(&sys));
    }
    let refused = |to: Option<u64>, lowest: u64, code: Exit| {
        let now = picture(&sys);
        let error = match to {
            Some(id) => rollback_to(host.path(), id),
            None => rollback(host.path(), Fault::None).1,
        };
        let error = error.unwrap_err();
        assert_eq!((error.exit(), error.host()), (code, HostState::Unchanged), "{error}");
        if code == Exit::Refused {
            assert!(error.to_string().contains(&format!("ends at transaction {lowest}")), "{error}");
        }
        assert_eq!(differences(&now, &picture(&sys)), Vec::<String>::new(), "{to:?}");
        error.hint().unwrap()
    };
    assert_eq!(refused(Some(0), 2, Exit::Refused), "chom-install rollback --to 2");
    assert_eq!(refused(Some(1), 2, Exit::Refused), "chom-install rollback --to 2");
    refused(Some(6), 2, Exit::BadInput);
    assert_eq!(rollback_to(host.path(), 5).unwrap().len(), 0);
    assert_eq!(rollback_to(host.path(), 2).unwrap().len(), 3);
    assert_eq!(differences(&pictures[2], &picture(&sys)), Vec::<String>::new());
    // Nothing is there to go back with any more, and what the host has is still known.
    refused(None, 2, Exit::Refused);
    refused(Some(0), 2, Exit::Refused);
    let ground = host.path().join("var/lib/chom/transactions/000002");
    assert_eq!(fs::read(ground.join("manifest.json")).unwrap(), b"1");
    assert!(!ground.join("journal").exists() && !ground.with_file_name("000001").exists());
    // What is built on it can be rolled back, to it and no further, however much is pruned meanwhile.
    for number in 5..9 {
        let script = [Does::file("/etc/app/old.conf", &format!("version {number}\n"))];
        install_of(&[b'0' + number], host.path(), Fault::None, &script, keep(4)).1.unwrap();
    }
    assert_eq!(ids(host.path()), [6, 7, 8, 9]);
    assert_eq!(refused(Some(1), 2, Exit::Refused), "chom-install rollback --to 2");
    assert_eq!(rollback_to(host.path(), 2).unwrap().len(), 4);
    assert_eq!(differences(&pictures[2], &picture(&sys)), Vec::<String>::new());
}

#[test]
fn attempts_that_are_not_kept_are_no_gap_and_a_directory_that_somebody_took_away_is_one() {
    let _others = beside_others();
    let host = host();
    let sys = RealSys::new(host.path());
    let before = picture(&sys);
    let write = |text: &str| [Does::file("/etc/app/old.conf", text)];
    install_of(b"[1]", host.path(), Fault::None, &write("first\n"), keep(2)).1.unwrap();
    for _ in 0..4 {
        let options = Options { fail_at: Some(Position::Check), ..keep(2) };
        install_of(b"[1]", host.path(), Fault::None, &write("bad\n"), options).1.unwrap();
    }
    install_of(b"[1]", host.path(), Fault::None, &write("second\n"), keep(2)).1.unwrap();
    assert_eq!(ids(host.path()), [1, 5, 6]);
    let error = rollback_to(host.path(), 5).unwrap_err();
    assert_eq!(
        (error.exit(), error.hint().unwrap().as_str()),
        (Exit::BadInput, "chom-install rollback --to 1")
    );
    let (there, aside) =
        (host.path().join("var/lib/chom/transactions/000001"), host.path().join("var/tmp/000001"));
    fs::rename(&there, &aside).unwrap();
    let error = rollback_to(host.path(), 0).unwrap_err();
    assert_eq!(
        (error.exit(), error.hint().unwrap().as_str()),
        (Exit::Refused, "chom-install rollback --to 1")
    );
    assert!(error.to_string().starts_with("transaction 1 is not kept"), "{error}");
    fs::rename(&aside, &there).unwrap();
    assert_eq!(rollback_to(host.path(), 0).unwrap().len(), 2);
    assert_eq!(differences(&before, &picture(&sys)), Vec::<String>::new());
}

#[test]
fn a_manifest_is_committed_and_rolled_back_although_no_step_has_an_effect() {
    let _others = beside_others();
    let host = host();
    let sys = RealSys::new(host.path());
    install_of(b"[1]", host.path(), Fault::None, &script(), Options::default()).1.unwrap();
    let before = picture(&sys);
    let report = install_of(b"[2]", host.path(), Fault::None, &[], Options::default()).1.unwrap();
    assert_eq!((report.id, report.ending, report.effects), (2, Ending::Committed, 0));
    assert_eq!(fs::read(host.path().join("var/lib/chom/transactions/000002/manifest.json")).unwrap(), b"[2]");
    assert_eq!(rollback(host.path(), Fault::None).1.unwrap().remove(0).ending, Ending::Restored);
    assert_eq!(differences(&before, &picture(&sys)), Vec::<String>::new());
}
