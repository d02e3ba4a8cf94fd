//! With real packages, made here: these tests need dpkg-deb, and fail where it is missing.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use chom_format::Digest;
use chom_format::exit::Explain as _;
use chom_format::step::{Content, Deb};

use super::*;
use crate::cache::Cache;
use crate::lock::{PackagePin, PoolPath};

struct Bench {
    dir: tempfile::TempDir,
    cache: Cache,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path().join("cache")).unwrap();
        Self { dir, cache }
    }

    /// Builds a package, puts it into the cache, and gives what the lock would say of it.
    fn package(&self, control: &str, fill: impl FnOnce(&Path)) -> (Deb, PackagePin) {
        let root = self.dir.path().join("root");
        fs::create_dir_all(root.join("DEBIAN")).unwrap();
        fs::write(root.join("DEBIAN/control"), control).unwrap();
        fill(&root);
        let file = self.dir.path().join("built.deb");
        let mut built = Command::new("dpkg-deb");
        built.args(["-Zgzip", "--root-owner-group", "--build"]).arg(&root).arg(&file);
        assert!(built.output().unwrap().status.success());
        let bytes = fs::read(file).unwrap();
        fs::remove_dir_all(root).unwrap();
        let sha256 = self.cache.insert(&bytes).unwrap();
        let field = |name: &str| {
            control.lines().find_map(|line| line.strip_prefix(&format!("{name}: "))).unwrap().to_owned()
        };
        let from = format!("objects/{sha256}").parse().unwrap();
        let deb = Deb {
            name: field("Package").parse().unwrap(),
            version: field("Version"),
            arch: field("Architecture"),
            installed_kb: 1,
            content: Content { from, sha256, size: bytes.len() as u64 },
        };
        let file = PoolPath::new(&format!("pool/main/x/{}", deb.file_name())).unwrap();
        let (version, size) = (deb.version.clone(), deb.content.size);
        let pin = PackagePin { version, suite: "trixie".into(), size, installed_kb: 1, sha256, file };
        (deb, pin)
    }
}

const CONTROL: &str = "Package: tool\nVersion: 1:2.0-1\nArchitecture: all\nMulti-Arch: foreign\nInstalled-Size: 12\n\
    Maintainer: Test <test@test.invalid>\nDepends: libc6 (>= 2.34),\n adduser\nRecommends: more\n\
    Description: short\n and long\n";

fn plain(_: &Path) {}

#[test]
fn an_index_says_what_apt_decides_by_and_nothing_else() {
    let bench = Bench::new();
    let (tool, _) = bench.package(CONTROL, plain);
    let other = CONTROL.replace("Package: tool", "Package: another").replace("1:2.0-1", "3");
    let (another, _) = bench.package(&other, plain);
    let text = index(&bench.cache, &[tool.clone(), another.clone()]).unwrap();
    let stanza = |deb: &Deb, file: &str| {
        format!(
            "Package: {}\nVersion: {}\nArchitecture: all\nMulti-Arch: foreign\nDepends: libc6 (>= 2.34), adduser\n\
             Installed-Size: 12\nFilename: ./{file}\nSize: {}\nSHA256: {}\n\n",
            deb.name, deb.version, deb.content.size, deb.content.sha256
        )
    };
    assert_eq!(text, stanza(&another, "another_3_all.deb") + &stanza(&tool, "tool_1%3a2.0-1_all.deb"));
    assert_eq!(
        index(&bench.cache, &[another, tool]).unwrap(),
        text,
        "the order of the packages does not matter"
    );
}

#[test]
fn a_package_that_is_not_what_the_lock_says_is_refused() {
    let bench = Bench::new();
    let (tool, _) = bench.package(CONTROL, plain);
    let error = index(&bench.cache, &[Deb { version: "1:2.0-2".into(), ..tool.clone() }]).unwrap_err();
    assert!(error.to_string().contains("says tool 1:2.0-1 all"), "{error}");

    let sha256 = Digest::of(b"x");
    let error =
        index(&bench.cache, &[Deb { content: Content { sha256, ..tool.content.clone() }, ..tool.clone() }]);
    assert!(matches!(error.unwrap_err(), DebError::Absent { .. }));

    let sha256 = bench.cache.insert(b"!<arch>\nnot a package").unwrap();
    let broken = Deb { content: Content { sha256, ..tool.content.clone() }, ..tool };
    let error = index(&bench.cache, &[broken]).unwrap_err();
    assert!(matches!(error, DebError::Tool { .. }), "{error}");
    assert!(error.to_string().contains("dpkg-deb"), "{error}");
}

fn programs(root: &Path) {
    fs::create_dir_all(root.join("usr/bin")).unwrap();
    fs::create_dir_all(root.join("usr/share/tool/web")).unwrap();
    fs::write(root.join("usr/bin/tool-2"), "#!program").unwrap();
    fs::set_permissions(root.join("usr/bin/tool-2"), fs::Permissions::from_mode(0o755)).unwrap();
    symlink("tool-2", root.join("usr/bin/tool")).unwrap();
    fs::write(root.join("usr/share/tool/web/a.css"), "a").unwrap();
    fs::write(root.join("usr/share/tool/web/b.js"), "bb").unwrap();
}

#[test]
fn members_come_from_the_first_package_that_has_them() {
    let bench = Bench::new();
    let (_, tool) = bench.package(CONTROL, programs);
    let (_, other) = bench.package(&CONTROL.replace("tool", "other"), |root| {
        fs::create_dir_all(root.join("usr/bin")).unwrap();
        fs::write(root.join("usr/bin/check"), "check").unwrap();
        fs::write(root.join("usr/bin/tool"), "not this one").unwrap();
    });
    let wanted = ["/usr/bin/tool", "/usr/bin/check", "/usr/share/tool/"].map(str::to_owned);
    let taken = members(&bench.cache, &[&tool, &other], &wanted).unwrap();
    let list: Vec<_> =
        taken.iter().map(|(path, member)| (path.as_str(), member.size, member.executable)).collect();
    assert_eq!(
        list,
        [
            ("usr/bin/check", 5, false),
            ("usr/bin/tool", 9, true),
            ("usr/share/tool/web/a.css", 1, false),
            ("usr/share/tool/web/b.js", 2, false),
        ]
    );
    let program = &taken["usr/bin/tool"];
    assert_eq!(fs::read(bench.cache.object(&program.sha256)).unwrap(), b"#!program");

    // What is remembered serves without the packages, as long as all of its objects are there.
    fs::remove_file(bench.cache.object(&tool.sha256)).unwrap();
    assert_eq!(members(&bench.cache, &[&tool, &other], &wanted).unwrap(), taken);
    fs::remove_file(bench.cache.object(&program.sha256)).unwrap();
    let error = members(&bench.cache, &[&tool, &other], &wanted).unwrap_err();
    assert!(matches!(error, DebError::Absent { .. }), "{error}");
}

#[test]
fn a_member_that_is_not_there_is_named() {
    let bench = Bench::new();
    let (_, tool) = bench.package(CONTROL, programs);
    let error = members(&bench.cache, &[&tool], &["/usr/sbin/tool-2".to_owned()]).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("has no usr/sbin/tool-2; it has usr/bin/tool-2"), "{text}");
    assert!(error.hint().unwrap().contains("payload.debian.members"));
}

#[test]
fn a_damaged_package_gives_nothing() {
    let bench = Bench::new();
    let (_, mut tool) = bench.package(CONTROL, programs);
    let mut bytes = fs::read(bench.cache.object(&tool.sha256)).unwrap();
    bytes.truncate(bytes.len() - 40);
    tool.sha256 = bench.cache.insert(&bytes).unwrap();
    let error = members(&bench.cache, &[&tool], &["/usr/bin/tool".to_owned()]).unwrap_err();
    assert!(matches!(error, DebError::Tool { .. } | DebError::Unpack { .. }), "{error}");
}
