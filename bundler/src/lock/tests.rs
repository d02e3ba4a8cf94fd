//! Locking against small signed archives: what is pinned, kept, refused.

use std::collections::BTreeMap;
use std::path::Path;

use chom_format::exit::Explain as _;
use chom_format::{ComponentName, Digest, PackageName};

use super::*;

fn component(name: &str) -> ComponentName {
    name.parse().unwrap()
}

fn package(name: &str) -> PackageName {
    name.parse().unwrap()
}

fn pin(name: &str, version: &str, suite: &str) -> (PackageName, PackagePin) {
    let file = format!("pool/main/x/{name}/{name}_{}_amd64.deb", version.rsplit(':').next().unwrap());
    let sha256 = Digest::of(file.as_bytes());
    let file = PoolPath::new(&file).unwrap();
    let version = version.to_owned();
    (package(name), PackagePin { version, suite: suite.into(), size: 1234, installed_kb: 5, sha256, file })
}

fn request() -> LockRequest {
    let host = HostRequest {
        host: "mentat".parse().unwrap(),
        suite: chom_format::manifest::Suite::Trixie,
        arch: chom_format::manifest::Arch::X86_64,
        packages: BTreeMap::from([(component("firewall"), vec![package("ufw"), package("nftables")])]),
        members: BTreeMap::from([(component("prometheus"), package("prometheus"))]),
        upstream: BTreeMap::from([(
            component("loki"),
            UpstreamRequest {
                version: "3.1.0".into(),
                url: "https://site.example/loki-3.1.0.zip".into(),
                sums_url: Some("https://site.example/SHA256SUMS".into()),
                sha256: None,
            },
        )]),
        base: Base::Minimal,
    };
    LockRequest { hosts: vec![host], mirrors: Mirrors::default() }
}

fn lock() -> Lock {
    let release = |date: &str| ReleasePin { date: date.into(), sha256: Digest::of(date.as_bytes()) };
    let upstream = UpstreamPin {
        version: "3.1.0".into(),
        size: 99,
        sha256: Digest::of(b"loki"),
        sums: Some("https://site.example/SHA256SUMS".into()),
    };
    let closure = Closure {
        roots: vec![package("ufw"), package("nftables")],
        closure: ["libnftables1", "nftables", "ufw"].map(package).to_vec(),
    };
    let pins = HostPins {
        archive: "trixie/amd64".parse().unwrap(),
        base: BasePin::Minimal,
        packages: BTreeMap::from([(component("firewall"), closure)]),
        members: BTreeMap::from([(
            component("prometheus"),
            vec![package("prometheus"), package("promtool")],
        )]),
        upstream: BTreeMap::from([(component("loki"), "https://site.example/loki-3.1.0.zip".into())]),
    };
    let archive = Archive {
        releases: BTreeMap::from([
            ("trixie".into(), release("2025-11-15T09:41:02Z")),
            ("trixie-security".into(), release("2025-11-20T10:00:00Z")),
        ]),
        packages: BTreeMap::from([
            pin("libnftables1", "1.1.3-1", "trixie"),
            pin("nftables", "1:1.1.3-1~deb13u1", "trixie-security"),
            pin("prometheus", "2.53.3+ds1-2", "trixie"),
            pin("promtool", "2.53.3+ds1-2", "trixie"),
            pin("ufw", "0.36.2-9", "trixie"),
        ]),
    };
    Lock {
        format: LOCK_FORMAT,
        hosts: BTreeMap::from([("mentat".parse().unwrap(), pins)]),
        archives: BTreeMap::from([("trixie/amd64".parse().unwrap(), archive)]),
        upstream: BTreeMap::from([("https://site.example/loki-3.1.0.zip".into(), upstream)]),
    }
}

fn parse(text: &str) -> Result<LockFile, LockFileError> {
    LockFile::parse(text, Path::new("chom.lock"))
}

#[test]
fn what_is_written_is_read_back_and_written_the_same() {
    let text = lock().to_yaml();
    let back = parse(&text).unwrap();
    assert_eq!(back.lock, lock());
    assert_eq!(back.lock.to_yaml(), text);
    assert_eq!(back.digest, Digest::of(text.as_bytes()));
    insta::assert_snapshot!(text);
}

#[test]
fn an_empty_lock_and_a_host_without_payloads_are_locks_too() {
    let mut empty = lock();
    empty.archives.clear();
    empty.upstream.clear();
    let pins = empty.hosts.values_mut().next().unwrap();
    (pins.packages, pins.members, pins.upstream) = Default::default();
    pins.base = BasePin::Status(Digest::of(b"status"));
    assert_eq!(parse(&empty.to_yaml()).unwrap().lock, empty);
    pins_of(&mut empty).base = BasePin::None;
    assert_eq!(parse(&empty.to_yaml()).unwrap().lock, empty);
}

fn pins_of(lock: &mut Lock) -> &mut HostPins {
    lock.hosts.values_mut().next().unwrap()
}

#[test]
fn a_lock_with_mistakes_is_refused_with_line_and_column() {
    let good = lock().to_yaml();
    for (from, to, says) in [
        ("size: 1234", "size: -1", "line"),
        ("suite: trixie,", "suite: trixie, colour: red,", "colour"),
        ("base: minimal", "base: maximal", "maximal"),
        ("sha256: \"", "sha256: \"X", "digest"),
        ("file: \"pool/main/x/ufw", "file: \"../main/x/ufw", ".."),
        ("_amd64.deb", "_i386.deb", ".deb"),
        ("format: 1", "format: 2", "format 2"),
        ("  mentat:\n", "  mentat:\n    archive: trixie/amd64\n", "duplicate"),
        ("archive: trixie/amd64", "archive: sid/amd64", "sid/amd64"),
    ] {
        let text = good.replacen(from, to, 1);
        assert_ne!(text, good, "{from}");
        let error = parse(&text).unwrap_err();
        assert!(matches!(error, LockFileError::Syntax { .. }), "{error}");
        assert!(error.to_string().contains(says), "{from}: {error}");
        assert!(error.hint().unwrap().contains("chom-bundle lock"));
    }
}

#[test]
fn a_lock_that_names_what_it_does_not_describe_is_refused() {
    let mut dangling = lock();
    pins_of(&mut dangling).members.insert(component("x"), vec![package("absent")]);
    let error = parse(&dangling.to_yaml()).unwrap_err();
    assert!(
        matches!(error, LockFileError::Dangling { .. }) && error.to_string().contains("absent"),
        "{error}"
    );
    let mut dangling = lock();
    dangling.upstream.clear();
    assert!(matches!(parse(&dangling.to_yaml()), Err(LockFileError::Dangling { .. })));
}

#[test]
fn a_lock_file_is_written_when_it_changes_only() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("chom.lock");
    assert!(matches!(LockFile::read(&path), Err(LockFileError::Missing(_))));
    let (digest, changed) = LockFile::write(&path, &lock()).unwrap();
    assert!(changed);
    assert_eq!(LockFile::write(&path, &lock()).unwrap(), (digest, false));
    assert_eq!(LockFile::read(&path).unwrap(), LockFile { lock: lock(), digest });
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_lock_matches_what_it_was_made_for() {
    lock().matches(&request()).unwrap();
    let none = LockRequest { hosts: vec![], mirrors: Mirrors::default() };
    lock().matches(&none).unwrap();
}

#[test]
fn every_difference_is_named() {
    type Change = fn(&mut HostRequest);
    let changes: [(Change, &str); 12] = [
        (|host| host.host = "arrakis".parse().unwrap(), "host arrakis is not in it"),
        (
            |host| host.arch = chom_format::manifest::Arch::Aarch64,
            "is locked for trixie/amd64, not for trixie/arm64",
        ),
        (|host| host.suite = chom_format::manifest::Suite::Bookworm, "not for bookworm/amd64"),
        (|host| host.base = Base::None, "against base minimal, not none"),
        (
            |host| drop(host.packages.insert(component("nginx"), vec![package("nginx")])),
            "nginx: packages nginx is not locked",
        ),
        (
            |host| drop(host.packages.insert(component("firewall"), vec![package("ufw")])),
            "packages ufw, nftables is locked, not ufw",
        ),
        (|host| host.packages.clear(), "firewall: packages ufw, nftables is locked, but not asked for"),
        (
            |host| drop(host.members.insert(component("prometheus"), package("promtool"))),
            "members of prometheus is locked, not promtool",
        ),
        (
            |host| host.upstream.clear(),
            "loki: upstream https://site.example/loki-3.1.0.zip is locked, but not asked for",
        ),
        (
            |host| host.upstream.get_mut("loki").unwrap().url.push('2'),
            "zip is locked, not https://site.example/loki-3.1.0.zip2",
        ),
        (
            |host| host.upstream.get_mut("loki").unwrap().version = "3.2.0".into(),
            "version 3.1.0 is locked, not 3.2.0",
        ),
        (|host| host.upstream.get_mut("loki").unwrap().sha256 = Some(Digest::of(b"x")), "is locked, not"),
    ];
    for (change, says) in changes {
        let mut request = request();
        change(&mut request.hosts[0]);
        let mismatch = lock().matches(&request).unwrap_err();
        assert_eq!(mismatch.0.len(), 1, "{mismatch}");
        assert!(mismatch.to_string().contains(says), "{says}: {mismatch}");
        assert!(mismatch.hint().unwrap().contains("chom-bundle lock"));
    }
}

#[test]
fn another_status_file_is_another_base() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("status");
    std::fs::write(&path, "Package: a\n").unwrap();
    let mut request = request();
    request.hosts[0].base = Base::status_file(&path).unwrap();
    let mut lock = lock();
    pins_of(&mut lock).base = BasePin::of(&request.hosts[0].base);
    lock.matches(&request).unwrap();
    std::fs::write(&path, "Package: b\n").unwrap();
    request.hosts[0].base = Base::status_file(&path).unwrap();
    assert!(lock.matches(&request).unwrap_err().to_string().contains("base status-"));
}

#[test]
fn payloads_of_a_component_come_ready_for_a_bundle() {
    let (lock, host) = (lock(), "mentat".parse().unwrap());
    let (roots, debs) = lock.closure(&host, &component("firewall")).unwrap();
    assert_eq!(roots, ["ufw", "nftables"].map(package));
    let names: Vec<String> = debs.iter().map(chom_format::step::Deb::file_name).collect();
    assert_eq!(
        names,
        [
            "libnftables1_1.1.3-1_amd64.deb",
            "nftables_1%3a1.1.3-1~deb13u1_amd64.deb",
            "ufw_0.36.2-9_amd64.deb"
        ]
    );
    assert!(lock.closure(&host, &component("prometheus")).is_none());
    let carriers = lock.carriers(&host, &component("prometheus"));
    let names: Vec<&str> = carriers.iter().map(|pin| pin.file.name()).collect();
    assert_eq!(names, ["prometheus_2.53.3+ds1-2_amd64.deb", "promtool_2.53.3+ds1-2_amd64.deb"]);
    assert_eq!(lock.upstream_of(&host, &component("loki")).unwrap().1.size, 99);
    assert!(lock.upstream_of(&host, &component("grafana")).is_none());
}

#[test]
fn changes_are_told_line_by_line() {
    assert!(changes(Some(&lock()), &lock()).is_empty());
    let mut after = lock();
    let archive = after.archives.values_mut().next().unwrap();
    archive.packages.remove("ufw");
    archive.packages.extend([pin("iptables", "1.8", "trixie"), pin("promtool", "2.54-1", "trixie")]);
    let lines = changes(Some(&lock()), &after);
    let starts = [
        "+ trixie/amd64 iptables 1.8 (",
        "~ trixie/amd64 promtool 2.53.3+ds1-2 (",
        "- trixie/amd64 ufw 0.36.2-9 (",
    ];
    assert_eq!(lines.len(), 3, "{lines:?}");
    for (line, start) in lines.iter().zip(starts) {
        assert!(line.starts_with(start), "{line}");
    }
    assert_eq!(changes(None, &lock()).len(), 7);
}
