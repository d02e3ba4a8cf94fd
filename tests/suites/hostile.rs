//! Bundles that were damaged or made to harm: refused with exit 2, and the host is not touched.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use chom_bundle::rehearse::Capture;
use chom_format::archive::Writer;
use chom_format::digest::Hasher;
use chom_format::manifest::Suite;
use chom_tests::fleet::{on_host, scratch, shop, unpack};
use chom_tests::sample::Dice;
use chom_tests::{dist, run};

/// What `verify` says of a tarball on this machine: exit code and words.
fn verify(tarball: &Path) -> (i32, String) {
    let output = run(Command::new(dist("chom-install-x86_64")).arg("verify").arg("--bundle").arg(tarball));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!said.contains("Usage:"), "the bundle was not even looked at: {said}");
    (output.status.code().unwrap_or(-1), said)
}

// A small bundle: what is said here holds for every byte, and the reader does not know how many there are.
fn small() -> PathBuf {
    static BUILT: LazyLock<PathBuf> = LazyLock::new(|| shop("hostile", &[]));
    BUILT.clone()
}

fn copy(name: &str) -> PathBuf {
    let to = scratch("hostile").join(name);
    fs::copy(small(), &to).unwrap();
    to
}

#[test]
fn any_changed_byte_is_found() {
    let path = copy("changed.tar.gz");
    let size = fs::metadata(&path).unwrap().len();
    let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let mut positions = Dice::of("hostile");
    for number in 0..500 {
        // Half of them in the first 64 KiB, where headers and manifest are; a few bytes decide most there.
        let at = positions.next(if number % 2 == 0 { size } else { size.min(65536) });
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        let changed = [byte[0] ^ (1 << positions.next(8))];
        file.write_all_at(&changed, at).unwrap();
        let (code, said) = verify(&path);
        assert_eq!(code, 2, "byte {at} changed from {:#04x} to {:#04x}: {said}", byte[0], changed[0]);
        assert!(said.contains("host is now: "), "{said}");
        file.write_all_at(&byte, at).unwrap();
    }
    let (code, said) = verify(&path);
    assert_ne!(code, 2, "the bundle itself is whole: {said}");
}

#[test]
fn any_missing_end_is_found() {
    let whole = small();
    let size = fs::metadata(&whole).unwrap().len();
    let path = copy("short.tar.gz");
    let mut positions = Dice::of("hostile");
    let mut ends: Vec<u64> = (0..46).map(|_| positions.next(size)).collect();
    ends.extend([0, 1, size - 1, size - 9]);
    // Cut from the longest to the shortest: one copy serves all.
    ends.sort_unstable_by(|a, b| b.cmp(a));
    for end in ends {
        OpenOptions::new().write(true).open(&path).unwrap().set_len(end).unwrap();
        let (code, said) = verify(&path);
        assert_eq!(code, 2, "cut to {end} of {size} bytes: {said}");
    }
}

#[test]
fn bytes_after_the_end_are_found() {
    let path = copy("long.tar.gz");
    let mut file = OpenOptions::new().append(true).open(&path).unwrap();
    io::copy(&mut File::open(small()).unwrap(), &mut file).unwrap();
    assert_eq!(verify(&path).0, 2, "two bundles, one after the other");
}

/// One member of a hostile archive.
fn member(kind: tar::EntryType, name: &[u8], link: &[u8], content: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_size(content.len() as u64);
    let raw = header.as_mut_bytes();
    raw[..name.len()].copy_from_slice(name);
    raw[157..157 + link.len()].copy_from_slice(link);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn archive(name: &str, members: &[Vec<u8>]) -> PathBuf {
    let path = scratch("hostile").join(name);
    let mut gzip = flate2::write::GzEncoder::new(File::create(&path).unwrap(), flate2::Compression::fast());
    for bytes in members {
        gzip.write_all(bytes).unwrap();
    }
    gzip.write_all(&[0; 1024]).unwrap();
    gzip.finish().unwrap();
    path
}

#[test]
fn archives_made_to_harm_are_refused_and_touch_nothing() {
    use tar::EntryType as Kind;
    let file = |name: &[u8]| member(Kind::Regular, name, b"", b"x");
    let cases = [
        archive("absolute.tar.gz", &[file(b"/etc/chom-was-here")]),
        archive("above.tar.gz", &[file(b"b/../../etc/chom-was-here")]),
        archive(
            "link.tar.gz",
            &[member(Kind::Symlink, b"b/etc", b"/etc", b""), file(b"b/etc/chom-was-here")],
        ),
        archive("hard.tar.gz", &[member(Kind::Link, b"b/shadow", b"/etc/shadow", b"")]),
        archive("device.tar.gz", &[member(Kind::Block, b"b/disk", b"", b"")]),
        archive("fifo.tar.gz", &[member(Kind::Fifo, b"b/pipe", b"", b"")]),
        archive("twice.tar.gz", &[file(b"b/manifest.json"), file(b"b/manifest.json")]),
        archive("twins.tar.gz", &[file(b"b/Manifest.json"), file(b"b/manifest.json")]),
    ];
    for case in &cases {
        let (code, said) = verify(case);
        assert_eq!(code, 2, "{}: {said}", case.display());
    }
    on_host(Suite::Trixie, |host| {
        let there = unpack(host, &small());
        for case in &cases {
            host.scp(case, "/var/tmp/hostile.tar.gz").unwrap();
            let before = host.capture().unwrap();
            let said = there.installer(host, &["install", "--yes", "--bundle", "/var/tmp/hostile.tar.gz"]);
            assert_eq!(said.code, 2, "{}: {}", case.display(), said.text);
            assert_eq!(Capture::diff(&before, &host.capture().unwrap()), Vec::new(), "{}", case.display());
        }
    });
}

/// Ten million members: refused early, in little memory. The first of them are as `chom-bundle` writes members, as
/// many as take the reader beyond its limit; the rest is not for reading.
#[test]
fn an_archive_without_end_is_refused_early() {
    let path = scratch("hostile").join("endless.tar.gz");
    let mut begin = Vec::new();
    let mut writer = Writer::new(Hasher::new(&mut begin), &"b".parse().unwrap(), 946_684_800).unwrap();
    let mode = "0644".parse().unwrap();
    for number in 0..66_000 {
        writer.file(&number.to_string().parse().unwrap(), mode, b"").unwrap();
    }
    drop(writer);
    let mut file = File::create(&path).unwrap();
    for _ in 0..10_000_000 / 66_000 {
        file.write_all(&begin).unwrap();
    }
    // A quarter of the memory that ten million names would take.
    let limited = run(Command::new("sh")
        .arg("-c")
        .arg("ulimit -v 262144; exec \"$0\" verify --bundle \"$1\"")
        .arg(dist("chom-install-x86_64"))
        .arg(&path));
    let said = String::from_utf8_lossy(&limited.stderr);
    assert_eq!(limited.status.code(), Some(2), "{said}");
    assert!(said.contains("more than 65536"), "{said}");
}
