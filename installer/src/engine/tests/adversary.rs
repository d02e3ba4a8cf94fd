//! Another account acts in the moment before a call: it exchanges a part of the path, below the first directory that it
//! can write to, for a link to what is none of its business, for another directory, for a further name of a file that it
//! may not read, for a pipe on which a reader would wait for ever.
//!
//! Nothing outside is changed, nor read through it; the run ends, well or with an error; and afterwards, without the
//! adversary, the host comes back. `CHOM_MATRIX=full` takes every moment, the usual run some of them, others every day;
//! `CHOM_SEED` takes those of another day.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, lchown, symlink};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chom_format::backup::{BackupPolicy, BackupSpec};

use super::host::*;
use super::restore::{changed_host, part, restore, try_restore};
use super::steps::Does;
use crate::backup::create::{About, BackupRequest, create};
use crate::engine::{Ending, EngineError, Options, Report};
use crate::sys::fault::{Dice, Fault};
use crate::sys::{RealSys, before_each};

/// What belongs to the other account.
const THEIRS: [&str; 2] = ["etc/app", "var/lib/app"];
const VICTIM: &str = "root/victim";
const SECRET: &str = "the victim's own\n";
/// Under this name stays what the adversary has moved away.
const MOVED: &str = ".theirs";
/// As many moments of each act as the usual run takes.
const USUAL: usize = 40;

/// What takes the place of a part of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Link,
    Directory,
    SecondName,
    Pipe,
}

const ALL: [By; 4] = [By::Link, By::Directory, By::SecondName, By::Pipe];

#[derive(Debug, Clone, Copy)]
struct Moment {
    /// The number of the call, of those that concern the other account's directories.
    call: usize,
    /// The number of the part, below such a directory.
    part: usize,
    by: By,
}

/// What somebody does while the adversary acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Install,
    Again,
    Rollback,
    /// After a run that was killed at this effect.
    Recover(u64),
    Backup,
    Restore,
    RestoreAndRollback,
}

fn script() -> Vec<Does> {
    vec![
        Does::dir("/var/lib/app/new", true),
        Does::file("/var/lib/app/new/seed", "seed\n"),
        Does::instead("/etc/app/lib", "conf.d"),
        Does::package("daemon", &[("/usr/bin/daemon", "elf"), ("/etc/app/old.conf", "its own\n")]),
        Does::release("/etc/app/rel/1", &[("bin/app", "binary")]),
        Does::file("/etc/app/old.conf", "new\n"),
        Does::file("/etc/app/conf.d/deep/extra.conf", "extra\n"),
        Does::absent("/etc/app/default-site"),
        Does::link("/etc/app/current", "conf.d"),
    ]
}

impl Act {
    /// A host on which this is about to be done, and how it was before anything was.
    fn host(self) -> (tempfile::TempDir, Picture) {
        let host = match self {
            Self::Restore | Self::RestoreAndRollback => changed_host(),
            _ => host(),
        };
        let at = |path: &str| host.path().join(path);
        fs::create_dir_all(at("etc/app/lib")).unwrap();
        fs::write(at("etc/app/lib/daemon"), "an older one\n").unwrap();
        for path in
            THEIRS.iter().chain(&["etc/app/old.conf", "etc/app/conf.d", "etc/app/lib", "var/lib/app/data"])
        {
            lchown(at(path), Some(7), Some(8)).unwrap();
        }
        victim(host.path());
        let before = elsewhere(host.path());
        match self {
            Self::Rollback | Self::Again => {
                let (_, report) = install(host.path(), Fault::None, &script(), Options::default());
                assert_eq!(report.unwrap().ending, Ending::Committed);
            }
            Self::Recover(effect) => {
                let (sys, _) = install(host.path(), Fault::KillAfter(effect), &script(), Options::default());
                assert!(sys.is_dead(), "effect {effect}");
            }
            Self::RestoreAndRollback => {
                assert_eq!(restore(host.path(), Fault::None).1.unwrap().unwrap().ending, Ending::Committed);
            }
            Self::Install | Self::Backup | Self::Restore => {}
        }
        (host, before)
    }

    fn run(self, root: &Path) -> Result<Vec<Report>, EngineError> {
        match self {
            Self::Install | Self::Again => {
                install(root, Fault::None, &script(), Options::default()).1.map(|report| vec![report])
            }
            Self::Rollback | Self::RestoreAndRollback => rollback(root, Fault::None).1,
            Self::Recover(_) => recover(root, Fault::None).1,
            Self::Backup => {
                let parts =
                    vec![part("app.config", "/etc/app", "*.tmp"), part("app.data", "/var/lib/app", "*.tmp")];
                let spec = BackupSpec { policy: BackupPolicy::default(), parts };
                let (host, bundle, by) = ("mentat".parse().unwrap(), "b".to_owned(), "the test".to_owned());
                let about = About { host, bundle, stood: 1, transaction: None, by };
                crate::transaction::Files::standard().unwrap().establish(&mut RealSys::new(root))?;
                // That it is refused is as good.
                let _ = create(&mut RealSys::new(root), &BackupRequest { spec: &spec, about }, &|_| {});
                Ok(Vec::new())
            }
            Self::Restore => match try_restore(root, Fault::None) {
                Ok((_, Some(report))) => report.map(|report| vec![report]),
                // Nothing is left to do, or it is refused while it is planned.
                Ok((_, None)) | Err(_) => Ok(Vec::new()),
            },
        }
    }
}

/// A tree in which every name of theirs is found, at any depth.
fn victim(root: &Path) {
    let paths = [
        "old.conf",
        "default-site",
        "current",
        "data",
        "lib/daemon",
        "new/seed",
        "rel/1/bin/app",
        "conf.d/deep/extra.conf",
    ];
    let names = ["gone/deep/file", "was-dir/in-it", "was-file/new/x", "left.tmp", "victim"];
    for path in paths.iter().chain(&names) {
        for (start, _) in path.match_indices('/').map(|(at, _)| (at + 1, ())).chain([(0, ())]) {
            let file = root.join(VICTIM).join(&path[start..]);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            if !file.exists() {
                fs::write(&file, SECRET).unwrap();
                fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
            }
        }
    }
    fs::set_permissions(root.join(VICTIM), fs::Permissions::from_mode(0o700)).unwrap();
    // Long ago, so that each reading is noted by the file system.
    let long_ago = UNIX_EPOCH + Duration::from_secs(1_400_000_000);
    for path in below(&root.join(VICTIM)).into_iter().rev() {
        fs::File::open(&path)
            .unwrap()
            .set_times(fs::FileTimes::new().set_accessed(long_ago).set_modified(long_ago))
            .unwrap();
    }
}

/// A path and everything below it, parents first.
fn below(top: &Path) -> Vec<PathBuf> {
    let mut found = vec![top.to_owned()];
    let mut at = 0;
    while let Some(path) = found.get(at).cloned() {
        if fs::symlink_metadata(&path).unwrap().is_dir() {
            found.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        at += 1;
    }
    found
}

type Looks = BTreeMap<PathBuf, (u32, u32, u32, u64, i64, i64)>;

/// All that can be seen of a tree without reading it.
fn looks(top: &Path) -> Looks {
    // The directories are read last of all: that would be noted too.
    let look = |path: &PathBuf| {
        let meta = fs::symlink_metadata(path).unwrap();
        (meta.mode(), meta.uid(), meta.gid(), meta.size(), meta.mtime(), meta.atime())
    };
    let known = KNOWN.with_borrow_mut(|known| {
        if known.is_empty() {
            let top_length = top.as_os_str().len();
            *known = below(top)
                .into_iter()
                .map(|path| PathBuf::from(&path.to_str().unwrap()[top_length..]))
                .collect();
        }
        known.clone()
    });
    known
        .iter()
        .map(|path| format!("{}{}", top.display(), path.display()).into())
        .map(|path: PathBuf| {
            let look = look(&path);
            (path, look)
        })
        .collect()
}

thread_local! {
    static KNOWN: RefCell<Vec<PathBuf>> = const { RefCell::new(Vec::new()) };
}

/// The part of a path that lies in a directory of theirs, and that directory.
fn theirs(root: &Path, path: &Path) -> Option<(PathBuf, Vec<String>)> {
    THEIRS.iter().map(|dir| root.join(dir)).find_map(|dir| {
        let rest = path.strip_prefix(&dir).ok()?;
        let parts: Vec<String> = rest.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        (!parts.is_empty() && parts.iter().all(|part| part != "..")).then_some((dir, parts))
    })
}

/// Every call of an act that concerns their directories, by how many parts of its path lie in them.
fn calls(act: Act) -> Vec<usize> {
    let (host, _) = act.host();
    let (root, calls) = (host.path().to_owned(), Rc::new(RefCell::new(Vec::new())));
    let noted = Rc::clone(&calls);
    before_each(Some(Box::new(move |path: &Path| {
        if let Some((_, parts)) = theirs(&root, path) {
            noted.borrow_mut().push(parts.len());
        }
    })));
    let ended = act.run(host.path());
    before_each(None);
    assert!(ended.is_ok(), "{act:?} without an adversary: {ended:?}");
    calls.take()
}

fn moments(calls: &[usize]) -> Vec<Moment> {
    let mut all = Vec::new();
    for (call, parts) in calls.iter().enumerate() {
        for part in 0..*parts {
            all.extend(ALL.map(|by| Moment { call, part, by }));
        }
    }
    all
}

fn exchange(root: &Path, dir: &Path, parts: &[String], by: By) {
    let (name, above) = parts.split_last().unwrap();
    let place = above.iter().fold(dir.to_owned(), |path, part| path.join(part));
    let at = place.join(name);
    // What has become root's by then is closed to them.
    if !place.is_dir() || fs::symlink_metadata(dir).unwrap().uid() == 0 {
        return;
    }
    if at.symlink_metadata().is_ok() {
        fs::rename(&at, place.join(MOVED)).unwrap();
    }
    let depth = at.strip_prefix(root).unwrap().iter().count() - 1;
    match by {
        // The same place for the kernel and for whoever takes the root for `/`.
        By::Link => {
            symlink(format!("{}{VICTIM}", "../".repeat(depth)), &at).unwrap();
            lchown(&at, Some(7), Some(8)).unwrap();
        }
        By::Directory => {
            fs::create_dir(&at).unwrap();
            fs::write(at.join("planted"), "planted\n").unwrap();
            lchown(&at, Some(7), Some(8)).unwrap();
        }
        By::SecondName => fs::hard_link(root.join(VICTIM).join("victim"), &at).unwrap(),
        By::Pipe => {
            nix::unistd::mkfifo(&at, nix::sys::stat::Mode::from_bits_truncate(0o666)).unwrap();
            lchown(&at, Some(7), Some(8)).unwrap();
        }
    }
}

/// One act with one exchange.
fn play(act: Act, moment: Moment) {
    let (host, outside) = act.host();
    let root = host.path().to_owned();
    let (what, before) = (format!("{act:?}, {moment:?}"), looks(&root.join(VICTIM)));
    let (count, at) = (Cell::new(0), root.clone());
    before_each(Some(Box::new(move |path: &Path| {
        let Some((dir, parts)) = theirs(&at, path) else { return };
        if count.replace(count.get() + 1) == moment.call && parts.len() > moment.part {
            exchange(&at, &dir, &parts[..=moment.part], moment.by);
        }
    })));
    let ended = act.run(&root);
    before_each(None);
    unharmed(&root, moment.by, &before, &what);
    let conflicts = settle(act, &root, ended, &what);
    // While something is left to a person, so is the unit that would go on.
    if !conflicts.is_empty() {
        return;
    }
    unharmed(&root, moment.by, &before, &format!("{what}, afterwards"));
    if act != Act::Again {
        assert_eq!(differences(&outside, &elsewhere(&root)), Vec::<String>::new(), "{what}");
    }
}

/// The victim is as it was, was not read through what was planted, and nothing of it went anywhere.
fn unharmed(root: &Path, by: By, before: &Looks, what: &str) {
    let mut now = looks(&root.join(VICTIM));
    if by == By::SecondName {
        // By this name the file itself lies where we look; its owner and mode are what protects it.
        let (one, other) = (root.join(VICTIM).join("victim"), before.clone());
        now.insert(
            one.clone(),
            (now[&one].0, now[&one].1, now[&one].2, now[&one].3, now[&one].4, other[&one].5),
        );
    }
    let touched: Vec<_> = now.iter().filter(|(path, look)| before.get(*path) != Some(*look)).collect();
    assert!(touched.is_empty(), "{what}: touched or read: {touched:?}");
    for path in below(root) {
        let meta = fs::symlink_metadata(&path).unwrap();
        let is_ours = path.starts_with(root.join(VICTIM)) || path.starts_with(root.join("var/lib/chom"));
        if is_ours || !meta.is_file() || meta.size() != SECRET.len() as u64 {
            continue;
        }
        let guarded = meta.uid() == 0 && meta.mode() & 0o077 == 0;
        assert!(
            guarded || fs::read_to_string(&path).unwrap() != SECRET,
            "{what}: {} is a copy",
            path.display()
        );
    }
}

/// Everything that is not theirs and not the victim's.
fn elsewhere(root: &Path) -> Picture {
    let mut picture = Picture::new();
    for path in below(root) {
        let inside = format!("/{}", path.strip_prefix(root).unwrap().display());
        let left_out = THEIRS.iter().chain(&[VICTIM, "var/lib/chom", "var/tmp", "run"]);
        if left_out.clone().any(|dir| inside.starts_with(&format!("/{dir}"))) {
            continue;
        }
        let (sys, path) = (RealSys::new(root), inside.parse().unwrap());
        use crate::sys::{Sys as _, state_of};
        picture.insert(
            path,
            (
                state_of(&sys, &inside.parse().unwrap()).unwrap(),
                sys.meta(&inside.parse().unwrap()).unwrap().unwrap().mtime,
            ),
        );
    }
    picture
}

/// Without the adversary the host comes back. What is then left to a person is named, and lies where the other account can
/// write.
fn settle(act: Act, root: &Path, ended: Result<Vec<Report>, EngineError>, what: &str) -> Vec<String> {
    let stands = |reports: &[Report]| reports.iter().any(|report| report.ending == Ending::Committed);
    let committed = ended.as_deref().is_ok_and(stands);
    let failed = |error| panic!("{what}: {error}; it had ended with {ended:?}");
    let mut reports = recover(root, Fault::None).1.unwrap_or_else(failed);
    if committed && matches!(act, Act::Install | Act::Restore) {
        reports.extend(rollback(root, Fault::None).1.unwrap_or_else(failed));
    }
    let conflicts: Vec<String> = reports.into_iter().flat_map(|report| report.conflicts).collect();
    for conflict in &conflicts {
        assert!(THEIRS.iter().any(|dir| conflict.contains(&format!("/{dir}"))), "{what}: {conflict}");
    }
    conflicts
}

fn all_moments_of(act: Act) {
    let _others = beside_others();
    let all = moments(&calls(act));
    assert!(all.len() >= 8, "{act:?}: {} moments only", all.len());
    let full = std::env::var_os("CHOM_MATRIX").is_some();
    let day = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() / 86400;
    let seed = std::env::var("CHOM_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(day);
    println!("{act:?}: {} moments; CHOM_SEED={seed}", all.len());
    let mut dice = Dice::new(seed);
    for moment in &all {
        if full || all.len() <= USUAL || dice.roll(all.len() as u64) < USUAL as u64 {
            play(act, *moment);
        }
    }
}

#[test]
fn during_an_installation() {
    all_moments_of(Act::Install);
}

#[test]
fn during_a_second_run() {
    all_moments_of(Act::Again);
}

#[test]
fn during_a_rollback() {
    all_moments_of(Act::Rollback);
}

#[test]
fn during_a_recovery() {
    let (host, _) = Act::Install.host();
    let (sys, _) = install(host.path(), Fault::None, &script(), Options::default());
    let effects = sys.effects();
    for tenths in [3, 5, 7, 9] {
        all_moments_of(Act::Recover(effects * tenths / 10));
    }
}

#[test]
fn during_a_backup() {
    all_moments_of(Act::Backup);
}

#[test]
fn during_a_restore_and_its_rollback() {
    all_moments_of(Act::Restore);
    all_moments_of(Act::RestoreAndRollback);
}

#[test]
fn a_reading_of_the_victim_would_be_seen() {
    let (host, _) = Act::Install.host();
    let before = looks(&host.path().join(VICTIM));
    fs::read(host.path().join(VICTIM).join("data")).unwrap();
    assert_ne!(before, looks(&host.path().join(VICTIM)));
}
