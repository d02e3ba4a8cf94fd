//! Upstream archives: members found, pins compared, hostile names refused.

use std::collections::BTreeMap;
use std::time::Duration;

use chom_format::Digest;
use chom_format::exit::Explain as _;
use chom_format::manifest::{Arch, Suite};

use crate::cache::Cache;
use crate::fetch::web::{Reply, Web};
use crate::fetch::{FetchOptions, Silent};
use crate::lock::{
    Base, HostRequest, Lock, LockError, LockOptions, LockRequest, Mirrors, UpstreamRequest, resolve,
};

const BYTES: &[u8] = b"an archive";

fn web() -> Web {
    Web::start(|asked| match asked.path.as_str() {
        "/v1/p.zip" => Reply::honest(BYTES, asked),
        "/v1/sums" => {
            Reply::ok(format!("{}  p.zip\n{}  q.zip\n", Digest::of(BYTES), Digest::of(b"q")).as_bytes())
        }
        "/v1/flaky" if asked.before == 0 => Reply::status(502),
        "/v1/flaky" => Reply::ok(format!("{}  p.zip\n", Digest::of(BYTES)).as_bytes()),
        "/v1/empty" => Reply::ok(b"nothing here"),
        _ => Reply::status(404),
    })
}

fn asked(web: &Web, sums: Option<&str>, sha256: Option<Digest>) -> LockRequest {
    let upstream = UpstreamRequest {
        version: "1".into(),
        url: format!("{}/v1/p.zip", web.base),
        sums_url: sums.map(|path| format!("{}{path}", web.base)),
        sha256,
    };
    let host = HostRequest {
        host: "mentat".parse().unwrap(),
        suite: Suite::Trixie,
        arch: Arch::X86_64,
        packages: BTreeMap::new(),
        members: BTreeMap::new(),
        upstream: BTreeMap::from([("p".parse().unwrap(), upstream)]),
        base: Base::Minimal,
    };
    LockRequest { hosts: vec![host], mirrors: Mirrors::default() }
}

struct Bench {
    _dir: tempfile::TempDir,
    options: LockOptions,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        let fetch = FetchOptions { pause: Duration::from_millis(5), ..FetchOptions::default() };
        Self { options: LockOptions { cache, keyring: None, update: false, fetch }, _dir: dir }
    }

    fn lock(&self, request: &LockRequest, before: Option<&Lock>) -> Result<Lock, LockError> {
        resolve(request, before, &self.options, &Silent)
    }
}

#[test]
fn published_and_pinned_digests_pin_an_archive() {
    let web = web();
    let digest = Digest::of(BYTES);
    for (sums, sha256) in [
        (Some("/v1/sums"), None),
        (None, Some(digest)),
        (Some("/v1/sums"), Some(digest)),
        (Some("/v1/flaky"), None),
    ] {
        let bench = Bench::new();
        let request = asked(&web, sums, sha256);
        let lock = bench.lock(&request, None).unwrap();
        let pin = lock.upstream.values().next().unwrap();
        assert_eq!((pin.sha256, pin.size, pin.version.as_str()), (digest, 10, "1"));
        assert_eq!(pin.sums, sums.map(|path| format!("{}{path}", web.base)));
        assert!(bench.options.cache.verify(&digest).unwrap());
        lock.matches(&request).unwrap();
    }
}

#[test]
fn what_is_locked_is_not_asked_for_again_until_an_update() {
    let (web, mut bench) = (web(), Bench::new());
    let request = asked(&web, Some("/v1/sums"), None);
    let lock = bench.lock(&request, None).unwrap();
    assert_eq!(web.asked().len(), 2);
    assert_eq!(bench.lock(&request, Some(&lock)).unwrap(), lock);
    assert_eq!(web.asked().len(), 2);
    bench.options.update = true;
    assert_eq!(bench.lock(&request, Some(&lock)).unwrap(), lock);
    assert_eq!(web.asked().len(), 3, "the sums are read again, the archive is in the cache");
}

#[test]
fn an_archive_that_nothing_vouches_for_is_refused() {
    let (web, bench) = (web(), Bench::new());
    let error = bench.lock(&asked(&web, None, None), None).unwrap_err();
    assert!(
        matches!(error, LockError::Unverifiable { .. }) && error.hint().unwrap().contains("sha256"),
        "{error}"
    );
    assert!(web.asked().is_empty(), "it is not even downloaded");

    let lock = bench.lock(&asked(&web, None, Some(Digest::of(BYTES))), None).unwrap();
    let error = bench.lock(&asked(&web, None, None), Some(&lock)).unwrap_err();
    assert!(
        matches!(error, LockError::Unverifiable { .. }),
        "a pin that was taken away vouches no more: {error}"
    );
}

#[test]
fn sums_that_disagree_or_say_nothing_are_refused() {
    let (web, bench) = (web(), Bench::new());
    let other = Digest::of(b"other");
    let text = bench.lock(&asked(&web, Some("/v1/sums"), Some(other)), None).unwrap_err().to_string();
    assert!(text.contains(&other.to_string()) && text.contains(&Digest::of(BYTES).to_string()), "{text}");
    let error = bench.lock(&asked(&web, Some("/v1/empty"), None), None).unwrap_err();
    assert!(matches!(error, LockError::NotInSums { .. }), "{error}");
    let error = bench.lock(&asked(&web, Some("/v1/nowhere"), None), None).unwrap_err();
    assert!(error.to_string().contains("nowhere: gone"), "{error}");
    let error = bench.lock(&asked(&web, None, Some(other)), None).unwrap_err();
    assert!(error.to_string().contains("nothing was kept"), "{error}");
}

#[test]
fn two_hosts_that_want_different_things_from_one_address_are_refused() {
    let (web, bench) = (web(), Bench::new());
    let mut request = asked(&web, Some("/v1/sums"), None);
    let mut other = request.hosts[0].clone();
    other.host = "arrakis".parse().unwrap();
    request.hosts.push(other);
    assert_eq!(bench.lock(&request, None).unwrap().upstream.len(), 1);
    request.hosts[1].upstream.get_mut("p").unwrap().version = "2".into();
    let error = bench.lock(&request, None).unwrap_err();
    assert!(matches!(error, LockError::Contradiction { .. }), "{error}");
}
