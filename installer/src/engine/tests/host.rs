//! A small host in memory, an order for it, and a picture of everything on it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, lchown, symlink};
use std::path::Path;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use chom_format::step::Phase;
use chom_format::{HostPath, StepId};
use tempfile::TempDir;

use super::steps::Does;
use crate::check::{Progress, Report as CheckReport};
use crate::engine::{Checks, Engine, EngineError, Options, Report, Silent, Task, TransactionRequest};
use crate::step::{Change, Context, Undo};
use crate::sys::fault::{Fault, FaultSys};
use crate::sys::{Of, PathState, RealSys, Stamp, Sys, interrupt, look, state_of};
use crate::transaction::{Files, Hold};

/// Signals concern the whole process: the test that sends them has it to itself.
static PROCESS: RwLock<()> = RwLock::new(());

pub(super) fn beside_others() -> RwLockReadGuard<'static, ()> {
    PROCESS.read().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn alone() -> RwLockWriteGuard<'static, ()> {
    let guard = PROCESS.write().unwrap_or_else(PoisonError::into_inner);
    interrupt::unshield();
    guard
}

/// A host with a few things on it. It lies in memory: thousands of runs sync a million times.
pub(super) fn host() -> TempDir {
    let dir = tempfile::Builder::new().prefix("chom-test-").tempdir_in("/dev/shm").unwrap();
    let root = dir.path();
    for path in [
        "etc/app/conf.d",
        "etc/systemd/system",
        "run",
        "var/lib/app",
        "opt/by-hand/lib",
        "usr/lib",
        "srv",
        "var/tmp",
        "var/lib/dpkg/info",
    ] {
        fs::create_dir_all(root.join(path)).unwrap();
    }
    fs::write(root.join("etc/app/old.conf"), "old\n").unwrap();
    fs::set_permissions(root.join("etc/app/old.conf"), fs::Permissions::from_mode(0o640)).unwrap();
    lchown(root.join("etc/app/old.conf"), Some(7), Some(8)).unwrap();
    xattr::set(root.join("etc/app/old.conf"), "user.note", b"by hand").unwrap();
    fs::write(root.join("etc/app/default-site"), "unwanted\n").unwrap();
    fs::write(root.join("var/lib/app/data"), "precious\n").unwrap();
    fs::write(root.join("opt/by-hand/lib/daemon"), "an older one\n").unwrap();
    symlink("old.conf", root.join("etc/app/current")).unwrap();
    fs::hard_link(root.join("etc/app/default-site"), root.join("srv/site")).unwrap();
    age(root);
    dir
}

/// Gives every path an old and odd mtime, so that any that is not put back is seen.
fn age(root: &Path) {
    let sys = RealSys::new(root);
    for (number, path) in (0..).zip(picture(&sys).into_keys().rev()) {
        let mut sys = RealSys::new(root);
        let mtime = Stamp { sec: 1_500_000_000 + number, nsec: 123_456_789 };
        let attrs = crate::sys::Attrs { mtime, ..sys.attrs(&path).unwrap().unwrap() };
        sys.effect(&crate::sys::Effect::SetAttrs { path: &path, attrs: &attrs, of: Of::Any }).unwrap();
    }
}

pub(super) type Picture = BTreeMap<HostPath, (PathState, Stamp)>;

/// Every path with all that can be seen of it, the state directory left out.
pub(super) fn picture(sys: &dyn Sys) -> Picture {
    let mut found = Picture::new();
    let mut todo = vec![HostPath::root()];
    while let Some(path) = todo.pop() {
        if ["/var/lib/chom", "/var/tmp", "/run"].contains(&path.as_str()) {
            continue;
        }
        let meta = sys.meta(&path).unwrap().unwrap();
        found.insert(path.clone(), (state_of(sys, &path).unwrap(), meta.mtime));
        if meta.kind == crate::sys::Kind::Dir {
            todo.extend(sys.list(&path).unwrap().iter().map(|name| path.join(&name.parse().unwrap())));
        }
    }
    found
}

/// What two pictures differ in, for a message that helps.
pub(super) fn differences(before: &Picture, after: &Picture) -> Vec<String> {
    let paths: std::collections::BTreeSet<_> = before.keys().chain(after.keys()).collect();
    paths
        .into_iter()
        .filter(|path| before.get(*path) != after.get(*path))
        .map(|path| format!("{path}: {:?} -> {:?}", before.get(path), after.get(path)))
        .collect()
}

/// All kinds of change, with parents that are missing and a path that two steps touch.
pub(super) fn script() -> Vec<Does> {
    vec![
        Does::dir("/var/lib/new", true),
        Does::file("/var/lib/new/seed", "seed\n"),
        Does::instead("/opt/by-hand", "releases/1"),
        Does::package(
            "daemon",
            &[
                ("/usr/bin/daemon", "elf"),
                ("/etc/daemon/daemon.conf", "default\n"),
                ("/etc/app/old.conf", "its own\n"),
            ],
        ),
        Does::release("/opt/app/releases/1", &[("bin/app", "binary"), ("share/doc", "text")]),
        Does::file("/etc/daemon/daemon.conf", "ours\n"),
        Does::file("/etc/daemon/rules.d/ours", "ours\n"),
        Does::file("/etc/app/old.conf", "new\n"),
        Does::file("/etc/app/conf.d/deep/er/extra.conf", "extra\n"),
        Does::absent("/etc/app/default-site"),
        Does::link("/etc/app/current", "conf.d"),
        Does::link("/opt/app/current", "releases/1"),
        Does::file("/etc/app/old.conf", "newer\n"),
        Does::dir("/srv", false),
    ]
}

/// One of each kind, for tests that go through pairs of faults.
pub(super) fn short_script() -> Vec<Does> {
    vec![
        Does::dir("/var/lib/new", true),
        Does::package("daemon", &[("/usr/bin/daemon", "elf"), ("/etc/app/old.conf", "its own\n")]),
        Does::release("/opt/app/releases/1", &[("bin/app", "binary")]),
        Does::file("/etc/app/old.conf", "new\n"),
        Does::absent("/etc/app/default-site"),
    ]
}

pub(super) struct Healthy;

impl Checks for Healthy {
    fn run(
        &self,
        _: &dyn Sys,
        _: &(dyn Fn(&Progress) + Sync),
        _: &(dyn Fn() -> bool + Sync),
    ) -> Vec<CheckReport> {
        Vec::new()
    }
}

pub(super) fn order<'a>(
    sys: &dyn Sys,
    script: &'a [Does],
    checks: &'a dyn Checks,
    options: Options,
) -> TransactionRequest<'a> {
    let task = |(number, step): (usize, &'a Does)| Task {
        id: id(number),
        phase: Phase::Install,
        step,
        change: Change {
            verb: "do",
            summary: format!("{step:?}"),
            detail: step.detail(),
            diff: Vec::new(),
            undo: Undo::Exactly,
            writes: Vec::new(),
            changes: step.upcoming(),
        },
        // What cannot be looked at is not agreed on.
        seen: look(sys, step.path()).map(|state| vec![(step.path().clone(), state)]).unwrap_or_default(),
        deadline: Duration::from_secs(60),
    };
    TransactionRequest {
        bundle: "test-1-00000000",
        manifest: b"{}",
        by: "the test",
        tasks: script.iter().enumerate().map(task).collect(),
        context: Context::default(),
        checks,
        options,
        backup: None,
        adopts: false,
    }
}

pub(super) fn id(number: usize) -> StepId {
    format!("test/{number}").parse().unwrap()
}

/// One process that installs: takes the host, recovers nothing, runs.
pub(super) fn install(
    root: &Path,
    fault: Fault,
    script: &[Does],
    options: Options,
) -> (FaultSys, Result<Report, EngineError>) {
    install_of(b"{}", root, fault, script, options)
}

/// The same, of another bundle.
pub(super) fn install_of(
    manifest: &[u8],
    root: &Path,
    fault: Fault,
    script: &[Does],
    options: Options,
) -> (FaultSys, Result<Report, EngineError>) {
    let plan = TransactionRequest { manifest, ..order(&RealSys::new(root), script, &Healthy, options) };
    let mut sys = FaultSys::new(root, fault);
    let files = Files::standard().unwrap();
    let hold = match Hold::establish(&mut sys, &files, "test") {
        Ok(hold) => hold,
        Err(crate::transaction::Busy::Sys(error)) => return (sys, Err(error.into())),
        Err(busy) => panic!("{busy}"),
    };
    let result = Engine::new(&mut sys, files, &hold, &mut Silent).kept_as(program()).install(&plan);
    interrupt::unshield();
    (sys, result)
}

/// One process that recovers.
pub(super) fn recover(root: &Path, fault: Fault) -> (FaultSys, Result<Vec<Report>, EngineError>) {
    act(root, fault, |engine| engine.recover())
}

/// What is kept for a reboot.
fn program() -> Option<Vec<u8>> {
    Some(b"the program".to_vec())
}

/// The host comes up, and its boot unit does what it is for, if it is there.
pub(super) fn boot(root: &Path, fault: Fault) -> (FaultSys, Result<Vec<u64>, EngineError>) {
    let is_there = |units: &str| {
        let units = root.join(units);
        let link = units.join("multi-user.target.wants/chom-recover.service");
        link.is_symlink() && units.join("chom-recover.service").exists()
    };
    if !["etc/systemd/system.attached", "etc/systemd/system"].into_iter().any(is_there) {
        return (FaultSys::new(root, Fault::None), Ok(Vec::new()));
    }
    assert_eq!(fs::read(root.join("var/lib/chom/chom-install")).unwrap(), program().unwrap());
    act(root, fault, |engine| engine.recover_early())
}

/// What a boot unit does, whether it is there or not.
pub(super) fn comes_up(root: &Path) -> Result<Vec<u64>, EngineError> {
    act(root, Fault::None, |engine| engine.recover_early()).1
}

/// One process that takes the last transaction back.
pub(super) fn rollback(root: &Path, fault: Fault) -> (FaultSys, Result<Vec<Report>, EngineError>) {
    act(root, fault, |engine| engine.rollback(None))
}

/// One process that goes back to a transaction.
pub(super) fn rollback_to(root: &Path, id: u64) -> Result<Vec<Report>, EngineError> {
    act(root, Fault::None, |engine| engine.rollback(Some(id))).1
}

fn act<T>(
    root: &Path,
    fault: Fault,
    what: impl FnOnce(&mut Engine<'_>) -> Result<Vec<T>, EngineError>,
) -> (FaultSys, Result<Vec<T>, EngineError>) {
    let mut sys = FaultSys::new(root, fault);
    let files = Files::standard().unwrap();
    let Some(hold) = Hold::take(&mut RealSys::new(root), &files, "test").unwrap() else {
        return (sys, Ok(Vec::new()));
    };
    let result = what(&mut Engine::new(&mut sys, files, &hold, &mut Silent).kept_as(program()));
    interrupt::unshield();
    (sys, result)
}
