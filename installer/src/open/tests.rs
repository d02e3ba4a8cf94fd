//! Bundles as folders and as tarballs, whole and damaged.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use chom_format::archive::Writer;
use chom_format::digest::Hasher;
use chom_format::exit::Explain;
use chom_format::{Exit, Mode};
use serde_json::{Value, json};

use super::*;

fn quiet(_: u64) {}

/// A small bundle in memory that a test can spoil before it is written down.
struct Fixture {
    manifest: Value,
    files: BTreeMap<String, Vec<u8>>,
}

impl Fixture {
    fn new() -> Self {
        let text = b"listen 80;\n";
        let payload = vec![7; 3 << 20];
        let object = format!("objects/{}", Digest::of(&payload));
        let content = |from: &str, bytes: &[u8]| json!({"from": from, "sha256": Digest::of(bytes), "size": bytes.len()});
        let owner = json!({"user": "root", "group": "root"});
        let manifest = json!({
            "format": 1,
            "host": {"name": "mentat", "hostnames": ["mentat"], "arch": "x86_64", "suite": "trixie"},
            "bundle": {"version": "1.0.0", "tool": "chom-bundle 0.1.0", "lock_sha256": Digest::of(b"")},
            "requires": {"cpus": 1, "memory_mb": 512, "disk_gb": 5},
            "ports": [],
            "phases": {
                "prepare": [],
                "install": [
                    {"id": "web/files", "component": "web", "spec": {"kind": "file", "path": "/etc/web.conf",
                     "content": content("files/etc/web.conf", text), "mode": "0644", "owner": owner}},
                    {"id": "web/release", "component": "web", "spec": {"kind": "release", "dir": "/opt/web/releases/1",
                     "owner": owner, "files": {"bin/web": {"mode": "0755", "content": content(&object, &payload)}}}},
                ],
                "activate": [], "expose": [],
            },
            "checks": [],
        });
        let files = BTreeMap::from([
            ("chom-install".to_owned(), b"ELF".to_vec()),
            ("files/etc/web.conf".to_owned(), text.to_vec()),
            (object, payload),
        ]);
        Self { manifest, files }
    }

    fn step(&mut self, number: usize) -> &mut Value {
        &mut self.manifest["phases"]["install"][number]
    }

    fn all(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = self.files.clone();
        files.insert(MANIFEST.to_owned(), serde_json::to_vec_pretty(&self.manifest).unwrap());
        let sums = files.iter().map(|(path, bytes)| (path.parse().unwrap(), Digest::of(bytes)));
        let sums = Sums(sums.collect()).to_text();
        files.insert(SUMS.to_owned(), sums.into_bytes());
        files
    }

    fn folder(&self) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (path, bytes) in self.all() {
            put(dir.path(), &path, &bytes);
        }
        dir
    }

    fn tarball(files: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
        let mut writer =
            Writer::new(Hasher::new(Vec::new()), &"mentat-1.0.0-00000000".parse().unwrap(), 946_684_800)
                .unwrap();
        for (path, bytes) in files {
            writer.file(&path.parse().unwrap(), Mode::from_bits(0o644), bytes).unwrap();
        }
        writer.finish().unwrap().finish().2
    }
}

fn put(dir: &Path, path: &str, bytes: &[u8]) -> PathBuf {
    let file = dir.join(path);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, bytes).unwrap();
    file
}

fn open(dir: &Path) -> Result<Bundle, OpenError> {
    Bundle::open(&Source::Folder(dir.to_owned()), &quiet)
}

fn refusal(result: Result<Bundle, OpenError>) -> String {
    let error = result.err().expect("a hostile bundle was opened");
    assert_eq!(error.exit(), Exit::BadInput, "{error}");
    assert!(error.hint().is_some(), "{error}");
    error.to_string()
}

#[test]
fn a_folder_and_its_tarball_open_as_the_same_bundle() {
    let fixture = Fixture::new();
    let folder = fixture.folder();
    let mut bundle = open(folder.path()).unwrap();
    assert_eq!(bundle.manifest().host.name.as_str(), "mentat");
    assert_eq!(bundle.unread(), (3 << 20) + 3);
    bundle.verify_payloads(&quiet).unwrap();
    assert_eq!(bundle.unread(), 0);

    let streamed = Bundle::from_stream(Fixture::tarball(&fixture.all()).as_slice(), &quiet).unwrap();
    assert_eq!((streamed.name(), streamed.unread()), (bundle.name(), 0));
    assert_eq!(streamed.extent(), bundle.extent());
    let staged = streamed.dir().to_owned();
    assert_eq!(fs::metadata(&staged).unwrap().permissions().mode() & 0o777, 0o700);
    drop(streamed);
    assert!(!staged.exists());
}

#[test]
fn a_signature_may_lie_beside_the_sums() {
    let folder = Fixture::new().folder();
    put(folder.path(), SIGNATURE, b"signed");
    open(folder.path()).unwrap();
}

#[test]
fn a_folder_that_is_not_as_it_was_made_is_refused_by_name() {
    let object = Fixture::new().files.into_keys().find(|path| path.starts_with("objects/")).unwrap();
    let chmod = |file: &Path, mode| fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
    type Spoil<'a> = Box<dyn Fn(&Path) + 'a>;
    let cases: Vec<(&str, Spoil<'_>)> = vec![
        ("`extra` does not belong", Box::new(|dir| drop(put(dir, "extra", b"x")))),
        ("`files/empty` does not belong", Box::new(|dir| fs::create_dir(dir.join("files/empty")).unwrap())),
        ("is missing", Box::new(|dir| fs::remove_file(dir.join(&object)).unwrap())),
        (
            "`files/etc/web.conf` is damaged",
            Box::new(|dir| drop(put(dir, "files/etc/web.conf", b"listen 81;\n"))),
        ),
        ("`manifest.json` is damaged", Box::new(|dir| drop(put(dir, MANIFEST, b"{}")))),
        (
            "`files/link` is a symbolic link",
            Box::new(|dir| symlink("/etc/passwd", dir.join("files/link")).unwrap()),
        ),
        (
            "`files/etc/web.conf` is a symbolic link",
            Box::new(|dir| {
                fs::remove_file(dir.join("files/etc/web.conf")).unwrap();
                symlink("/etc/hostname", dir.join("files/etc/web.conf")).unwrap();
            }),
        ),
        (
            "`pipe` is a fifo",
            Box::new(|dir| nix::unistd::mkfifo(&dir.join("pipe"), nix::sys::stat::Mode::S_IRUSR).unwrap()),
        ),
        ("`chom-install` has mode 4755", Box::new(|dir| chmod(&dir.join("chom-install"), 0o4755))),
        ("`files/etc/web.conf` has mode 0666", Box::new(|dir| chmod(&dir.join("files/etc/web.conf"), 0o666))),
        ("`files` has mode 0777", Box::new(|dir| chmod(&dir.join("files"), 0o777))),
        ("holds no manifest.json and SHA256SUMS", Box::new(|dir| fs::remove_file(dir.join(SUMS)).unwrap())),
        ("line 1 is not", Box::new(|dir| drop(put(dir, SUMS, b"nonsense\n")))),
    ];
    for (wanted, spoil) in cases {
        let folder = Fixture::new().folder();
        spoil(folder.path());
        let text = refusal(open(folder.path()));
        assert!(text.contains(wanted), "wanted {wanted:?}, got {text:?}");
    }
}

#[test]
fn a_damaged_payload_is_found_before_anything_is_done() {
    let fixture = Fixture::new();
    let folder = fixture.folder();
    let object = fixture.files.keys().find(|path| path.starts_with("objects/")).unwrap();
    let mut bytes = fixture.files[object].clone();
    bytes[1 << 20] ^= 1;
    put(folder.path(), object, &bytes);
    let mut bundle = open(folder.path()).unwrap();
    let error = bundle.verify_payloads(&quiet).unwrap_err();
    assert!(error.to_string().contains(&format!("`{object}` is damaged")), "{error}");
    assert!(bundle.unread() > 0, "a bundle with a damaged payload must not count as read");
}

#[test]
fn a_tarball_that_is_not_as_it_was_made_is_refused_and_leaves_nothing() {
    let good = Fixture::new().all();
    let mut damaged = good.clone();
    damaged.get_mut("files/etc/web.conf").unwrap()[0] ^= 1;
    let mut extra = good.clone();
    extra.insert("extra".to_owned(), Vec::new());
    let mut missing = good.clone();
    missing.remove("chom-install");
    let mut no_sums = good.clone();
    no_sums.remove(SUMS);
    let whole = Fixture::tarball(&good);
    let cases = [
        (Fixture::tarball(&damaged), "`files/etc/web.conf` is damaged"),
        (Fixture::tarball(&extra), "`extra` does not belong"),
        (Fixture::tarball(&missing), "`chom-install` is missing"),
        (Fixture::tarball(&no_sums), "is no bundle"),
        (whole[..whole.len() / 2].to_vec(), "cut off"),
        (b"#!/bin/sh\necho hello\n".to_vec(), "no bundle"),
    ];
    for (bytes, wanted) in cases {
        let text = refusal(Bundle::from_stream(bytes.as_slice(), &quiet));
        assert!(text.contains(wanted), "wanted {wanted:?}, got {text:?}");
    }
}

#[test]
fn a_manifest_that_says_what_must_not_be_is_refused() {
    type Spoil = fn(&mut Fixture);
    let cases: [(&str, Spoil); 8] = [
        ("format 2; this program reads format 1", |f| f.manifest["format"] = json!(2)),
        ("unknown field `surprise`", |f| f.manifest["surprise"] = json!(1)),
        ("step `web/files` is there twice", |f| f.step(1)["id"] = json!("web/files")),
        ("has another digest or size", |f| f.step(0)["spec"]["content"]["size"] = json!(1)),
        ("`objects/none` is not in the bundle", |f| {
            f.step(0)["spec"]["content"]["from"] = json!("objects/none")
        }),
        ("write to `/var/lib/chom/lock`", |f| f.step(0)["spec"]["path"] = json!("/var/lib/chom/lock")),
        ("write to `/proc/sys/x`", |f| f.step(0)["spec"]["path"] = json!("/proc/sys/x")),
        ("is not absolute", |f| f.step(0)["spec"]["path"] = json!("etc/x")),
    ];
    for (wanted, spoil) in cases {
        let mut fixture = Fixture::new();
        spoil(&mut fixture);
        let text = refusal(open(fixture.folder().path()));
        assert!(text.contains(wanted), "wanted {wanted:?}, got {text:?}");
    }
}

#[test]
fn sources_are_told_apart() {
    let folder = Fixture::new().folder();
    assert_eq!(Source::find(Some(Path::new("-"))).unwrap(), Source::Stdin);
    assert_eq!(Source::find(Some(folder.path())).unwrap(), Source::Folder(folder.path().to_owned()));
    assert_eq!(Source::find(Some(Path::new("."))).unwrap(), Source::Folder(std::env::current_dir().unwrap()));
    let file = folder.path().join(MANIFEST);
    assert_eq!(Source::find(Some(&file)).unwrap(), Source::Tarball(file));
    assert!(Source::find(Some(Path::new("/nonexistent"))).is_err());
    // Our own program lies in no bundle.
    assert!(matches!(Source::find(None), Err(OpenError::NoBundle)));
}
