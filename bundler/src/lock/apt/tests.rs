//! Against apt itself, with a small signed archive on this disk: these tests need apt-get and gpgv, and fail
//! where those are missing.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use chom_format::exit::Explain as _;
use chom_format::{HostName, PackageName};

use crate::cache::Cache;
use crate::fetch::{FetchOptions, Silent};
use crate::lock::*;

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lock/apt/fixture")
}

struct Bench {
    dir: tempfile::TempDir,
    archive: PathBuf,
    options: LockOptions,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path().join("cache")).unwrap();
        let keyring = Some(fixture().join("keyring.gpg"));
        let options = LockOptions { cache, keyring, update: false, fetch: FetchOptions::default() };
        Self { dir, archive: fixture(), options }
    }

    /// The archive as a copy that a test may change.
    fn own_archive(&mut self) -> &Path {
        self.archive = self.dir.path().join("archive");
        let copied = Command::new("cp").arg("-r").arg(fixture()).arg(&self.archive).status().unwrap();
        assert!(copied.success());
        &self.archive
    }

    fn lock(&self, hosts: Vec<HostRequest>, before: Option<&Lock>) -> Result<Lock, LockError> {
        let mirror =
            |part: &str| Some(vec![format!("file://{}/{part}", self.archive.display()).parse().unwrap()]);
        let mirrors =
            Mirrors { debian: mirror("debian"), security: mirror("security"), ..Mirrors::default() };
        let request = LockRequest { hosts, mirrors };
        let lock = resolve(&request, before, &self.options, &Silent)?;
        lock.matches(&request).unwrap();
        Ok(lock)
    }

    fn status(&self, text: &str) -> Base {
        let path = self.dir.path().join("status");
        fs::write(&path, text).unwrap();
        Base::status_file(&path).unwrap()
    }
}

/// The status of packages of the archive, as dpkg writes it.
fn installed(names: &[&str], release: &str) -> String {
    let index = fs::read_to_string(fixture().join(release).join("main/binary-amd64/Packages")).unwrap();
    let stanzas = index
        .split("\n\n")
        .filter(|stanza| names.iter().any(|name| stanza.starts_with(&format!("Package: {name}\n"))));
    let own = ["Filename:", "Size:", "SHA256:"];
    let lines = |stanza: &str| -> String {
        let kept = stanza.lines().filter(|line| !own.iter().any(|field| line.starts_with(field)));
        kept.map(|line| format!("{line}\n")).collect()
    };
    stanzas.map(|stanza| format!("{}Status: install ok installed\n\n", lines(stanza))).collect()
}

fn host(name: &str, base: Base, packages: &[(&str, &[&str])]) -> HostRequest {
    let packages = packages.iter().map(|(component, roots)| {
        (component.parse().unwrap(), roots.iter().map(|root| root.parse().unwrap()).collect())
    });
    HostRequest {
        host: name.parse().unwrap(),
        suite: chom_format::manifest::Suite::Trixie,
        arch: chom_format::manifest::Arch::X86_64,
        packages: packages.collect(),
        members: BTreeMap::new(),
        upstream: BTreeMap::new(),
        base,
    }
}

fn closure<'a>(lock: &'a Lock, name: &str, component: &str) -> Vec<&'a str> {
    let host: HostName = name.parse().unwrap();
    lock.hosts[&host].packages[component].closure.iter().map(PackageName::as_str).collect()
}

fn version<'a>(lock: &'a Lock, name: &str) -> &'a str {
    &lock.archives.values().next().unwrap().packages[name].version
}

#[test]
fn a_closure_holds_what_a_bare_host_may_lack_and_no_more() {
    let bench = Bench::new();
    let packages: &[(&str, &[&str])] = &[("web", &["web"]), ("scripts", &["scripts"])];
    let lock =
        bench.lock(vec![host("a", Base::Minimal, packages), host("b", Base::None, packages)], None).unwrap();
    assert_eq!(closure(&lock, "a", "web"), ["libweb1", "web"]);
    // Bound to one revision of a package that every host has, in one revision or another.
    assert_eq!(closure(&lock, "a", "scripts"), ["perl", "perl-base", "scripts"]);
    assert_eq!(closure(&lock, "b", "web"), ["libc6", "libssl3t64", "libweb1", "web"]);

    let archive = lock.archives.values().next().unwrap();
    let web = &archive.packages["web"];
    assert_eq!((web.version.as_str(), web.suite.as_str()), ("1.0-1+deb13u1", "trixie-security"));
    assert_eq!((web.size, web.installed_kb, web.file.arch()), (1000, 42, "amd64"));
    assert_eq!(web.file.as_str(), "pool/main/web/web_1.0-1+deb13u1_amd64.deb");
    assert_eq!(
        (version(&lock, "scripts"), archive.packages["scripts"].suite.as_str()),
        ("1:2.0-1", "trixie")
    );
    let suites: Vec<&String> = archive.releases.keys().collect();
    assert_eq!(suites, ["trixie", "trixie-security"]);
    let release = fs::read(fixture().join("debian/dists/trixie/InRelease")).unwrap();
    assert_eq!(archive.releases["trixie"].sha256, chom_format::Digest::of(&release));
    assert_eq!(archive.releases["trixie"].date, "2025-11-15T09:41:02Z");
}

#[test]
fn a_status_that_was_carried_from_the_host_is_the_base() {
    let bench = Bench::new();
    let text = installed(&["libc6", "libssl3t64", "perl-base"], "debian/dists/trixie")
        + &installed(&["libweb1"], "security/dists/trixie-security");
    let base = bench.status(&text);
    let lock =
        bench.lock(vec![host("a", base, &[("web", &["web"]), ("scripts", &["scripts"])])], None).unwrap();
    assert_eq!(closure(&lock, "a", "web"), ["web"]);
    assert_eq!(closure(&lock, "a", "scripts"), ["perl", "scripts"]);

    let base = bench.status(&(text + &installed(&["adduser"], "debian/dists/trixie")));
    let error = bench.lock(vec![host("a", base, &[("x", &["other-base"])])], None).unwrap_err();
    assert!(matches!(&error, LockError::Removes { removed, .. } if removed == &["adduser"]), "{error}");
}

#[test]
fn members_may_lie_in_a_package_of_the_same_source() {
    let bench = Bench::new();
    let mut host = host("a", Base::Minimal, &[]);
    host.members.insert("prometheus".parse().unwrap(), "prom".parse().unwrap());
    host.members.insert("mail".parse().unwrap(), "mail-a".parse().unwrap());
    let lock = bench.lock(vec![host], None).unwrap();
    let carriers = |component: &str| -> Vec<&str> {
        let pins = lock.carriers(&"a".parse().unwrap(), &component.parse().unwrap());
        pins.into_iter().map(|pin| pin.file.name()).collect()
    };
    assert_eq!(carriers("prometheus"), ["prom_2.53-1_amd64.deb", "promtool_2.53-1_amd64.deb"]);
    assert_eq!(carriers("mail"), ["mail-a_1-1_amd64.deb"]);
    assert_eq!(lock.archives.values().next().unwrap().packages.len(), 3, "and nothing that they depend on");
}

#[test]
fn what_is_locked_stays_until_an_update() {
    let mut bench = Bench::new();
    let web = || vec![host("a", Base::Minimal, &[("web", &["web"])])];
    let newest = bench.lock(web(), None).unwrap();
    let mut older = newest.clone();
    for pin in older.archives.values_mut().flat_map(|archive| archive.packages.values_mut()) {
        pin.version = "1.0-1".into();
    }
    assert_eq!(bench.lock(web(), Some(&older)).unwrap(), older, "an answer that still is one is not touched");

    let both: &[(&str, &[&str])] = &[("web", &["web"]), ("scripts", &["scripts"])];
    let more = bench.lock(vec![host("a", Base::Minimal, both)], Some(&older)).unwrap();
    assert_eq!((version(&more, "web"), version(&more, "libweb1")), ("1.0-1", "1.0-1"));
    assert_eq!(version(&more, "perl"), "5.40.1-6");

    let less = bench.lock(web(), Some(&more)).unwrap();
    assert_eq!(less.archives.values().next().unwrap().packages.len(), 2, "what nobody needs is dropped");

    for pin in older.archives.values_mut().flat_map(|archive| archive.packages.values_mut()) {
        pin.version = "0.9-1".into();
    }
    let gone = bench.lock(vec![host("a", Base::Minimal, both)], Some(&older)).unwrap();
    assert_eq!(version(&gone, "web"), "1.0-1+deb13u1", "a version that has left the archive gives way");

    bench.options.update = true;
    assert_eq!(bench.lock(web(), Some(&more)).unwrap(), newest);
}

#[test]
fn packages_that_cannot_be_had_are_named() {
    let bench = Bench::new();
    for (roots, says) in [
        (&["grafana"][..], "Unable to locate package grafana"),
        (&["unmet"][..], "nowhere"),
        (&["mail-a", "mail-b"][..], "mail-b"),
    ] {
        let error = bench.lock(vec![host("a", Base::Minimal, &[("x", roots)])], None).unwrap_err();
        assert!(matches!(error, LockError::Unresolvable { .. }), "{error}");
        assert!(error.to_string().contains(says) && error.to_string().contains("trixie/amd64"), "{error}");
    }
    let apart: &[(&str, &[&str])] = &[("x", &["mail-a"]), ("y", &["mail-b"])];
    let error = bench.lock(vec![host("a", Base::Minimal, apart)], None).unwrap_err();
    assert!(matches!(error, LockError::Unresolvable { .. }), "alone they fit, together not: {error}");
    let mut absent = host("a", Base::Minimal, &[]);
    absent.members.insert("x".parse().unwrap(), "grafana".parse().unwrap());
    assert!(bench.lock(vec![absent], None).unwrap_err().to_string().contains("grafana"));
}

#[test]
fn indexes_that_nobody_signed_are_not_used() {
    let web = || vec![host("a", Base::Minimal, &[("web", &["web"])])];
    let mut bench = Bench::new();
    bench.options.keyring = Some(fixture().join("other.gpg"));
    let error = bench.lock(web(), None).unwrap_err();
    assert!(matches!(error, LockError::Signature { .. }), "{error}");
    assert!(
        error.to_string().contains("other.gpg") && error.hint().unwrap().contains("debian-archive-keyring")
    );

    let mut bench = Bench::new();
    let release = bench.own_archive().join("debian/dists/trixie/InRelease");
    let text = fs::read_to_string(&release).unwrap().replace("Origin: Debian", "Origin: Nobody");
    fs::write(&release, text).unwrap();
    let error = bench.lock(web(), None).unwrap_err();
    assert!(matches!(error, LockError::Signature { .. }), "{error}");

    let mut bench = Bench::new();
    let index = bench.own_archive().join("security/dists/trixie-security/main/binary-amd64/Packages");
    let text = fs::read_to_string(&index).unwrap().replace("Size: 1000", "Size: 1001");
    fs::write(&index, text).unwrap();
    let error = bench.lock(web(), None).unwrap_err();
    assert!(matches!(error, LockError::Update { .. }), "{error}");

    let mut bench = Bench::new();
    bench.options.keyring = Some(fixture().join("none.gpg"));
    assert!(matches!(bench.lock(web(), None).unwrap_err(), LockError::NoKeyring(_)));
}

#[test]
fn offline_the_indexes_of_the_cache_are_used_or_missed() {
    let web = || vec![host("a", Base::Minimal, &[("web", &["web"])])];
    let mut bench = Bench::new();
    bench.options.fetch.offline = true;
    assert!(matches!(bench.lock(web(), None).unwrap_err(), LockError::Offline(_)));
    bench.options.fetch.offline = false;
    let lock = bench.lock(web(), None).unwrap();
    bench.options.fetch.offline = true;
    assert_eq!(bench.lock(web(), None).unwrap(), lock);
}

#[test]
fn the_next_mirror_is_asked_for_indexes() {
    let bench = Bench::new();
    let mirror = |part: &str| format!("file://{}/{part}", fixture().display()).parse().unwrap();
    let mirrors = Mirrors {
        debian: Some(vec!["http://127.0.0.1:9/none".parse().unwrap(), mirror("debian")]),
        security: Some(vec![mirror("security")]),
        ..Mirrors::default()
    };
    let request = LockRequest { hosts: vec![host("a", Base::Minimal, &[("web", &["web"])])], mirrors };
    resolve(&request, None, &bench.options, &Silent).unwrap();
}
