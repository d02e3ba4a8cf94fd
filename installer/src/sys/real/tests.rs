//! The real door on a directory as root: what is written, kept and followed.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;

use super::super::{Of, PathState, Source, look, state_of};
use chom_format::Mode;

use super::super::Stamp;
use super::*;

fn host() -> (tempfile::TempDir, RealSys) {
    let dir = tempfile::tempdir().unwrap();
    let sys = RealSys::new(dir.path());
    (dir, sys)
}

fn path(text: &str) -> HostPath {
    text.parse().unwrap()
}

fn attrs(mode: u32) -> Attrs {
    Attrs {
        mode: Mode::from_bits(mode),
        uid: 12,
        gid: 34,
        mtime: Stamp { sec: 1_000_000_000, nsec: 123_456_789 },
        xattrs: BTreeMap::from([("user.note".to_owned(), b"kept".to_vec())]),
    }
}

#[test]
fn a_written_file_is_what_was_asked_for() {
    let (_dir, mut sys) = host();
    let at = path("/a");
    sys.effect(&Effect::Write { path: &at, source: Source::Bytes(b"abc"), attrs: &attrs(0o4750) }).unwrap();
    let wanted = PathState::File { sha256: Digest::of(b"abc"), size: 3, attrs: attrs(0o4750) };
    assert_eq!(state_of(&sys, &at).unwrap(), wanted);
    assert_eq!(look(&sys, &at).unwrap(), wanted);
    assert_eq!(sys.list(&HostPath::root()).unwrap(), ["a"]);
}

#[test]
fn a_wrong_digest_leaves_the_old_file_and_no_temporary_one() {
    let (dir, mut sys) = host();
    fs::write(dir.path().join("a"), "old").unwrap();
    fs::write(dir.path().join("b"), "new").unwrap();
    let (at, from) = (path("/a"), path("/b"));
    let source = Source::Host { path: &from, sha256: Digest::of(b"other") };
    let error = sys.effect(&Effect::Write { path: &at, source, attrs: &attrs(0o600) }).unwrap_err();
    assert!(matches!(error, SysError::Digest { .. }), "{error}");
    assert_eq!(fs::read(dir.path().join("a")).unwrap(), b"old");
    assert_eq!(sys.list(&HostPath::root()).unwrap(), ["a", "b"]);
}

#[test]
fn parts_and_joined_files_are_sources() {
    let (dir, mut sys) = host();
    fs::write(dir.path().join("a"), "one").unwrap();
    fs::write(dir.path().join("b"), "two").unwrap();
    let (all, some) = (path("/all"), path("/some"));
    let paths = [path("/a"), path("/b")];
    let source = Source::Joined { paths: &paths, sha256: Digest::of(b"onetwo") };
    sys.effect(&Effect::Write { path: &all, source, attrs: &attrs(0o600) }).unwrap();
    let source = Source::Part { path: &all, offset: 2, size: 3, sha256: Digest::of(b"etw") };
    sys.effect(&Effect::Write { path: &some, source, attrs: &attrs(0o600) }).unwrap();
    assert_eq!(fs::read(dir.path().join("some")).unwrap(), b"etw");
}

#[test]
fn attributes_become_exactly_those() {
    let (dir, mut sys) = host();
    let at = path("/d");
    sys.effect(&Effect::MakeDir { path: &at, attrs: &attrs(0o2750) }).unwrap();
    assert_eq!(sys.attrs(&at).unwrap().unwrap(), attrs(0o2750));
    xattr::set(dir.path().join("d"), "user.more", b"x").unwrap();
    sys.effect(&Effect::SetAttrs { path: &at, attrs: &attrs(0o700), of: Of::Dir }).unwrap();
    assert_eq!(sys.attrs(&at).unwrap().unwrap(), attrs(0o700));
}

#[test]
fn a_link_takes_the_place_of_a_link() {
    let (_dir, mut sys) = host();
    let at = path("/l");
    for target in ["one", "/two"] {
        sys.effect(&Effect::MakeLink { path: &at, target, attrs: None }).unwrap();
        assert_eq!(sys.link(&at).unwrap(), target);
    }
}

#[test]
fn a_directory_never_takes_the_place_of_another() {
    let (_dir, mut sys) = host();
    let at = path("/d");
    sys.effect(&Effect::MakeDir { path: &at, attrs: &attrs(0o700) }).unwrap();
    assert!(sys.effect(&Effect::MakeDir { path: &at, attrs: &attrs(0o700) }).is_err());
    assert!(sys.effect(&Effect::Rename { from: &path("/d"), to: &path("/d") }).is_err());
}

#[test]
fn links_among_the_parents_stay_inside_the_root() {
    let (dir, mut sys) = host();
    fs::create_dir_all(dir.path().join("usr/lib")).unwrap();
    symlink("/usr/lib", dir.path().join("lib")).unwrap();
    symlink("../../../../../usr", dir.path().join("up")).unwrap();
    sys.effect(&Effect::Write { path: &path("/lib/x"), source: Source::Bytes(b"1"), attrs: &attrs(0o600) })
        .unwrap();
    assert!(dir.path().join("usr/lib/x").is_file());
    assert!(sys.meta(&path("/up/lib/x")).unwrap().is_some());
    symlink("loop", dir.path().join("loop")).unwrap();
    assert!(sys.meta(&path("/loop/x")).is_err());
}

#[test]
fn links_lead_where_the_host_would_go_and_nowhere_below_a_directory_of_others() {
    let (dir, sys) = host();
    for folder in ["usr/lib", "opt/releases/1", "srv/app/own", "etc"] {
        fs::create_dir_all(dir.path().join(folder)).unwrap();
    }
    fs::write(dir.path().join("usr/lib/os-release"), "").unwrap();
    for (link, target) in [
        ("etc/os-release", "../usr/lib/os-release"),
        ("etc/absolute", "/usr/lib/os-release"),
        ("opt/current", "releases/1"),
        ("opt/over", "releases/../../usr/lib"),
        ("srv/app/planted", "/usr/lib"),
        ("srv/into", "app/planted"),
        ("up", "../../../usr"),
    ] {
        symlink(target, dir.path().join(link)).unwrap();
    }
    std::os::unix::fs::chown(dir.path().join("srv/app"), Some(12), Some(34)).unwrap();
    let leads = |text: &str| sys.resolve(&path(text)).unwrap().map(|path| path.to_string());
    for (text, wanted) in [
        ("/etc/os-release", Some("/usr/lib/os-release")),
        ("/etc/absolute", Some("/usr/lib/os-release")),
        ("/opt/current", Some("/opt/releases/1")),
        ("/opt/over", Some("/usr/lib")),
        ("/up", Some("/usr")),
        ("/srv/app/own", Some("/srv/app/own")),
        ("/srv/app/planted", None),
        ("/srv/into", None),
        ("/no/such", None),
        ("/", Some("/")),
    ] {
        assert_eq!(leads(text).as_deref(), wanted, "{text}");
    }
    // What lies behind such a link is not there for us, and what is there is not changed through it.
    assert_eq!(sys.meta(&path("/srv/app/planted/os-release")).unwrap(), None);
    assert!(sys.meta(&path("/srv/app/own")).unwrap().is_some());
    assert!(sys.list(&path("/srv/app/planted")).unwrap().is_empty());
}

#[test]
fn in_a_directory_of_others_a_file_is_replaced_and_never_changed_in_place() {
    use std::io::Write as _;
    let (dir, mut sys) = host();
    fs::create_dir_all(dir.path().join("srv/app")).unwrap();
    std::os::unix::fs::chown(dir.path().join("srv/app"), Some(12), Some(34)).unwrap();
    let (at, place) = (path("/srv/app/conf"), dir.path().join("srv/app/conf"));
    fs::write(&place, "ours").unwrap();
    let mut open = fs::OpenOptions::new().append(true).open(&place).unwrap();
    fs::hard_link(&place, dir.path().join("srv/app/second")).unwrap();
    let attrs = Attrs { uid: 0, gid: 0, ..attrs(0o600) };
    sys.effect(&Effect::SetAttrs { path: &at, attrs: &attrs, of: Of::File(Digest::of(b"ours")) }).unwrap();
    open.write_all(b", and theirs").unwrap();
    assert_eq!(fs::read_to_string(&place).unwrap(), "ours");
    assert_eq!(sys.attrs(&at).unwrap().unwrap(), attrs);
    assert_eq!(sys.meta(&at).unwrap().unwrap().nlink, 1);
    assert_eq!(fs::read_to_string(dir.path().join("srv/app/second")).unwrap(), "ours, and theirs");
    // A link that was planted under our name goes, and what it leads to is left alone.
    fs::write(dir.path().join("victim"), "victim").unwrap();
    fs::remove_file(&place).unwrap();
    symlink("/victim", &place).unwrap();
    sys.effect(&Effect::Write { path: &at, source: Source::Bytes(b"new"), attrs: &attrs }).unwrap();
    assert_eq!(
        (fs::read(&place).unwrap(), fs::read(dir.path().join("victim")).unwrap()),
        (b"new".to_vec(), b"victim".to_vec())
    );
    assert_eq!(sys.list(&path("/srv/app")).unwrap(), ["conf", "second"]);
}

#[test]
fn a_tree_of_any_depth_and_any_name_goes() {
    use std::os::unix::ffi::OsStrExt as _;
    let (dir, mut sys) = host();
    let top = dir.path().join("deep");
    fs::create_dir(&top).unwrap();
    // Deeper than any path may be long, which only whoever goes down step by step can make.
    let long = "d".repeat(200);
    let script = format!(
        "cd {} && n=0; while [ $n -lt 60 ]; do mkdir {long} && cd {long} && : > file; n=$((n+1)); done",
        top.display()
    );
    assert!(std::process::Command::new("sh").args(["-c", &script]).status().unwrap().success());
    fs::write(top.join(std::ffi::OsStr::from_bytes(b"odd\n\xff")), "").unwrap();
    sys.effect(&Effect::RemoveTree { path: &path("/deep"), only_roots: false }).unwrap();
    assert!(!top.exists());
    assert!(sys.effect(&Effect::RemoveTree { path: &path("/deep"), only_roots: false }).is_ok(), "and again");
}

#[test]
fn only_names_that_were_announced_are_temporary() {
    let (_dir, mut sys) = host();
    assert!(!sys.is_temporary(".chom-tmp-0"));
    sys.announce("4711");
    let name = sys.temporary().unwrap().into_string().unwrap();
    assert!(name.starts_with(".chom-tmp-4711-") && sys.is_temporary(&name), "{name}");
    sys.announce("0815");
    assert!(sys.is_temporary(&name), "an earlier one stays known");
    assert_ne!(sys.temporary().unwrap(), sys.temporary().unwrap());
}

#[test]
fn a_file_that_somebody_else_can_write_is_read_each_time() {
    let (dir, sys) = host();
    fs::write(dir.path().join("theirs"), "abc").unwrap();
    std::os::unix::fs::chown(dir.path().join("theirs"), Some(12), Some(34)).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(80));
    sys.digest(&path("/theirs")).unwrap();
    assert_eq!(sys.remembered(), Index::default());
}

#[test]
fn the_last_part_is_never_followed() {
    let (dir, mut sys) = host();
    fs::write(dir.path().join("target"), "old").unwrap();
    symlink("target", dir.path().join("l")).unwrap();
    assert!(sys.open(&path("/l")).is_err());
    sys.effect(&Effect::Write { path: &path("/l"), source: Source::Bytes(b"new"), attrs: &attrs(0o600) })
        .unwrap();
    assert_eq!(fs::read(dir.path().join("target")).unwrap(), b"old");
}

#[test]
fn what_is_below_nothing_is_absent() {
    let (dir, sys) = host();
    fs::write(dir.path().join("file"), "").unwrap();
    for text in ["/no/such", "/file/below"] {
        assert_eq!(look(&sys, &path(text)).unwrap(), PathState::Absent, "{text}");
    }
}

#[test]
fn a_torn_frame_is_gone_with_the_next() {
    let (dir, mut sys) = host();
    let journal = path("/j");
    sys.effect(&Effect::Reserve { path: &journal, bytes: 1 << 16 }).unwrap();
    assert_eq!(sys.meta(&journal).unwrap().unwrap().size, 0);
    sys.effect(&Effect::Append { journal: &journal, at: 0, frame: b"first" }).unwrap();
    sys.effect(&Effect::Append { journal: &journal, at: 5, frame: b"torn frame" }).unwrap();
    sys.effect(&Effect::Append { journal: &journal, at: 5, frame: b"next" }).unwrap();
    assert_eq!(fs::read(dir.path().join("j")).unwrap(), b"firstnext\0\0\0\0\0\0");
}

#[test]
fn a_batch_does_all_of_it_in_order() {
    let (_dir, mut sys) = host();
    let (dir, file) = (path("/d"), path("/d/f"));
    let all = [
        Effect::MakeDir { path: &dir, attrs: &attrs(0o755) },
        Effect::Write { path: &file, source: Source::Bytes(b"x"), attrs: &attrs(0o644) },
        Effect::HardLink { original: &file, path: &path("/d/g") },
        Effect::SetAttrs { path: &dir, attrs: &attrs(0o755), of: Of::Dir },
    ];
    sys.effect(&Effect::Batch(&all)).unwrap();
    assert_eq!(sys.meta(&file).unwrap().unwrap().nlink, 2);
    assert_eq!(sys.attrs(&dir).unwrap().unwrap(), attrs(0o755));
}

#[test]
fn a_memory_is_used_until_the_file_changes() {
    let (dir, sys) = host();
    let at = path("/a");
    fs::write(dir.path().join("a"), "abc").unwrap();
    let mut index = Index::default();
    index.note(
        &at,
        &sys.meta(&at).unwrap().unwrap(),
        Digest::of(b"remembered"),
        Stamp { sec: i64::MAX / 2_000_000_000, nsec: 0 },
    );
    let sys = sys.with_index(index);
    assert_eq!(sys.digest(&at).unwrap(), Digest::of(b"remembered"));
    fs::write(dir.path().join("a"), "abd").unwrap();
    assert_eq!(sys.digest(&at).unwrap(), Digest::of(b"abd"));
}

#[test]
fn programs_of_another_root_are_not_run() {
    let (_dir, sys) = host();
    assert!(sys.ask(&Command::new(["true"])).unwrap_err().to_string().contains("cannot be run"));
}

#[test]
fn space_is_that_of_the_nearest_parent() {
    let (_dir, sys) = host();
    let space = sys.space(&path("/not/yet/there")).unwrap();
    assert!(space.free_bytes > 0 && !space.read_only);
}

#[test]
fn holes_stay_holes() {
    use std::os::unix::fs::{FileExt as _, MetadataExt as _};
    let (dir, mut sys) = host();
    let file = fs::File::create(dir.path().join("sparse")).unwrap();
    file.set_len(64 << 20).unwrap();
    file.write_all_at(b"middle", (20 << 20) + 7).unwrap();
    file.write_all_at(b"end", (64 << 20) - 3).unwrap();
    let (from, to) = (path("/sparse"), path("/copy"));
    let PathState::File { sha256, .. } = look(&sys, &from).unwrap() else { panic!("no file") };
    let source = Source::Host { path: &from, sha256 };
    sys.effect(&Effect::Write { path: &to, source, attrs: &attrs(0o644) }).unwrap();
    let blocks = |name: &str| fs::metadata(dir.path().join(name)).unwrap().blocks();
    assert!(blocks("copy") <= blocks("sparse"), "{} of {}", blocks("copy"), blocks("sparse"));
    assert_eq!(fs::metadata(dir.path().join("copy")).unwrap().len(), 64 << 20);
    let PathState::File { sha256: copied, .. } = look(&sys, &to).unwrap() else { panic!("no file") };
    assert_eq!(copied, sha256);
    // A file that ends in a hole has its whole length.
    for length in [0, 1, 4096, 4097, 8191, 70_000] {
        let bytes = vec![0; length];
        sys.effect(&Effect::Write { path: &to, source: Source::Bytes(&bytes), attrs: &attrs(0o644) })
            .unwrap();
        assert_eq!(fs::read(dir.path().join("copy")).unwrap(), bytes, "{length}");
    }
}

#[test]
fn a_directory_with_links_of_others_does_not_become_roots() {
    use std::os::unix::fs::{MetadataExt as _, chown, lchown};
    let (dir, mut sys) = host();
    let (at, place) = (path("/srv/app"), dir.path().join("srv/app"));
    fs::create_dir_all(&place).unwrap();
    chown(&place, Some(12), Some(34)).unwrap();
    symlink("/etc", place.join("planted")).unwrap();
    lchown(place.join("planted"), Some(12), Some(34)).unwrap();
    let roots = Attrs { uid: 0, gid: 0, ..attrs(0o755) };
    let effect = Effect::SetAttrs { path: &at, attrs: &roots, of: Of::Dir };
    let error = sys.effect(&effect).unwrap_err().to_string();
    assert!(error.contains("planted") && fs::metadata(&place).unwrap().uid() == 12, "{error}");
    // It may get other attributes while it stays theirs, and becomes root's once the link is.
    let theirs = Attrs { uid: 12, ..attrs(0o700) };
    sys.effect(&Effect::SetAttrs { path: &at, attrs: &theirs, of: Of::Dir }).unwrap();
    lchown(place.join("planted"), Some(0), Some(0)).unwrap();
    sys.effect(&effect).unwrap();
    assert_eq!(fs::metadata(&place).unwrap().uid(), 0);
}

#[test]
fn what_was_exchanged_gets_no_attributes() {
    use std::os::unix::fs::{MetadataExt as _, chown};
    let (dir, mut sys) = host();
    let (at, place) = (path("/srv/app/conf"), dir.path().join("srv/app/conf"));
    fs::create_dir_all(place.parent().unwrap()).unwrap();
    chown(place.parent().unwrap(), Some(12), Some(34)).unwrap();
    fs::write(dir.path().join("secret"), "secret").unwrap();
    fs::hard_link(dir.path().join("secret"), &place).unwrap();
    for of in [Of::File(Digest::of(b"ours")), Of::Dir, Of::Any] {
        assert!(sys.effect(&Effect::SetAttrs { path: &at, attrs: &attrs(0o666), of }).is_err(), "{of:?}");
    }
    assert_eq!(fs::metadata(dir.path().join("secret")).unwrap().uid(), 0);
    assert_eq!(sys.list(&path("/srv/app")).unwrap(), ["conf"], "no copy of it was left");
}

#[test]
fn a_search_goes_to_any_depth() {
    let (dir, sys) = host();
    fs::create_dir_all(dir.path().join("home/skipped")).unwrap();
    std::os::unix::fs::chown(dir.path().join("home/skipped"), Some(990), Some(0)).unwrap();
    // A shell's `cd` ends where a path ends.
    let made = std::process::Command::new("perl")
        .args(["-e", "chdir shift; for (1..300) { mkdir 'd' x 200; chdir 'd' x 200 or die } open F, '>file'; chown 990, 0, 'file'"])
        .arg(dir.path().join("home"))
        .status();
    assert!(made.unwrap().success());
    let found = sys.owned(Some(990), None, &["/home/skipped"], 9).unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].len() > 60_000 && found[0].ends_with("/file"));
    assert!(sys.owned(Some(991), Some(991), &[], 9).unwrap().is_empty());
}
