//! A restore of files is a transaction like every other: a fault at every effect of it, and it is before or after.

use std::fs;
use std::path::Path;
use std::time::Duration;

use chom_format::backup::{BackupPart, BackupPolicy, BackupSource, BackupSpec, PathsSource};

use super::host::*;
use crate::backup::create::{About, BackupRequest, create};
use crate::backup::restore::{decide, stage, steps, sweep};
use crate::engine::{Ending, Engine, EngineError, Options, Report, Silent, Task, TransactionRequest};
use crate::step::{Context, Decision};
use crate::sys::fault::{Fault, FaultSys};
use crate::sys::{RealSys, interrupt};
use crate::transaction::{Files, Hold};

pub(super) fn part(name: &str, path: &str, exclude: &str) -> BackupPart {
    BackupPart {
        name: name.parse().unwrap(),
        component: "app".parse().unwrap(),
        limit: 1 << 20,
        stop: Vec::new(),
        timeout_s: 60,
        source: BackupSource::Paths(PathsSource {
            paths: vec![path.parse().unwrap()],
            exclude: vec![exclude.parse().unwrap()],
        }),
    }
}

/// A host with a backup, on which everything that can differ was changed since.
pub(super) fn changed_host() -> tempfile::TempDir {
    let host = host();
    let at = |path: &str| host.path().join(path);
    fs::create_dir_all(at("etc/app/gone/deep")).unwrap();
    fs::write(at("etc/app/gone/deep/file"), "from before\n").unwrap();
    fs::create_dir(at("etc/app/was-dir")).unwrap();
    fs::write(at("etc/app/was-dir/in-it"), "in it\n").unwrap();
    fs::write(at("etc/app/was-file"), "a file\n").unwrap();
    let spec = BackupSpec {
        policy: BackupPolicy::default(),
        parts: vec![
            part("app.config", "/etc/app", "*.tmp"),
            part("app.data", "/var/lib/app", "*.tmp"),
            part("app.more", "/opt/by-hand/lib", "*.tmp"),
        ],
    };
    let (name, bundle, by) = ("mentat".parse().unwrap(), "b".to_owned(), "the test".to_owned());
    let about = About { host: name, bundle, stood: 1, transaction: None, by };
    Files::standard().unwrap().establish(&mut RealSys::new(host.path())).unwrap();
    create(&mut RealSys::new(host.path()), &BackupRequest { spec: &spec, about }, &|_| {}).unwrap();

    fs::remove_dir_all(at("etc/app/gone")).unwrap();
    fs::remove_dir_all(at("etc/app/was-dir")).unwrap();
    fs::write(at("etc/app/was-dir"), "now a file\n").unwrap();
    fs::remove_file(at("etc/app/was-file")).unwrap();
    fs::create_dir_all(at("etc/app/was-file/new")).unwrap();
    fs::write(at("etc/app/was-file/new/x"), "x\n").unwrap();
    fs::write(at("etc/app/old.conf"), "edited\n").unwrap();
    fs::write(at("etc/app/left.tmp"), "left alone\n").unwrap();
    fs::remove_file(at("etc/app/current")).unwrap();
    fs::remove_dir_all(at("opt/by-hand")).unwrap();
    fs::write(at("var/lib/app/data"), "worse\n").unwrap();
    host
}

type Restored = (FaultSys, Option<Result<Report, EngineError>>);

/// One process that restores.
pub(super) fn restore(root: &Path, fault: Fault) -> Restored {
    try_restore(root, fault).unwrap_or_else(|why| panic!("{why}"))
}

/// The same, where it may be refused before it begins.
pub(super) fn try_restore(root: &Path, fault: Fault) -> Result<Restored, String> {
    let files = Files::standard().unwrap();
    let mut real = RealSys::new(root);
    let found =
        crate::backup::shelf::Shelf { dir: BackupPolicy::default().dir }.list(&real).unwrap().remove(0);
    let hold = Hold::take(&mut real, &files, "test").unwrap().unwrap();
    let staged = stage(&mut real, &files, &found, &[], &[]).map_err(|error| error.to_string())?;
    let entries = steps(&real, &staged).map_err(|error| error.to_string())?;
    let planned = decide(&real, &entries).map_err(|error| error.to_string())?;
    let tasks: Vec<Task<'_>> = planned
        .iter()
        .zip(&entries)
        .filter_map(|(planned, entry)| {
            let Decision::Change(change) = &planned.decision else { return None };
            Some(Task {
                id: planned.id.clone(),
                phase: planned.phase,
                step: &*entry.step,
                change: change.clone(),
                seen: Vec::new(),
                deadline: Duration::from_secs(60),
            })
        })
        .collect();
    let mut sys = FaultSys::new(root, fault);
    let none = tasks.is_empty();
    let order = TransactionRequest {
        bundle: "backup-000001",
        manifest: b"{}",
        by: "the test",
        tasks,
        context: Context::default(),
        checks: &Healthy,
        options: Options::default(),
        backup: None,
        adopts: false,
    };
    let result = (!none).then(|| Engine::new(&mut sys, files.clone(), &hold, &mut Silent).install(&order));
    interrupt::unshield();
    if !sys.is_dead() {
        sweep(&mut real, &files).unwrap();
    }
    Ok((sys, result))
}

fn now(root: &Path) -> Picture {
    picture(&RealSys::new(root))
}

#[test]
fn all_that_differs_comes_back_and_can_be_taken_back() {
    let _others = beside_others();
    let host = changed_host();
    let changed = now(host.path());
    let report = restore(host.path(), Fault::None).1.unwrap().unwrap();
    assert_eq!(report.ending, Ending::Committed, "{report:?}");
    let text = |path: &str| fs::read_to_string(host.path().join(path)).unwrap();
    assert_eq!(text("etc/app/gone/deep/file"), "from before\n");
    assert_eq!(text("etc/app/was-dir/in-it"), "in it\n");
    assert_eq!(text("etc/app/was-file"), "a file\n");
    assert_eq!(text("etc/app/left.tmp"), "left alone\n");
    assert_eq!(text("opt/by-hand/lib/daemon"), "an older one\n");
    assert_eq!(text("var/lib/app/data"), "precious\n");
    assert!(restore(host.path(), Fault::None).1.is_none(), "a second time there is nothing to do");
    let reports = rollback(host.path(), Fault::None).1.unwrap();
    assert!(reports.iter().all(|report| report.ending == Ending::Restored), "{reports:?}");
    assert_eq!(differences(&changed, &now(host.path())), Vec::<String>::new());
}

#[test]
fn a_fault_at_every_effect_of_a_restore() {
    let _others = beside_others();
    let effects = restore(changed_host().path(), Fault::None).0.effects();
    for k in 1..=effects {
        for fault in
            [Fault::Fail(k), Fault::Full(k), Fault::KillWithin(k), Fault::KillAfter(k), Fault::Power(k, k)]
        {
            let host = changed_host();
            let before = now(host.path());
            let (sys, result) = restore(host.path(), fault);
            let reports =
                recover(host.path(), Fault::None).1.unwrap_or_else(|error| panic!("{fault:?}: {error}"));
            assert!(reports.iter().all(|report| report.ending == Ending::Restored), "{fault:?}: {reports:?}");
            let found = differences(&before, &now(host.path()));
            if found.is_empty() {
                continue;
            }
            // Then it stands, whole, and can be taken back.
            let stands = matches!(&result, Some(Ok(report)) if report.ending == Ending::Committed);
            assert!(stands || sys.is_dead(), "{fault:?}: {found:?}");
            let reports = rollback(host.path(), Fault::None)
                .1
                .unwrap_or_else(|error| panic!("{fault:?}: {error}: {found:#?}"));
            assert!(reports.iter().all(|report| report.ending == Ending::Restored), "{fault:?}: {reports:?}");
            assert_eq!(differences(&before, &now(host.path())), Vec::<String>::new(), "{fault:?}");
        }
    }
}
