//! Backups of a directory that stands for a host: whatever fails, what is seen is whole.

use std::fs;
use std::path::Path;

use chom_format::backup::{BackupPart, BackupPolicy, BackupSource, BackupSpec, PathsSource};
use proptest::prelude::*;

use super::age::Identity;
use super::create::{About, BackupRequest, create};
use super::shelf::{Found, Shelf};
use super::source::paths;
use super::verify::{Depth, Keys, verify};
use super::{BackupError, tree};
use crate::sys::fault::{Fault, FaultSys};
use crate::sys::{RealSys, Sys as _};

fn host() -> tempfile::TempDir {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    for path in ["etc/app/conf.d", "var/lib/chom", "srv/app"] {
        fs::create_dir_all(dir.path().join(path)).unwrap();
    }
    fs::write(dir.path().join("etc/app/a.conf"), "a\n").unwrap();
    fs::write(dir.path().join("etc/app/conf.d/b.conf"), "b\n".repeat(50_000)).unwrap();
    fs::write(dir.path().join("srv/app/data"), [7; 3000]).unwrap();
    dir
}

fn part(name: &str, paths: &[&str], limit: u64) -> BackupPart {
    let paths = paths.iter().map(|path| path.parse().unwrap()).collect();
    BackupPart {
        name: name.parse().unwrap(),
        component: "app".parse().unwrap(),
        limit,
        stop: Vec::new(),
        timeout_s: 60,
        source: BackupSource::Paths(PathsSource { paths, exclude: Vec::new() }),
    }
}

pub(crate) fn spec(identity: Option<&Identity>) -> BackupSpec {
    let recipients = identity.map(Identity::recipient).into_iter().collect();
    let policy = BackupPolicy { recipients, ..BackupPolicy::default() };
    BackupSpec {
        policy,
        parts: vec![part("app.config", &["/etc/app"], 1 << 20), part("app.data", &["/srv/app"], 1 << 20)],
    }
}

pub(crate) fn about() -> About {
    let (host, bundle, by) =
        ("mentat".parse().unwrap(), "mentat-1-00000000".to_owned(), "the test".to_owned());
    About { host, bundle, stood: 1, transaction: None, by }
}

fn make(root: &Path, fault: Fault, spec: &BackupSpec) -> (FaultSys, Result<Found, BackupError>) {
    let mut sys = FaultSys::new(root, fault);
    let made = create(&mut sys, &BackupRequest { spec, about: about() }, &|_| {});
    (sys, made)
}

fn seen(root: &Path) -> Vec<Found> {
    let shelf = Shelf { dir: BackupPolicy::default().dir };
    shelf.list(&RealSys::new(root)).unwrap()
}

fn names(root: &Path) -> Vec<String> {
    let dir = BackupPolicy::default().dir;
    RealSys::new(root).list(&dir).unwrap()
}

#[test]
fn a_fault_at_every_effect_leaves_no_half_backup_seen() {
    let identity = Identity::from([1; 32]);
    let spec = spec(Some(&identity));
    let faults: [fn(u64) -> Fault; 6] =
        [Fault::Fail, Fault::Deny, Fault::Full, Fault::KillWithin, Fault::KillAfter, |k| Fault::Power(k, k)];
    let effects = make(host().path(), Fault::None, &spec).0.effects();
    assert!(effects > 6, "{effects}");
    for k in 1..=effects {
        for fault in faults {
            let (host, fault) = (host(), fault(k));
            let (sys, made) = make(host.path(), fault, &spec);
            let found = seen(host.path());
            let whole = |found: &Found| {
                verify(
                    &RealSys::new(host.path()),
                    found,
                    Keys::Identities(std::slice::from_ref(&identity)),
                    &|_| {},
                )
            };
            assert!(found.iter().all(|found| whole(found) == Ok(Depth::Contents)), "{fault:?}: {found:?}");
            if made.is_ok() {
                assert_eq!(found.len(), 1, "{fault:?}");
            } else if !sys.is_dead() && !matches!(fault, Fault::Deny(_)) {
                assert_eq!(names(host.path()), Vec::<String>::new(), "{fault:?}: nothing is left");
            }
            let next =
                make(host.path(), Fault::None, &spec).1.unwrap_or_else(|error| panic!("{fault:?}: {error}"));
            assert!(names(host.path()).iter().all(|name| !name.starts_with('.')), "{fault:?}: swept");
            assert_eq!(seen(host.path()).last().unwrap().id, next.id);
        }
    }
}

#[test]
fn what_is_too_large_or_not_there_is_told_before_anything_is_written() {
    let host = host();
    let mut wrong = spec(None);
    wrong.parts = vec![
        part("app.config", &["/etc/app"], 1000),
        part("app.data", &["/srv/app"], 1000),
        part("app.gone", &["/srv/gone"], 1000),
    ];
    let (sys, made) = make(host.path(), Fault::None, &wrong);
    let Err(BackupError::Refused(problems)) = made else { panic!("{made:?}") };
    assert_eq!((problems.len(), sys.effects()), (3, 0), "{problems:?}");
    assert!(problems[0].contains("`app.config` has 106 KiB, and its limit is 1000 bytes"), "{problems:?}");
    assert!(problems[2].contains("/srv/gone: it is not there"), "{problems:?}");
    wrong.policy.dir = "/mnt/none/backups".parse().unwrap();
    let told = make(host.path(), Fault::None, &wrong).1.unwrap_err().to_string();
    assert!(told.contains("/mnt/none is not there"), "{told}");
    wrong.parts.push(part("app.all", &["/"], 1000));
    assert!(matches!(make(host.path(), Fault::None, &wrong).1, Err(BackupError::Spec(_))));
}

#[test]
fn a_directory_that_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let host = host();
    fs::create_dir(host.path().join("var/lib/chom/backups")).unwrap();
    fs::set_permissions(host.path().join("var/lib/chom/backups"), fs::Permissions::from_mode(0o755)).unwrap();
    let told = make(host.path(), Fault::None, &spec(None)).1.unwrap_err().to_string();
    assert!(told.contains("not root's alone"), "{told}");
}

#[test]
fn what_changes_while_it_is_read_is_told() {
    let host = host();
    let sys = RealSys::new(host.path());
    let source = PathsSource { paths: vec!["/etc/app".parse().unwrap()], exclude: Vec::new() };
    let changes: [fn(&Path); 4] = [
        |root| fs::write(root.join("etc/app/a.conf"), "longer than before\n").unwrap(),
        |root| fs::write(root.join("etc/app/a.conf"), "").unwrap(),
        |root| fs::write(root.join("etc/app/new.conf"), "").unwrap(),
        |root| fs::remove_file(root.join("etc/app/new.conf")).unwrap(),
    ];
    for change in changes {
        let walk = tree::walk(&sys, &source).unwrap();
        change(host.path());
        let error = paths::read(&sys, &walk, &mut std::io::sink()).unwrap_err();
        assert!(paths::is_changed(&error), "{error}");
    }
}

#[test]
fn a_number_is_not_given_twice_and_a_foreign_folder_is_named() {
    let host = host();
    assert_eq!(make(host.path(), Fault::None, &spec(None)).1.unwrap().id, 1);
    fs::create_dir(host.path().join("var/lib/chom/backups/000004")).unwrap();
    fs::create_dir(host.path().join("var/lib/chom/backups/notes")).unwrap();
    assert_eq!(make(host.path(), Fault::None, &spec(None)).1.unwrap().id, 5);
    let found = seen(host.path());
    assert_eq!(found.iter().map(|found| found.id).collect::<Vec<_>>(), [1, 4, 5]);
    assert!(found[1].label.is_err() && found[2].label.is_ok());
    let shelf = Shelf { dir: BackupPolicy::default().dir };
    shelf.remove(&mut RealSys::new(host.path()), 1).unwrap();
    assert_eq!(seen(host.path()).len(), 2);
}

#[test]
fn an_old_label_is_read_and_one_of_tomorrow_is_told() {
    let text = include_bytes!("golden/format-1.json");
    let label = super::label::Label::read(&text[..]).unwrap();
    assert_eq!((label.id, label.transaction, label.parts.len()), (7, Some(12), 4));
    let newer = String::from_utf8_lossy(text).replacen("\"format\": 1", "\"format\": 2", 1);
    assert!(super::label::Label::read(newer.as_bytes()).unwrap_err().contains("format 2"));
    let elsewhere = String::from_utf8_lossy(text).replace("till.ledger.tar.gz.age", "../../etc/shadow");
    assert!(super::label::Label::read(elsewhere.as_bytes()).is_err());
    let other = String::from_utf8_lossy(text).replace("till.ledger.tar.gz.age", "SHA256SUMS");
    assert!(super::label::Label::read(other.as_bytes()).unwrap_err().contains("none of ours"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn any_changed_byte_of_any_file_is_found(
        sealed in any::<bool>(), file in 0_usize..2, at in any::<prop::sample::Index>(), to in 1_u8.., cut in any::<bool>(),
    ) {
        let identity = Identity::from([1; 32]);
        let (host, spec) = (host(), spec(sealed.then_some(&identity)));
        let found = make(host.path(), Fault::None, &spec).1.unwrap();
        let name = found.label.as_ref().unwrap().parts[file].file.to_string();
        let place = host.path().join("var/lib/chom/backups/000001").join(&name);
        let mut bytes = fs::read(&place).unwrap();
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] ^= to }
        fs::write(&place, bytes).unwrap();
        for keys in [Keys::None, Keys::Identities(std::slice::from_ref(&identity))] {
            let damages = verify(&RealSys::new(host.path()), &found, keys, &|_| {}).unwrap_err();
            prop_assert!(damages.len() == 1 && damages[0].file == name, "{:?}", damages);
        }
    }
}
