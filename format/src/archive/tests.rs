//! What the writer makes and the reader takes; what it refuses; and what a changed byte can do.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::process::Command;

use proptest::prelude::*;

use super::gzip::{Packing, write_member};
use super::header::Header;
use super::read::{Limits, Reader};
use super::write::{DEFAULT_MTIME, Writer, write_body};
use super::{ArchiveError, BLOCK, Kind, Refusal, padding};
use crate::digest::{Digest, Hasher};
use crate::mode::Mode;
use crate::path::RelPath;

type Tree = BTreeMap<RelPath, (Mode, Vec<u8>)>;

fn write(tree: &Tree) -> Vec<u8> {
    let mut writer =
        Writer::new(Hasher::new(Vec::new()), &"top-1.0".parse().unwrap(), DEFAULT_MTIME).unwrap();
    for (number, (path, (mode, bytes))) in tree.iter().enumerate() {
        let size = bytes.len() as u64;
        match number % 3 {
            0 => writer.file(path, *mode, bytes).unwrap(),
            kind => {
                let packing = if kind == 1 { Packing::Stored } else { Packing::Deflated };
                let mut body = Vec::new();
                write_body(&bytes[..], size, packing, &mut body).unwrap();
                writer.payload(path, *mode, size, |out| io::Write::write_all(out, &body)).unwrap();
            }
        }
    }
    writer.finish().unwrap().finish().2
}

fn read(bytes: impl Read, limits: Limits) -> Result<Tree, ArchiveError> {
    let mut reader = Reader::new(bytes, limits)?;
    let mut tree = Tree::new();
    while let Some(mut entry) = reader.next_entry()? {
        if entry.kind == Kind::File {
            let mut bytes = Vec::new();
            let digest = entry.copy_to(&mut bytes)?;
            assert_eq!(digest, Digest::of(&bytes));
            tree.insert(entry.path.clone(), (entry.mode, bytes));
        }
    }
    Ok(tree)
}

fn plain(bytes: &[u8]) -> Vec<u8> {
    let mut tar = Vec::new();
    flate2::read::MultiGzDecoder::new(bytes).read_to_end(&mut tar).unwrap();
    tar
}

fn sample() -> Tree {
    let mode = |text: &str| text.parse::<Mode>().unwrap();
    let noise: Vec<u8> = (0..90_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    [
        ("SHA256SUMS", mode("0644"), b"sums".to_vec()),
        ("chom-install", mode("0755"), noise.clone()),
        ("empty", mode("0600"), Vec::new()),
        (&*format!("files/{}/x", "long/".repeat(80).trim_end_matches('/')), mode("0644"), b"deep".to_vec()),
        ("files/etc/a b/ü.conf", mode("0640"), vec![b'x'; 1024]),
        (&*format!("objects/{}", "a".repeat(64)), mode("0644"), noise[..70_000].to_vec()),
        (&*format!("objects/{}", "b".repeat(120)), mode("0644"), b"long name".to_vec()),
    ]
    .map(|(path, mode, bytes)| (path.parse().unwrap(), (mode, bytes)))
    .into()
}

#[test]
fn the_sample_comes_back_from_gzip_and_from_plain_tar() {
    let bytes = write(&sample());
    assert_eq!(read(&bytes[..], Limits::default()).unwrap(), sample());
    assert_eq!(read(&plain(&bytes)[..], Limits::default()).unwrap(), sample());
    assert_eq!(write(&sample()), bytes, "the same calls give the same bytes");
}

#[test]
fn an_unread_content_is_checked_all_the_same() {
    let bytes = write(&sample());
    let mut reader = Reader::new(&bytes[..], Limits::default()).unwrap();
    assert_eq!(reader.top().as_str(), "top-1.0");
    let mut paths = Vec::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        paths.push(entry.path.to_string());
    }
    assert!(reader.next_entry().unwrap().is_none());
    assert!(paths.contains(&"files/etc/a b/ü.conf".to_owned()) && paths.contains(&"files".to_owned()));
}

#[test]
fn gnu_tar_and_the_tar_crate_agree_with_the_reader() {
    let bytes = write(&sample());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("b.tar.gz");
    std::fs::write(&file, &bytes).unwrap();
    let tar = Command::new("tar").arg("-xzf").arg(&file).arg("-C").arg(dir.path()).output().unwrap();
    assert!(tar.status.success() && tar.stderr.is_empty(), "{tar:?}");
    for (path, (mode, bytes)) in sample() {
        let at = path.under(&dir.path().join("top-1.0"));
        assert_eq!(std::fs::read(&at).unwrap(), bytes, "{path}");
        let found = std::os::unix::fs::MetadataExt::mode(&at.metadata().unwrap());
        // Without root, tar takes the umask away.
        assert_eq!(found & 0o700, mode.bits() & 0o700, "{path}");
    }
    let tar = plain(&bytes);
    let mut archive = tar::Archive::new(&tar[..]);
    let files = archive.entries().unwrap().filter(|e| e.as_ref().unwrap().header().entry_type().is_file());
    assert_eq!(files.count(), sample().len());
}

#[test]
fn every_truncation_is_refused() {
    let bytes = write(&sample());
    let tar = plain(&bytes);
    let step = |whole: &Vec<u8>| (whole.len() / 300).max(1);
    for whole in [&bytes, &tar] {
        for end in (0..whole.len()).step_by(step(whole)).chain([whole.len() - 1, whole.len() - BLOCK]) {
            assert!(read(&whole[..end], Limits::default()).is_err(), "cut at {end} of {}", whole.len());
        }
    }
}

#[test]
fn five_hundred_changed_bytes_are_each_refused() {
    let bytes = write(&sample());
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize % below
    };
    for _ in 0..500 {
        let (at, flip) = (next(bytes.len()), 1 + next(255) as u8);
        let mut changed = bytes.clone();
        changed[at] ^= flip;
        assert!(read(&changed[..], Limits::default()).is_err(), "byte {at} xor {flip}");
    }
}

#[test]
fn bytes_behind_the_end_are_refused() {
    let bytes = write(&sample());
    let tar = plain(&bytes);
    let mut more = Vec::new();
    write_member(&[0; BLOCK][..], Packing::Stored, &mut more).unwrap();
    for (whole, tail) in [(&bytes, vec![0]), (&bytes, more), (&bytes, bytes.clone()), (&tar, vec![0; BLOCK])]
    {
        assert!(read(&[whole, &tail[..]].concat()[..], Limits::default()).is_err());
    }
    let error = read(&[&tar[..], b"x"].concat()[..], Limits::default()).unwrap_err();
    assert!(matches!(error, ArchiveError::Trailing), "{error}");
}

#[test]
fn what_is_no_archive_says_so() {
    for bytes in [&b""[..], b"x", b"hello, this is a text", &[0; 2048]] {
        let error = read(bytes, Limits::default()).unwrap_err();
        assert!(matches!(error, ArchiveError::NotAnArchive), "{error}");
    }
}

// One hostile header, with its sum put right.
struct Forge(Vec<u8>);

impl Forge {
    fn file(path: &str) -> Self {
        Self::new(path, Kind::File, 0)
    }

    fn new(path: &str, kind: Kind, size: u64) -> Self {
        let mode = Mode::from_bits(if kind == Kind::Dir { 0o755 } else { 0o644 });
        let header = Header { path: path.to_owned(), kind, mode, size, mtime: DEFAULT_MTIME };
        Self(header.encode().unwrap())
    }

    fn put(mut self, at: usize, bytes: &[u8]) -> Self {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
        self.0[148..156].copy_from_slice(b"        ");
        let sum: u32 = self.0[..BLOCK].iter().map(|byte| u32::from(*byte)).sum();
        self.0[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self
    }

    fn then(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self.0.resize(self.0.len() + padding(bytes.len() as u64) as usize, 0);
        self
    }
}

fn pax(record: &[u8]) -> Vec<u8> {
    let length = record.len() as u64;
    let forge = Forge::new("././@PaxHeader", Kind::File, length).put(156, b"x").then(record);
    [forge.0, Forge::file("t/x").0].concat()
}

fn refusal(parts: &[&[u8]]) -> Refusal {
    let whole = [&Forge::new("t", Kind::Dir, 0).0, &parts.concat()[..], &[0; 2 * BLOCK]].concat();
    match read(&whole[..], Limits::default()) {
        Err(ArchiveError::Member { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn hostile_members_are_each_refused_by_name() {
    let file = |path: &str| Forge::file(path).0;
    let dir = |path: &str| Forge::new(path, Kind::Dir, 0).0;
    let of_type = |flag: &[u8]| refusal(&[&Forge::file("t/x").put(156, flag).0]);

    for path in ["/etc/passwd", "../x", "t/../../x", "t/./x", "t//x", "t/a\nb", "t/\u{1b}[2J"] {
        assert!(matches!(refusal(&[&file(path)]), Refusal::Path(_)), "{path:?}");
    }
    assert!(matches!(refusal(&[&Forge::file("t/x").put(2, b"\xff").0]), Refusal::Path(_)));
    assert_eq!(refusal(&[&file("u/x")]), Refusal::Outside("t".into()));
    assert_eq!(refusal(&[&dir("u")]), Refusal::Outside("t".into()));
    assert_eq!(refusal(&[&file("t")]), Refusal::Duplicate);

    assert_eq!(of_type(b"1"), Refusal::Type("a hard link"));
    assert_eq!(of_type(b"2"), Refusal::Type("a symbolic link"));
    assert_eq!(of_type(b"3"), Refusal::Type("a device"));
    assert_eq!(of_type(b"4"), Refusal::Type("a device"));
    assert_eq!(of_type(b"6"), Refusal::Type("a fifo"));
    assert_eq!(of_type(b"S"), Refusal::Type("a sparse file"));
    for flag in [b"7", b"\0", b"M", b"V", b"D"] {
        assert_eq!(of_type(flag), Refusal::Type("of an unknown type"));
    }
    for flag in [b"g", b"L", b"K"] {
        assert_eq!(of_type(flag), Refusal::Pax);
    }

    assert_eq!(refusal(&[&file("t/x"), &file("t/x")]), Refusal::Duplicate);
    assert_eq!(refusal(&[&file("t/x"), &file("t/X")]), Refusal::CaseTwin);
    assert_eq!(refusal(&[&dir("t/a"), &file("t/A/x")]), Refusal::CaseTwin);
    assert_eq!(refusal(&[&dir("t/a"), &file("t/a")]), Refusal::Duplicate);
    assert_eq!(refusal(&[&file("t/a"), &file("t/a/x")]), Refusal::NoParent);
    assert_eq!(refusal(&[&file("t/a/x")]), Refusal::NoParent);

    for mode in [b"0004755", b"0002755", b"0001777"] {
        assert_eq!(refusal(&[&Forge::file("t/x").put(100, mode).0]), Refusal::SetId);
    }
    assert_eq!(refusal(&[&Forge::file("t/x").put(124, b"-0000000001").0]), Refusal::Number("size"));
    assert_eq!(
        refusal(&[&Forge::file("t/x").put(124, b"\x80\0\0\0\0\0\0\0\0\0\0\x01").0]),
        Refusal::Number("size")
    );
    assert_eq!(refusal(&[&Forge::new("t/d", Kind::Dir, 5).then(b"hello").0]), Refusal::DirectoryContent);
    assert_eq!(
        refusal(&[&Forge::new("t/x", Kind::File, 5).then(b"hello\0\0!").0, &file("t/y")]),
        Refusal::Padding
    );
}

#[test]
fn each_corner_of_a_header_must_be_as_written() {
    let put = |at: usize, bytes: &[u8]| refusal(&[&Forge::file("t/x").put(at, bytes).0]);
    assert_eq!(put(108, b"0000001"), Refusal::Form, "user id");
    assert_eq!(put(116, b"0000001"), Refusal::Form, "group id");
    assert_eq!(put(136, b"00000000000"), Refusal::Form, "another time than the top folder");
    assert_eq!(put(157, b"target"), Refusal::Form, "link name");
    assert_eq!(put(257, b"ustar  \0"), Refusal::Form, "GNU magic");
    assert_eq!(put(265, b"root"), Refusal::Form, "user name");
    assert_eq!(put(297, b"root"), Refusal::Form, "group name");
    assert_eq!(put(329, b"0000001"), Refusal::Form, "device");
    assert_eq!(put(345, b"t"), Refusal::Form, "a prefix where none is needed");
    assert_eq!(put(3, b"\0y"), Refusal::Form, "a second name behind the first");
    assert_eq!(put(500, b"x"), Refusal::Form, "the unused end");
    assert_eq!(put(124, b"0000000000 "), Refusal::Number("size"));
    let mut damaged = Forge::file("t/x").0;
    damaged[0] ^= 1;
    assert_eq!(refusal(&[&damaged]), Refusal::Checksum);
}

#[test]
fn an_extended_header_holds_one_long_path_or_is_refused() {
    let long = format!("t/{}", "x".repeat(200));
    let record = |text: String| format!("{} {text}\n", text.len() + 2 + (text.len() + 5).to_string().len());
    assert_eq!(refusal(&[&pax(b"14 path=t/y\n")]), Refusal::Pax, "wrong length");
    assert!(matches!(refusal(&[&pax(b"13 path=t/y\n\n")]), Refusal::Path(_)), "control character");
    assert_eq!(refusal(&[&pax(b"12 path=t/y\n11 size=99\n")]), Refusal::Pax, "two records");
    assert_eq!(refusal(&[&pax(b"18 linkpath=/etc/x\n")]), Refusal::Pax, "another record");
    assert_eq!(refusal(&[&pax(b"22 GNU.sparse.major=1\n")]), Refusal::Pax, "sparse");
    assert_eq!(refusal(&[&pax(b"12 path=t/y\n")]), Refusal::Form, "a path that needs none");
    assert!(matches!(refusal(&[&pax(b"15 path=../etc\n")]), Refusal::Path(_)));
    assert_eq!(
        refusal(&[&pax(record(format!("path={long}")).as_bytes())]),
        Refusal::Form,
        "the short name differs"
    );
    let empty = Forge::new("././@PaxHeader", Kind::File, 0).put(156, b"x").0;
    assert_eq!(refusal(&[&empty]), Refusal::Pax);
    let huge = Forge::new("././@PaxHeader", Kind::File, 1 << 30).put(156, b"x").0;
    assert_eq!(refusal(&[&huge]), Refusal::Pax);
    let first = pax(b"12 path=t/y\n");
    assert_eq!(refusal(&[&first[..2 * BLOCK], &first]), Refusal::Pax, "one behind the other");
}

// Ten million entries, made while they are read.
struct Endless {
    number: u64,
    block: io::Cursor<Vec<u8>>,
}

impl Read for Endless {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = self.block.read(out)?;
        if n > 0 || self.number == 10_000_000 {
            return Ok(n);
        }
        self.number += 1;
        self.block = io::Cursor::new(Forge::file(&format!("t/{}", self.number)).0);
        self.block.read(out)
    }
}

#[test]
fn the_limits_hold() {
    let top = Forge::new("t", Kind::Dir, 0).0;
    let mut endless = Endless { number: 0, block: io::Cursor::new(top.clone()) };
    let error = read(&mut endless, Limits::default()).unwrap_err();
    assert!(matches!(error, ArchiveError::Limit { limit: 65_536, .. }), "{error}");
    assert!(endless.number < 70_000, "refused only after {} entries", endless.number);

    let huge = [top.clone(), Forge::new("t/x", Kind::File, 5 << 30).0].concat();
    assert!(matches!(read(&huge[..], Limits::default()), Err(ArchiveError::Limit { .. })));
    let small = Limits { entries: 10, member: 4, total: 7 };
    let file = |path: &str| Forge::new(path, Kind::File, 4).then(b"abcd").0;
    let sum = [top, file("t/a"), file("t/b")].concat();
    assert!(matches!(read(&sum[..], small), Err(ArchiveError::Limit { limit: 7, .. })));
}

#[test]
fn the_writer_refuses_a_payload_of_another_length() {
    for (content, size) in [(&b"abc"[..], 2), (b"abc", 4), (b"", 1)] {
        let error = write_body(content, size, Packing::Stored, &mut Vec::new()).unwrap_err();
        assert!(matches!(error, ArchiveError::Member { reason: Refusal::Length { .. }, .. }), "{error}");
    }
}

fn any_tree() -> impl Strategy<Value = Tree> {
    let path =
        "[a-d]{1,3}(/[e-h .ü]{1,60}){0,6}".prop_filter_map("path", |text| text.parse::<RelPath>().ok());
    let file = (0..0o1000_u32, prop::collection::vec(any::<u8>(), 0..1500));
    prop::collection::btree_map(path, file.prop_map(|(bits, bytes)| (Mode::from_bits(bits), bytes)), 0..12)
        .prop_filter("a file cannot be a folder", |tree| {
            tree.keys().all(|a| tree.keys().all(|b| !b.as_str().starts_with(&format!("{a}/"))))
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_tree_comes_back(tree in any_tree()) {
        prop_assert_eq!(read(&write(&tree)[..], Limits::default()).unwrap(), tree);
    }

    #[test]
    fn no_bytes_make_the_reader_panic(start in prop::collection::vec(any::<u8>(), 0..2000), keep in 0..3000_usize) {
        let _ = read(&start[..], Limits::default());
        let tar = plain(&write(&sample()));
        let mixed = [&tar[..keep.min(tar.len())], &start].concat();
        prop_assert!(read(&mixed[..], Limits::default()).is_err());
    }
}
