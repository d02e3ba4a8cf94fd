//! Trees there and back, GNU tar in between, and what is no tree of ours.

use std::collections::BTreeMap;
use std::io::Read as _;

use chom_format::backup::PathsSource;
use chom_format::{HostPath, Mode};
use proptest::prelude::*;

use super::*;
use crate::sys::{Attrs, RealSys, Stamp, Sys as _};

fn entry() -> impl Strategy<Value = (Entry, Vec<u8>)> {
    let path = prop_oneof!["/r/[a-zé ]{1,12}", "/r/[a-z]{90,120}/[a-z]{90,200}"];
    let is = prop_oneof![
        Just((Is::Dir, Vec::new())),
        prop::collection::vec(any::<u8>(), 0..1500).prop_map(|bytes| (Is::File(bytes.len() as u64), bytes)),
        "[a-z./]{1,150}".prop_map(|target| (Is::Link(target), Vec::new())),
    ];
    let stamp = (-5_000_000_000_i64..20_000_000_000, prop_oneof![Just(0_i64), 0..1_000_000_000_i64]);
    let xattrs =
        prop::collection::btree_map("user\\.[a-z]{1,9}", prop::collection::vec(any::<u8>(), 0..40), 0..3);
    let owner = ("[a-z_]{0,31}", any::<u32>());
    (path, is, stamp, xattrs, owner, owner, 0_u32..0o10000).prop_map(
        |(path, (is, bytes), (sec, nsec), xattrs, (user, uid), (group, gid), mode)| {
            let mtime = Stamp { sec, nsec };
            let attrs = Attrs { mode: Mode::from_bits(mode), uid, gid, mtime, xattrs };
            (Entry { path: path.parse().unwrap(), is, attrs, user, group }, bytes)
        },
    )
}

fn root() -> HostPath {
    "/r".parse().unwrap()
}

fn pack(entries: &[(Entry, Vec<u8>)]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (entry, bytes) in entries {
        writer.entry(entry, &mut &bytes[..]).unwrap();
    }
    writer.finish().unwrap()
}

fn unpack(tar: &[u8], roots: &[HostPath]) -> Result<Vec<(Entry, Vec<u8>)>, TreeError> {
    let mut reader = Reader::new(Box::new(tar), roots);
    let mut found = Vec::new();
    while let Some((entry, offset)) = reader.next_entry()? {
        let mut bytes = Vec::new();
        reader.content().read_to_end(&mut bytes)?;
        assert_eq!(
            tar.get(offset as usize..offset as usize + bytes.len()),
            Some(&bytes[..]),
            "the place is right"
        );
        found.push((entry, bytes));
    }
    Ok(found)
}

proptest! {
    #[test]
    fn what_is_written_is_read((entry, bytes) in entry()) {
        let all = [(entry, bytes)];
        let roots = [all[0].0.path.clone()];
        prop_assert_eq!(unpack(&pack(&all), &roots).unwrap(), all);
    }

    #[test]
    fn a_changed_header_is_refused_or_says_something_else((entry, bytes) in entry(), at in 0_usize..512, to in 1_u8..) {
        let all = [(entry, bytes)];
        let mut tar = pack(&all);
        tar[at] ^= to;
        if let Ok(found) = unpack(&tar, &[root()]) {
            prop_assert_ne!(found, all.to_vec());
        }
    }

    #[test]
    fn any_bytes_are_read_without_harm(tar in prop::collection::vec(any::<u8>(), 0..2000)) {
        prop_assert!(unpack(&tar, &[root()]).is_err());
    }
}

fn plain(path: &str, is: Is) -> (Entry, Vec<u8>) {
    let attrs = Attrs {
        mode: Mode::from_bits(0o644),
        uid: 0,
        gid: 0,
        mtime: Stamp { sec: 1, nsec: 0 },
        xattrs: BTreeMap::new(),
    };
    (Entry { path: path.parse().unwrap(), is, attrs, user: String::new(), group: String::new() }, Vec::new())
}

#[test]
fn a_tree_that_would_lead_elsewhere_is_refused() {
    for (entries, words) in [
        (vec![plain("/etc/passwd", Is::File(0))], "outside"),
        (vec![plain("/r", Is::Link("/etc".into())), plain("/r/passwd", Is::File(0))], "not in a directory"),
        (vec![plain("/r", Is::Dir), plain("/r", Is::Dir)], "a second time"),
        (vec![plain("/r", Is::Dir), plain("/r/a/b", Is::File(0))], "not in a directory"),
    ] {
        let error = unpack(&pack(&entries), &[root()]).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    let whole = pack(&[plain("/r", Is::Dir)]);
    assert!(unpack(&whole[..whole.len() - 1], &[root()]).is_err(), "cut off");
    assert!(unpack(&[&whole[..], b"x"].concat(), &[root()]).is_err(), "more behind the end");
}

#[test]
fn a_file_that_changes_while_it_is_read_is_an_error() {
    let (entry, _) = plain("/r/log", Is::File(4));
    for mut content in [&b"123"[..], b"12345"] {
        assert!(Writer::new(Vec::new()).entry(&entry, &mut content).is_err());
    }
}

#[test]
fn gnu_tar_reads_it_with_owners_times_and_links() {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let at = |path: &str| dir.path().join(path);
    std::fs::create_dir_all(at("etc/app/deep")).unwrap();
    std::fs::write(at("etc/app/a.conf"), "a\n").unwrap();
    std::fs::write(at(&format!("etc/app/{}", "l".repeat(150))), "long\n").unwrap();
    std::fs::write(at("etc/app/deep/x.tmp"), "left out").unwrap();
    std::os::unix::fs::symlink("a.conf", at("etc/app/link")).unwrap();
    std::os::unix::fs::lchown(at("etc/app/a.conf"), Some(7), Some(8)).unwrap();
    std::os::unix::net::UnixListener::bind(at("etc/app/socket")).unwrap();
    xattr::set(at("etc/app/a.conf"), "user.note", b"by hand").unwrap();
    let sys = RealSys::new(dir.path());
    let source =
        PathsSource { paths: vec!["/etc/app".parse().unwrap()], exclude: vec!["*.tmp".parse().unwrap()] };
    let found = walk(&sys, &source).unwrap();
    assert_eq!((found.left_out.len(), found.bytes()), (1, 7));
    let mut writer = Writer::new(Vec::new());
    for (entry, _) in &found.entries {
        match entry.is {
            Is::File(_) => writer.entry(entry, &mut *sys.open(&entry.path).unwrap()).unwrap(),
            _ => writer.entry(entry, &mut std::io::empty()).unwrap(),
        }
    }
    let tar = writer.finish().unwrap();
    assert!(tar.len() as u64 <= found.size(), "{} {}", tar.len(), found.size());
    let file = at("x.tar");
    std::fs::write(&file, &tar).unwrap();
    std::fs::create_dir(at("out")).unwrap();
    let mut gnu = std::process::Command::new("tar");
    gnu.args(["--xattrs", "--xattrs-include=*", "--same-owner", "-xpf"]).arg(&file).arg("-C").arg(at("out"));
    assert!(gnu.status().unwrap().success());
    let again = walk(&RealSys::new(at("out")), &PathsSource { exclude: Vec::new(), ..source }).unwrap();
    let bare = |walk: &Walk| walk.entries.iter().map(|(entry, _)| entry.clone()).collect::<Vec<_>>();
    let (was, is) = (bare(&found), bare(&again));
    assert_eq!(is, was);
    std::fs::write(at("etc/app").join(std::ffi::OsStr::new("bad\nname")), "").unwrap();
    assert!(
        walk(&sys, &PathsSource { paths: vec!["/etc/app".parse().unwrap()], exclude: Vec::new() }).is_err()
    );
}
