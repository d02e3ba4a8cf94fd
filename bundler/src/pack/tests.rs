//! Whole bundles: written, read back by ourselves and by others, damaged in every way, compared.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use chom_format::Digest;
use chom_format::archive::ArchiveError;
use chom_format::archive::write::DEFAULT_MTIME;
use chom_format::exit::Explain as _;
use serde_json::json;

use super::diff::Difference;
use super::*;
use crate::assemble::tests::{APP, FIREWALL, STORE, assembled, bench};
use crate::cache::Cache;
use crate::render::tests::Bench;

struct Shop {
    _dir: tempfile::TempDir,
    cache: Cache,
    output: PathBuf,
}

impl Shop {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path().join("cache")).unwrap();
        for object in ["program", "page", "deb"] {
            cache.insert(object.as_bytes()).unwrap();
        }
        let output = dir.path().join("some/where");
        Self { _dir: dir, cache, output }
    }

    fn build(&self, bench: &Bench, mtime: u64) -> Result<Packed, PackError> {
        self.build_in(None, bench, mtime)
    }

    fn build_in(&self, draft: Option<Draft>, bench: &Bench, mtime: u64) -> Result<Packed, PackError> {
        let assembled = assembled(bench).unwrap_or_else(|problems| panic!("{problems}"));
        let bytes = elf::tests::program(62, &[(1, b"code")]);
        let installer = Installer { sha256: Digest::of(&bytes), bytes: bytes.into(), from: "test".into() };
        pack(bench.host("a"), &assembled, &installer, &self.cache, &self.output, draft, mtime)
    }

    fn bundle(&self) -> Packed {
        self.build(&bench(), DEFAULT_MTIME).unwrap()
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn unpack(packed: &Packed, to: &Path) -> PathBuf {
    run(Command::new("tar").arg("xzf").arg(&packed.path).arg("-C").arg(to));
    to.join(&packed.name)
}

#[test]
fn a_bundle_is_what_plain_tools_and_the_reader_expect() {
    let shop = Shop::new();
    let packed = shop.bundle();
    let to = tempfile::tempdir().unwrap();
    let folder = unpack(&packed, to.path());
    run(Command::new("sha256sum").args(["--check", "--strict", "--quiet", SUMS]).current_dir(&folder));
    let beside = format!("{}.sha256", packed.path.file_name().unwrap().to_str().unwrap());
    run(Command::new("sha256sum")
        .args(["--check", "--strict", "--quiet", &beside])
        .current_dir(&shop.output));
    run(Command::new("gzip").arg("-t").arg(&packed.path));
    let mode = std::os::unix::fs::MetadataExt::mode(&packed.path.metadata().unwrap());
    assert_eq!(mode & 0o777, 0o600, "the tarball is for its host alone");

    let read = Bundle::read(&packed.path).unwrap();
    assert_eq!((read.name.as_str(), read.sha256), (packed.name.as_str(), Some(packed.sha256)));
    let other = Bundle::read(&folder).unwrap();
    assert_eq!((other.manifest, other.name), (read.manifest.clone(), read.name.clone()));
    assert!(packed.name.starts_with("a-1.2.3-"), "{}", packed.name);

    let first: Vec<String> = {
        let list = Command::new("tar").arg("tzf").arg(&packed.path).output().unwrap();
        String::from_utf8(list.stdout).unwrap().lines().take(5).map(str::to_owned).collect()
    };
    let names = ["", SUMS, MANIFEST, INSTALLER, SBOM].map(|name| format!("{}/{name}", packed.name));
    assert_eq!(first, names, "digests come before what they are for");
}

#[test]
fn the_bill_of_materials_names_payloads_and_settings() {
    let shop = Shop::new();
    let read = Bundle::read(&shop.bundle().path).unwrap();
    assert_eq!(
        (read.sbom["bomFormat"].as_str(), read.sbom["specVersion"].as_str()),
        (Some("CycloneDX"), Some("1.6"))
    );
    let payloads: Vec<(String, String)> = read.payloads().into_iter().map(|p| (p.name, p.version)).collect();
    assert_eq!(payloads[0], ("tool".to_owned(), "1:2-3".to_owned()));
    assert_eq!(read.settings()["app.greeting"], "hello");
    let text = read.to_text(true);
    for says in [
        "host       a (Debian 13, x86_64)",
        "payload    tool 1:2-3",
        "port       8080  app.service",
        "step       app/unit",
    ] {
        assert!(text.contains(says), "{says}\n{text}");
    }
    assert_eq!(read.to_json()["manifest"]["host"]["name"], "a");
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let (one, other) = (Shop::new(), Shop::new());
    let first = fs::read(one.bundle().path).unwrap();
    assert_eq!(fs::read(other.bundle().path).unwrap(), first, "another cache and folder");
    fs::remove_file(one.bundle().path).unwrap();
    let again = one.bundle();
    assert_eq!(fs::read(&again.path).unwrap(), first, "with everything squeezed already");
    let sum = fs::read_to_string(again.path.with_extension("gz.sha256")).unwrap();
    assert!(sum.starts_with(&Digest::of(&first).to_string()), "a digest out of the cache: {sum}");
    let later = one.build(&bench(), DEFAULT_MTIME + 1).unwrap();
    assert_ne!(fs::read(later.path).unwrap(), first, "SOURCE_DATE_EPOCH is in it");
}

#[test]
fn a_full_disk_is_told_with_what_to_do_wherever_it_is_met() {
    let full = || std::io::Error::from(std::io::ErrorKind::StorageFull);
    let (what, path) = ("`files/a`".to_owned(), PathBuf::from("dist"));
    for error in [
        PackError::Archive(ArchiveError::Write { what, source: full() }),
        PackError::Io { action: "write", path, source: full() },
    ] {
        assert!(error.hint().is_some_and(|hint| hint.contains("--output")), "{error}");
    }
}

#[test]
fn a_draft_changes_no_byte_of_a_bundle() {
    let (plain, shop) = (Shop::new(), Shop::new());
    // The same again, another front before the same payloads, that again, and the first once more.
    for (turn, greeting) in ["hello", "hello", "good morning", "good morning", "hello"].iter().enumerate() {
        let bench = &bench().component("a", "app", &APP.replace("hello", &greeting.repeat(2_000)), json!({}));
        let draft = Draft::begin(&shop.output, &bench.host("a").name, &shop.cache);
        assert_eq!(draft.is_some(), turn > 0);
        let ours = shop.build_in(draft, bench, DEFAULT_MTIME).unwrap();
        let wanted = plain.build(bench, DEFAULT_MTIME).unwrap();
        assert_eq!(fs::read(&ours.path).unwrap(), fs::read(&wanted.path).unwrap(), "turn {turn}");
        assert_eq!((ours.sha256, ours.size), (wanted.sha256, wanted.size));
    }
}

#[test]
fn a_damaged_copy_in_the_cache_is_made_again_and_a_damaged_object_is_refused() {
    let shop = Shop::new();
    let good = fs::read(shop.bundle().path).unwrap();
    let sha256 = chom_format::Digest::of(b"program");
    let squeezed = shop.cache.packed(&sha256);
    let mut bytes = fs::read(&squeezed).unwrap();
    bytes[14] ^= 1;
    fs::write(&squeezed, bytes).unwrap();
    assert_eq!(fs::read(shop.bundle().path).unwrap(), good);

    fs::remove_file(&squeezed).unwrap();
    fs::write(shop.cache.object(&sha256), b"PROGRAM").unwrap();
    let error = shop.build(&bench(), DEFAULT_MTIME).unwrap_err();
    assert!(matches!(error, PackError::Damaged { .. }), "{error}");
    let left: Vec<_> = fs::read_dir(&shop.output).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "nothing half-written stays: {left:?}");
}

#[test]
fn five_hundred_changed_bytes_and_fifty_truncations_are_refused() {
    let shop = Shop::new();
    let packed = shop.bundle();
    let good = fs::read(&packed.path).unwrap();
    let whole = Bundle::read(&packed.path).unwrap();
    let path = shop.output.join("changed.tar.gz");
    let mut random = 42_u64;
    let mut next = |below: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize % below
    };
    for _ in 0..500 {
        let (at, flip) = (next(good.len()), 1 + next(255) as u8);
        let mut changed = good.clone();
        changed[at] ^= flip;
        fs::write(&path, changed).unwrap();
        if let Ok(read) = Bundle::read(&path) {
            assert_eq!(read.files, whole.files, "byte {at} xor {flip}");
        }
    }
    for number in 0..50 {
        fs::write(&path, &good[..good.len() * number / 50]).unwrap();
        assert!(Bundle::read(&path).is_err(), "cut at {number} fiftieths");
    }
}

#[test]
fn a_folder_with_anything_more_less_or_other_is_refused() {
    let shop = Shop::new();
    let packed = shop.bundle();
    type Spoil = fn(&Path);
    let spoil: [(&str, &str, Spoil); 7] = [
        ("extra is not listed", "more", |folder| fs::write(folder.join("extra"), "x").unwrap()),
        ("is missing", "less", |folder| fs::remove_file(folder.join("files/etc/app/a.conf")).unwrap()),
        ("is listed", "other", |folder| fs::write(folder.join("files/etc/app/a.conf"), "b\n").unwrap()),
        ("neither file nor folder", "link", |folder| {
            std::os::unix::fs::symlink("/etc/passwd", folder.join("l")).unwrap()
        }),
        ("it has no SHA256SUMS", "sums", |folder| fs::remove_file(folder.join(SUMS)).unwrap()),
        ("chom-install is missing", "installer", |folder| fs::remove_file(folder.join(INSTALLER)).unwrap()),
        ("not executable", "mode", |folder| {
            let plain = std::os::unix::fs::PermissionsExt::from_mode(0o644);
            fs::set_permissions(folder.join(INSTALLER), plain).unwrap();
        }),
    ];
    for (says, name, spoil) in spoil {
        let to = tempfile::tempdir().unwrap();
        let folder = unpack(&packed, to.path());
        Bundle::read(&folder).unwrap();
        spoil(&folder);
        let error = Bundle::read(&folder).unwrap_err().to_string();
        assert!(error.contains(says), "{name}: {error}");
    }
}

#[test]
fn two_bundles_are_compared() {
    let shop = Shop::new();
    let one = Bundle::read(&shop.bundle().path).unwrap();
    assert!(Difference::between(&one, &one).is_empty());

    let changed = Bench::new(&[("a", "10.9.0.1"), ("b", "fd00::2")])
        .component(
            "a",
            "app",
            &APP.replace("deadline: 2m", "deadline: 3m"),
            json!({ "greeting": "good day", "port": 8081 }),
        )
        .component("a", "store", STORE, json!({}))
        .component("a", "firewall", FIREWALL, json!({}))
        .component("b", "store", STORE, json!({}));
    let other = Bundle::read(&shop.build(&changed, DEFAULT_MTIME).unwrap().path).unwrap();
    let text = Difference::between(&one, &other).to_text();
    for says in [
        "settings:\n  ~ app.greeting hello -> good day\n  ~ app.port 8080 -> 8081\n",
        "ports:\n  - 8080 app.service\n  + 8081 app.service\n",
        "checks:\n  ~ app/ready {\"deadline_s\":120",
        "  ~ firewall/rules",
        "--- a/etc/app/z.conf\n+++ b/etc/app/z.conf\n@@ -1,1 +1,1 @@\n-hello\n+good day\n",
    ] {
        assert!(text.contains(says), "{says}\n{text}");
    }
}
