//! Whole transactions without a fault: what stands, what is taken back, what others did meanwhile.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;

use chom_format::exit::Explain;
use chom_format::{Exit, HostState};

use super::host::*;
use super::steps::Does;
use crate::engine::{Ending, EngineError, Event, Observer, Options, Position, prove_originals};
use crate::receipt::Receipt;
use crate::resource::Sought;
use crate::sys::fault::Fault;
use crate::sys::{RealSys, interrupt};
use crate::transaction::{Files, WayError, list};

#[test]
fn a_transaction_stands_and_is_taken_back_with_proof() {
    let _others = beside_others();
    let host = host();
    let before = picture(&RealSys::new(host.path()));
    let (_, report) = install(host.path(), Fault::None, &script(), Options::default());
    let report = report.unwrap();
    assert_eq!(
        (report.ending, report.exit(), report.host()),
        (Ending::Committed, Exit::Done, HostState::Installed)
    );
    assert_eq!(report.changed.len(), script().len());
    assert_eq!(fs::read_to_string(host.path().join("etc/app/old.conf")).unwrap(), "newer\n");

    let receipt = fs::read(host.path().join("var/lib/chom/transactions/000001/receipt.json")).unwrap();
    let receipt = Receipt::parse(&receipt).unwrap();
    assert_eq!((receipt.id, receipt.changes.len()), (1, script().len()));
    assert_eq!(receipt.sought.unwrap(), Sought::default(), "all of it is declared");

    let (_, reports) = rollback(host.path(), Fault::None);
    let report = reports.unwrap().remove(0);
    assert_eq!((report.ending, report.exit()), (Ending::Restored, Exit::Done), "{report:?}");
    assert!(!report.proof.is_empty());
    assert_eq!(report.exceptions, Vec::<String>::new());
    assert_eq!(differences(&before, &picture(&RealSys::new(host.path()))), Vec::<String>::new());
    let (_, again) = rollback(host.path(), Fault::None);
    assert!(matches!(again, Err(EngineError::Way(WayError::Nothing))));
}

/// What no step, package or unit declares is named where it is done and where it stays, and is never called proved.
#[test]
fn what_nobody_declared_is_found_and_not_restored() {
    let _others = beside_others();
    let host = host();
    let beside = host.path().join("etc/app/conf.d/beside");
    let script = [Does::careless("/etc/app/new", "/etc/app/conf.d/beside")];
    let named =
        |report: &crate::engine::Report| report.found.iter().map(ToString::to_string).collect::<Vec<_>>();
    let wanted = ["/etc/app/conf.d/beside was not there before"];

    let fails = Options { fail_at: Some(Position::Check), ..Options::default() };
    let report = install(host.path(), Fault::None, &script, fails).1.unwrap();
    assert_eq!((report.exit(), named(&report)), (Exit::Restored, wanted.map(str::to_owned).to_vec()));
    assert!(report.host().to_string().contains("1 path(s) that nobody declared"), "{}", report.host());
    assert!(beside.exists());
    fs::remove_file(&beside).unwrap();

    let report = install(host.path(), Fault::None, &script, Options::default()).1.unwrap();
    assert_eq!((report.exit(), named(&report)), (Exit::Done, wanted.map(str::to_owned).to_vec()));
    let receipt = fs::read(host.path().join("var/lib/chom/transactions/000002/receipt.json")).unwrap();
    assert_eq!(Receipt::parse(&receipt).unwrap().sought.unwrap().found, report.found);
    // What others do meanwhile is nothing that was found.
    fs::write(host.path().join("etc/theirs"), "theirs\n").unwrap();
    let report = rollback(host.path(), Fault::None).1.unwrap().remove(0);
    assert_eq!((report.exit(), named(&report)), (Exit::Done, wanted.map(str::to_owned).to_vec()));

    // It went with the unit that made it: then all is as before.
    fs::remove_file(&beside).unwrap();
    install(host.path(), Fault::None, &script, Options::default()).1.unwrap();
    fs::remove_file(&beside).unwrap();
    let report = rollback(host.path(), Fault::None).1.unwrap().remove(0);
    assert_eq!((report.host(), named(&report)), (HostState::Restored, Vec::new()));
}

#[test]
fn failing_and_interrupting_at_every_position_restores() {
    let _alone = alone();
    interrupt::listen().unwrap();
    let host = host();
    let before = picture(&RealSys::new(host.path()));
    let steps = (0..script().len()).map(|number| Position::Step(id(number)));
    for position in steps.chain([Position::Check, Position::Commit]) {
        for interrupted in [false, true] {
            let mut options = Options::default();
            if interrupted {
                options.interrupt_at = Some(position.clone());
            } else {
                options.fail_at = Some(position.clone());
            }
            let (_, report) = install(host.path(), Fault::None, &script(), options);
            interrupt::forget();
            let report = report.unwrap();
            assert_eq!(
                (report.ending, report.exit()),
                (Ending::Restored, Exit::Restored),
                "{position}: {report:?}"
            );
            let message = report.failure.unwrap().message;
            let expected = if interrupted { "interrupted by SIGINT" } else { "deliberate fault" };
            assert!(message.contains(expected), "{position}: {message}");
            let now = picture(&RealSys::new(host.path()));
            assert_eq!(differences(&before, &now), Vec::<String>::new(), "{position}");
        }
    }
    let (_, report) = install(host.path(), Fault::None, &script(), Options::default());
    assert_eq!(report.unwrap().ending, Ending::Committed);
}

/// Somebody at the terminal who does not let go.
struct Impatient(usize);

impl Observer for Impatient {
    fn event(&mut self, event: &Event<'_>) {
        let going_back = matches!(
            event,
            Event::Failed { .. } | Event::RollingBack { .. } | Event::Restored { .. } | Event::Proving
        );
        if going_back {
            self.0 += 1;
            interrupt::rehearse().unwrap();
        }
    }
}

#[test]
fn a_second_interrupt_does_not_skip_the_restore() {
    let _alone = alone();
    interrupt::listen().unwrap();
    let host = host();
    let before = picture(&RealSys::new(host.path()));
    let script = script();
    let options = Options { interrupt_at: Some(Position::Step(id(5))), ..Options::default() };
    let mut sys = RealSys::new(host.path());
    let plan = order(&sys, &script, &Healthy, options);
    let files = Files::standard().unwrap();
    let hold = crate::transaction::Hold::establish(&mut sys, &files, "test").unwrap();
    let mut impatient = Impatient(0);
    let report = crate::engine::Engine::new(&mut sys, files, &hold, &mut impatient).install(&plan).unwrap();
    interrupt::forget();
    assert!(impatient.0 > 10, "interrupted {} times on the way back", impatient.0);
    assert_eq!((report.ending, report.exit()), (Ending::Restored, Exit::Restored), "{report:?}");
    assert!(report.failure.unwrap().message.contains("SIGINT"));
    assert_eq!(differences(&before, &picture(&sys)), Vec::<String>::new());
}

#[test]
fn a_plan_that_no_longer_holds_is_refused_before_anything_happens() {
    let _others = beside_others();
    let host = host();
    let script = script();
    let plan = order(&RealSys::new(host.path()), &script, &Healthy, Options::default());
    fs::write(host.path().join("etc/app/old.conf"), "edited meanwhile\n").unwrap();
    let before = picture(&RealSys::new(host.path()));
    let mut sys = RealSys::new(host.path());
    let files = Files::standard().unwrap();
    let hold = crate::transaction::Hold::establish(&mut sys, &files, "test").unwrap();
    let result =
        crate::engine::Engine::new(&mut sys, files, &hold, &mut crate::engine::Silent).install(&plan);
    assert!(matches!(&result, Err(EngineError::Stale { path, .. }) if path.as_str() == "/etc/app/old.conf"));
    assert_eq!(differences(&before, &picture(&sys)), Vec::<String>::new());
}

#[test]
fn hand_edits_since_the_commit_are_kept_and_named() {
    let _others = beside_others();
    let host = host();
    let at = |path: &str| host.path().join(path);
    let before = picture(&RealSys::new(host.path()));
    install(host.path(), Fault::None, &script(), Options::default()).1.unwrap();
    fs::write(at("etc/app/old.conf"), "edited by hand\n").unwrap();
    fs::write(at("opt/app/releases/1/bin/app"), "patched by hand").unwrap();
    fs::write(at("var/lib/new/rows"), "data of the service").unwrap();

    let report = rollback(host.path(), Fault::None).1.unwrap().remove(0);
    assert_eq!(report.ending, Ending::Restored, "{report:?}");
    assert_eq!(differences(&before, &picture(&RealSys::new(host.path()))), Vec::<String>::new());
    assert_eq!(report.exceptions.len(), 3, "{:?}", report.exceptions);
    let attic = at("var/lib/chom/attic/000001");
    let kept = |prefix: &str| {
        let names = fs::read_dir(&attic).unwrap().map(|entry| entry.unwrap().path());
        names
            .into_iter()
            .find(|path| path.file_name().unwrap().to_str().unwrap().starts_with(prefix))
            .unwrap()
    };
    assert_eq!(fs::read_to_string(kept("etc_app_old.conf.")).unwrap(), "edited by hand\n");
    assert_eq!(fs::read_to_string(kept("opt_app_releases_1.").join("bin/app")).unwrap(), "patched by hand");
    assert_eq!(fs::read_to_string(kept("var_lib_new.").join("rows")).unwrap(), "data of the service");
    for exception in &report.exceptions {
        assert!(exception.contains("/var/lib/chom/attic/000001/"), "{exception}");
    }
}

/// A crash in the middle of a step, and then somebody writes to the very file that it was about to change.
#[test]
fn what_a_step_that_was_cut_off_cannot_have_made_is_kept() {
    let _lock = beside_others();
    let script = [Does::file("/etc/app/old.conf", "new\n")];
    let effects = install(host().path(), Fault::None, &script, Options::default()).0.effects();
    let mut seen = BTreeSet::new();
    for at in 1..effects {
        for theirs in [None, Some("theirs\n")] {
            let host = host();
            let root = host.path();
            let before = picture(&RealSys::new(root));
            install(root, Fault::KillAfter(at), &script, Options::default()).1.ok();
            let known = list(&RealSys::new(root), &Files::standard().unwrap()).unwrap();
            if !known.iter().any(|known| known.state.is_open() && !known.state.expected.is_empty()) {
                continue;
            }
            if let Some(text) = theirs {
                fs::write(root.join("etc/app/old.conf"), text).unwrap();
            }
            let reports = recover(root, Fault::None).1.unwrap();
            assert!(reports.iter().all(|report| report.ending == Ending::Restored), "{at}: {reports:?}");
            assert_eq!(differences(&before, &picture(&RealSys::new(root))), Vec::<String>::new(), "{at}");
            let kept: Vec<&String> = reports.iter().flat_map(|report| &report.exceptions).collect();
            assert_eq!(kept.len(), usize::from(theirs.is_some()), "{at}: {kept:?}");
            for text in kept {
                let place = text.rsplit(' ').next().unwrap().trim_start_matches('/');
                assert_eq!(fs::read_to_string(root.join(place)).unwrap(), "theirs\n", "{text}");
            }
            seen.insert(at);
        }
    }
    assert!(seen.len() >= 2, "before and after its effect: {seen:?}");
}

#[test]
fn a_directory_of_ours_with_files_of_others_stays_and_is_named() {
    let _others = beside_others();
    let host = host();
    let script = [Does::dir("/srv/ours", false)];
    install(host.path(), Fault::None, &script, Options::default()).1.unwrap();
    fs::write(host.path().join("srv/ours/theirs"), "").unwrap();
    let report = rollback(host.path(), Fault::None).1.unwrap().remove(0);
    assert_eq!((report.ending, report.exit()), (Ending::Stuck, Exit::NeedsPerson));
    assert!(report.conflicts.iter().any(|text| text.contains("/srv/ours") && text.contains("theirs")));
    assert!(host.path().join("srv/ours/theirs").exists());
    // Nothing else may begin until a person has looked; then it is finished.
    let refused = install(host.path(), Fault::None, &script, Options::default()).1;
    assert!(matches!(refused, Err(EngineError::Unfinished { id: 1 })));
    fs::remove_file(host.path().join("srv/ours/theirs")).unwrap();
    let report = recover(host.path(), Fault::None).1.unwrap().remove(0);
    assert_eq!(report.ending, Ending::Restored, "{report:?}");
    assert!(!host.path().join("srv/ours").exists());
}

#[test]
fn names_that_others_made_in_our_directories_are_left_and_named() {
    let _others = beside_others();
    let host = host();
    install(host.path(), Fault::None, &script(), Options::default()).1.unwrap();
    fs::write(host.path().join("etc/app/theirs"), "").unwrap();
    let report = rollback(host.path(), Fault::None).1.unwrap().remove(0);
    assert_eq!(report.ending, Ending::Restored, "{report:?}");
    assert!(host.path().join("etc/app/theirs").exists());
    assert!(report.exceptions.iter().any(|text| text.contains("/etc/app/theirs")), "{:?}", report.exceptions);
}

#[test]
fn an_original_that_is_lost_or_damaged_is_known_before_anything_is_taken_back() {
    let _others = beside_others();
    let host = host();
    install(host.path(), Fault::None, &script(), Options::default()).1.unwrap();
    let (sys, files) = (RealSys::new(host.path()), Files::standard().unwrap());
    let known = list(&sys, &files).unwrap().remove(0);
    prove_originals(&sys, &files, &known).unwrap();
    let store = host.path().join("var/lib/chom/objects");
    let objects: Vec<_> = fs::read_dir(&store).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!objects.is_empty());
    for object in objects {
        let whole = fs::read(&object).unwrap();
        for damage in [None, Some([&whole[..], b"x"].concat())] {
            fs::remove_file(&object).unwrap();
            damage.iter().for_each(|bytes| fs::write(&object, bytes).unwrap());
            let error = prove_originals(&sys, &files, &known).unwrap_err();
            let name = object.file_name().unwrap().to_string_lossy();
            assert!(error.to_string().contains(&*name), "{error}");
            assert_eq!((error.exit(), error.host()), (Exit::Refused, HostState::Unchanged));
            fs::write(&object, &whole).unwrap();
        }
    }
    prove_originals(&sys, &files, &known).unwrap();
}

/// `system.posix_acl_access` of version 2: the owner, one named user, the group, the mask, the others.
const ACL: &[u8] = &[
    2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 4, 0, 7, 0, 0, 0, 4, 0, 4, 0, 255, 255, 255, 255, 16,
    0, 4, 0, 255, 255, 255, 255, 32, 0, 0, 0, 255, 255, 255, 255,
];
/// `security.capability` of version 2: cap_net_bind_service, permitted and effective.
const CAPABILITY: &[u8] = &[1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

#[test]
fn acls_capabilities_and_nanoseconds_come_back() {
    let _others = beside_others();
    let host = host();
    let file = host.path().join("etc/app/old.conf");
    let when = std::time::UNIX_EPOCH + std::time::Duration::new(1_234_567_890, 987_654_321);
    xattr::set(&file, "system.posix_acl_access", ACL).unwrap();
    xattr::set(&file, "security.capability", CAPABILITY).unwrap();
    fs::File::options().write(true).open(&file).unwrap().set_modified(when).unwrap();
    let before = picture(&RealSys::new(host.path()));
    for script in [script(), vec![Does::absent("/etc/app/old.conf")]] {
        install(host.path(), Fault::None, &script, Options::default()).1.unwrap();
        let report = rollback(host.path(), Fault::None).1.unwrap().remove(0);
        assert_eq!(report.ending, Ending::Restored, "{report:?}");
        assert_eq!(xattr::get(&file, "system.posix_acl_access").unwrap().as_deref(), Some(ACL));
        assert_eq!(xattr::get(&file, "security.capability").unwrap().as_deref(), Some(CAPABILITY));
        assert_eq!(fs::metadata(&file).unwrap().modified().unwrap(), when);
        assert_eq!(differences(&before, &picture(&RealSys::new(host.path()))), Vec::<String>::new());
    }
}

#[test]
fn behind_a_link_among_the_parents_all_comes_back_too() {
    let _others = beside_others();
    let host = host();
    fs::create_dir_all(host.path().join("srv/real")).unwrap();
    fs::write(host.path().join("srv/real/kept.conf"), "kept\n").unwrap();
    symlink("../srv/real", host.path().join("etc/linked")).unwrap();
    let past = std::time::UNIX_EPOCH + std::time::Duration::new(1_400_000_000, 5);
    fs::File::open(host.path().join("srv/real")).unwrap().set_modified(past).unwrap();
    let before = picture(&RealSys::new(host.path()));
    let script = [
        Does::file("/etc/linked/new.conf", "new\n"),
        Does::file("/etc/linked/kept.conf", "other\n"),
        Does::file("/etc/linked/deep/er.conf", "deep\n"),
    ];
    install(host.path(), Fault::None, &script, Options::default()).1.unwrap();
    assert!(host.path().join("srv/real/deep/er.conf").exists());
    let report = rollback(host.path(), Fault::None).1.unwrap().remove(0);
    assert_eq!(report.ending, Ending::Restored, "{report:?}");
    assert_eq!(differences(&before, &picture(&RealSys::new(host.path()))), Vec::<String>::new());
}

#[test]
fn a_file_of_several_names_comes_back_as_the_same_file() {
    use std::os::unix::fs::MetadataExt as _;
    let _others = beside_others();
    let host = host();
    let (file, other) = (host.path().join("etc/app/old.conf"), host.path().join("srv/other-name"));
    fs::hard_link(&file, &other).unwrap();
    let before = picture(&RealSys::new(host.path()));
    let inode = fs::metadata(&other).unwrap().ino();
    let script = [Does::file("/etc/app/old.conf", "new\n")];
    for options in [Options { fail_at: Some(Position::Commit), ..Options::default() }, Options::default()] {
        let failed = options.fail_at.is_some();
        let report = install(host.path(), Fault::None, &script, options).1.unwrap();
        if failed {
            assert_eq!(report.ending, Ending::Restored, "{report:?}");
        } else {
            assert_ne!(fs::metadata(&file).unwrap().ino(), inode);
            let report = rollback(host.path(), Fault::None).1.unwrap().remove(0);
            assert_eq!(report.ending, Ending::Restored, "{report:?}");
        }
        let (now, its) = (fs::metadata(&file).unwrap(), fs::metadata(&other).unwrap());
        assert_eq!((now.ino(), its.ino(), now.nlink()), (inode, inode, 2));
        assert_eq!(differences(&before, &picture(&RealSys::new(host.path()))), Vec::<String>::new());
    }
}
