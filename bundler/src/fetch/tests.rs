//! Downloads against a server on the loopback address that is slow, wrong, or gone.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use chom_format::exit::Explain as _;
use chom_format::{Digest, HostName};

use super::web::{Asked, Reply, Web};
use super::*;
use crate::cache::Cache;
use crate::lock::{
    Archive, ArchiveId, BasePin, Closure, HostPins, LOCK_FORMAT, Lock, Mirrors, PackagePin, PoolPath,
    ReleasePin, UpstreamPin,
};

const POOL: &str = "pool/main/u/ufw/ufw_1-1_all.deb";

struct Bench {
    _dir: tempfile::TempDir,
    cache: Cache,
    options: FetchOptions,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path().join("cache")).unwrap();
        let options = FetchOptions {
            pause: Duration::from_millis(5),
            longest_pause: Duration::from_millis(50),
            stall: Duration::from_millis(400),
            deadline: Duration::from_secs(30),
            ..FetchOptions::default()
        };
        Self { _dir: dir, cache, options }
    }

    fn fetch(&self, lock: &Lock, mirrors: &Mirrors) -> Result<FetchReport, FetchError> {
        fetch(lock, &[host()], &self.cache, mirrors, &self.options, &Silent)
    }

    fn leftovers(&self) -> Vec<String> {
        let partial = self.cache.partial(&Digest::of(b""));
        let names = fs::read_dir(partial.parent().unwrap()).unwrap().flatten();
        names.map(|entry| entry.file_name().into_string().unwrap()).collect()
    }
}

fn host() -> HostName {
    "mentat".parse().unwrap()
}

fn body() -> Vec<u8> {
    (0..300_000_u32).map(|byte| (byte % 251) as u8).collect()
}

/// A lock with one package of these bytes.
fn lock_of(bytes: &[u8]) -> Lock {
    let archive: ArchiveId = "trixie/amd64".parse().unwrap();
    let pin = PackagePin {
        version: "1-1".into(),
        suite: "trixie".into(),
        size: bytes.len() as u64,
        installed_kb: 1,
        sha256: Digest::of(bytes),
        file: PoolPath::new(POOL).unwrap(),
    };
    let release = ReleasePin { date: "2025-11-15T09:41:02Z".into(), sha256: Digest::of(b"") };
    let closure = Closure { roots: vec!["ufw".parse().unwrap()], closure: vec!["ufw".parse().unwrap()] };
    let pins = HostPins {
        archive,
        base: BasePin::Minimal,
        packages: BTreeMap::from([("firewall".parse().unwrap(), closure)]),
        members: BTreeMap::new(),
        upstream: BTreeMap::new(),
    };
    Lock {
        format: LOCK_FORMAT,
        hosts: BTreeMap::from([(host(), pins)]),
        archives: BTreeMap::from([(
            archive,
            Archive {
                releases: BTreeMap::from([("trixie".into(), release)]),
                packages: BTreeMap::from([("ufw".parse().unwrap(), pin)]),
            },
        )]),
        upstream: BTreeMap::new(),
    }
}

fn mirrors_of(webs: &[&Web]) -> Mirrors {
    let debian = webs.iter().map(|web| format!("{}/debian", web.base).parse().unwrap()).collect();
    let security = vec!["http://127.0.0.1:9/none".parse().unwrap()];
    Mirrors { debian: Some(debian), security: Some(security), ..Mirrors::default() }
}

fn problems(error: FetchError) -> Vec<FetchProblem> {
    match error {
        FetchError::Failed(problems) => problems,
        other => panic!("{other}"),
    }
}

#[test]
fn what_is_missing_is_fetched_once() {
    let bench = Bench::new();
    let web = Web::start(|asked| Reply::honest(&body(), asked));
    let (lock, mirrors) = (lock_of(&body()), mirrors_of(&[&web]));
    assert_eq!(missing(&lock, &[host()], &bench.cache).unwrap().len(), 1);
    let report = bench.fetch(&lock, &mirrors).unwrap();
    assert_eq!(report, FetchReport { objects: 1, fetched: 1, bytes: 300_000 });
    assert_eq!(web.asked()[0].path, format!("/debian/{POOL}"));
    assert_eq!(bench.fetch(&lock, &mirrors).unwrap().fetched, 0);
    assert_eq!(web.asked().len(), 1);
    assert!(missing(&lock, &[host()], &bench.cache).unwrap().is_empty());
    assert!(bench.leftovers().is_empty(), "{:?}", bench.leftovers());
}

#[test]
fn a_damaged_object_is_fetched_again() {
    let bench = Bench::new();
    let web = Web::start(|asked| Reply::honest(&body(), asked));
    let (lock, mirrors) = (lock_of(&body()), mirrors_of(&[&web]));
    bench.fetch(&lock, &mirrors).unwrap();
    let path = bench.cache.object(&Digest::of(&body()));
    let mut bytes = body();
    bytes[7] ^= 1;
    fs::write(&path, bytes).unwrap();
    assert_eq!(bench.fetch(&lock, &mirrors).unwrap().fetched, 1);
    assert_eq!(fs::read(path).unwrap(), body());
}

#[test]
fn a_cut_download_is_resumed_where_it_broke_off() {
    let bench = Bench::new();
    let web = Web::start(|asked| match asked.before {
        0 => Reply::ok(&body()).cut_after(100_000),
        1 => Reply::honest(&body(), asked).cut_after(50_000),
        _ => Reply::honest(&body(), asked),
    });
    bench.fetch(&lock_of(&body()), &mirrors_of(&[&web])).unwrap();
    let from: Vec<_> = web.asked().iter().map(|asked| asked.from).collect();
    assert_eq!(from, [None, Some(100_000), Some(150_000)]);
}

#[test]
fn what_a_former_run_left_is_resumed_even_after_a_failure() {
    let bench = Bench::new();
    let web = Web::start(|asked| match asked.before {
        0..4 => Reply::honest(&body(), asked).cut_after(10_000),
        _ => Reply::honest(&body(), asked),
    });
    let (lock, mirrors) = (lock_of(&body()), mirrors_of(&[&web]));
    let problems = problems(bench.fetch(&lock, &mirrors).unwrap_err());
    assert!(matches!(&problems[..], [FetchProblem::Unreachable { .. }]), "{problems:?}");
    bench.fetch(&lock, &mirrors).unwrap();
    assert_eq!(web.asked()[4].from, Some(40_000));
}

#[test]
fn a_server_that_cannot_resume_sends_all_of_it() {
    let bench = Bench::new();
    let web = Web::start(|asked| match asked.before {
        0 => Reply::ok(&body()).cut_after(100_000),
        _ => Reply::ok(&body()),
    });
    bench.fetch(&lock_of(&body()), &mirrors_of(&[&web])).unwrap();
    assert_eq!(web.asked().len(), 2);
}

#[test]
fn a_first_part_from_elsewhere_is_thrown_away() {
    let bench = Bench::new();
    fs::write(bench.cache.partial(&Digest::of(&body())), b"something else").unwrap();
    let web = Web::start(|asked| Reply::honest(&body(), asked));
    bench.fetch(&lock_of(&body()), &mirrors_of(&[&web])).unwrap();
    let from: Vec<_> = web.asked().iter().map(|asked| asked.from).collect();
    assert_eq!(from, [Some(14), None]);
}

#[test]
fn wrong_bytes_are_named_and_not_kept() {
    let bench = Bench::new();
    let mut other = body();
    other[299_999] ^= 1;
    for wrong in [other, b"<html>log in first</html>".to_vec()] {
        let found = Digest::of(&wrong);
        let web = Web::start(move |_| Reply::ok(&wrong));
        let error = bench.fetch(&lock_of(&body()), &mirrors_of(&[&web])).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains(&Digest::of(&body()).to_string()) && text.contains(&found.to_string()),
            "{text}"
        );
        assert!(error.hint().unwrap().contains("other bytes"));
        assert_eq!(web.asked().len(), 1, "wrong bytes are not asked for again");
        assert!(bench.leftovers().is_empty());
        assert!(bench.cache.size(&Digest::of(&body())).is_none());
        assert!(bench.cache.size(&found).is_none());
    }
}

#[test]
fn an_endless_answer_is_stopped() {
    let bench = Bench::new();
    let web = Web::start(|_| Reply::ok(&vec![7; 8 << 20]));
    let problems = problems(bench.fetch(&lock_of(b"abc"), &mirrors_of(&[&web])).unwrap_err());
    assert!(matches!(&problems[..], [FetchProblem::TooLong { wanted: 3, .. }]), "{problems:?}");
    assert!(bench.leftovers().is_empty());
}

#[test]
fn a_package_that_has_left_its_mirrors_is_named_with_both_remedies() {
    let bench = Bench::new();
    let one = Web::start(|_| Reply::status(404));
    let other = Web::start(|_| Reply::status(410));
    let error = bench.fetch(&lock_of(&body()), &mirrors_of(&[&one, &other])).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("ufw_1-1_all.deb: gone from") && text.contains(&other.base), "{text}");
    let hint = error.hint().unwrap();
    assert!(hint.contains("lock --update") && hint.contains("mirrors.snapshot"), "{hint}");
    assert_eq!((one.asked().len(), other.asked().len()), (1, 1), "gone is not asked for again");
}

#[test]
fn the_next_mirror_and_then_the_snapshot_are_asked() {
    let bench = Bench::new();
    let empty = Web::start(|_| Reply::status(404));
    let full = Web::start(|asked| Reply::honest(&body(), asked));
    bench.fetch(&lock_of(&body()), &mirrors_of(&[&empty, &full])).unwrap();
    assert_eq!((empty.asked().len(), full.asked().len()), (1, 1));

    let bench = Bench::new();
    let snapshot = Some(format!("{}/archive/{{archive}}/{{date}}", full.base).parse().unwrap());
    let mirrors = Mirrors { snapshot, ..mirrors_of(&[&empty]) };
    bench.fetch(&lock_of(&body()), &mirrors).unwrap();
    assert_eq!(full.asked()[1].path, format!("/archive/debian/20251115T214102Z/{POOL}"));
}

#[test]
fn a_server_in_trouble_is_asked_again_with_pauses() {
    let bench = Bench::new();
    let web = Web::start(|asked| match asked.before {
        0 => Reply::status(503),
        1 => Reply::status(429).header("Retry-After", "0"),
        2 => Reply::status(416),
        _ => Reply::honest(&body(), asked),
    });
    bench.fetch(&lock_of(&body()), &mirrors_of(&[&web])).unwrap();
    assert_eq!(web.asked().len(), 4);

    let bench = Bench::new();
    let web = Web::start(|_| Reply::status(503));
    let problems = problems(bench.fetch(&lock_of(&body()), &mirrors_of(&[&web])).unwrap_err());
    assert!(problems[0].to_string().contains("status 503, after 4 tries"), "{}", problems[0]);
    assert_eq!(web.asked().len(), 4);

    let bench = Bench::new();
    let web = Web::start(|_| Reply::status(403));
    bench.fetch(&lock_of(&body()), &mirrors_of(&[&web])).unwrap_err();
    assert_eq!(web.asked().len(), 1, "a refusal is not asked for again");
}

#[test]
fn silence_is_given_up_and_the_deadline_ends_all() {
    let bench = Bench::new();
    let web = Web::start(|asked| match asked.before {
        0 => Reply::ok(&body()).silent_after(1000, Duration::from_secs(20)),
        _ => Reply::honest(&body(), asked),
    });
    let started = Instant::now();
    bench.fetch(&lock_of(&body()), &mirrors_of(&[&web])).unwrap();
    assert!(started.elapsed() < Duration::from_secs(10));
    assert_eq!(web.asked()[1].from, Some(1000));

    let mut bench = Bench::new();
    bench.options.deadline = Duration::from_millis(300);
    bench.options.attempts = 1000;
    let web = Web::start(|_| Reply::status(503));
    let started = Instant::now();
    let problems = problems(bench.fetch(&lock_of(&body()), &mirrors_of(&[&web])).unwrap_err());
    assert!(matches!(&problems[..], [FetchProblem::Deadline { .. }]), "{problems:?}");
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[test]
fn offline_lists_what_is_missing_and_asks_nobody() {
    let mut bench = Bench::new();
    bench.options.offline = true;
    let web = Web::start(|asked| Reply::honest(&body(), asked));
    let error = bench.fetch(&lock_of(&body()), &mirrors_of(&[&web])).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("ufw_1-1_all.deb") && text.contains("--offline"), "{text}");
    assert!(web.asked().is_empty());
    bench.options.offline = false;
    bench.fetch(&lock_of(&body()), &mirrors_of(&[&web])).unwrap();
    bench.options.offline = true;
    assert_eq!(bench.fetch(&lock_of(&body()), &Mirrors::default()).unwrap().fetched, 0);
}

#[test]
fn a_mirror_on_a_disk_serves_too() {
    let bench = Bench::new();
    let disk = tempfile::tempdir().unwrap();
    let file = disk.path().join(POOL);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, body()).unwrap();
    let mirrors = Mirrors {
        debian: Some(vec![format!("file:{}", disk.path().display()).parse().unwrap()]),
        security: Some(vec!["file:/nonexistent".parse().unwrap()]),
        ..Mirrors::default()
    };
    bench.fetch(&lock_of(&body()), &mirrors).unwrap();
    assert!(bench.cache.verify(&Digest::of(&body())).unwrap());
}

#[test]
fn two_runs_at_once_download_once() {
    let bench = Bench::new();
    let web = Web::start(|asked: &Asked| {
        std::thread::sleep(Duration::from_millis(150));
        Reply::honest(&body(), asked)
    });
    let (lock, mirrors) = (lock_of(&body()), mirrors_of(&[&web]));
    std::thread::scope(|scope| {
        let runs: Vec<_> = (0..4).map(|_| scope.spawn(|| bench.fetch(&lock, &mirrors))).collect();
        for run in runs {
            run.join().unwrap().unwrap();
        }
    });
    assert_eq!(web.asked().len(), 1);
    assert!(bench.leftovers().is_empty());
}

#[test]
fn an_unknown_host_is_named() {
    let bench = Bench::new();
    let hosts = ["arrakis".parse().unwrap()];
    let error =
        fetch(&lock_of(b""), &hosts, &bench.cache, &Mirrors::default(), &bench.options, &Silent).unwrap_err();
    assert_eq!(error.to_string(), "host arrakis is not in chom.lock");
}

#[test]
fn upstream_archives_come_from_their_address_or_its_mirror() {
    let web = Web::start(|asked| Reply::honest(&body(), asked));
    let url = format!("{}/p/v1/p.zip", web.base);
    let mut lock = lock_of(&body());
    lock.archives.clear();
    let pins = lock.hosts.get_mut(&host()).unwrap();
    pins.packages.clear();
    pins.upstream.insert("loki".parse().unwrap(), url.clone());
    let pin = UpstreamPin { version: "1".into(), size: 300_000, sha256: Digest::of(&body()), sums: None };
    lock.upstream.insert(url, pin);
    Bench::new().fetch(&lock, &Mirrors::default()).unwrap();
    let mirrors =
        Mirrors { upstream: Some(format!("{}/mirror/", web.base).parse().unwrap()), ..Mirrors::default() };
    Bench::new().fetch(&lock, &mirrors).unwrap();
    let address = web.base.trim_start_matches("http://");
    let paths: Vec<_> = web.asked().into_iter().map(|asked| asked.path).collect();
    assert_eq!(paths, ["/p/v1/p.zip".to_owned(), format!("/mirror/{address}/p/v1/p.zip")]);
}

#[test]
fn redirections_are_followed_and_named_when_they_fail() {
    let bench = Bench::new();
    let full = Web::start(|asked| Reply::honest(&body(), asked));
    let target = full.base.clone();
    let first =
        Web::start(move |_| Reply::status(302).header("Location", &format!("{target}/elsewhere?signed=1")));
    bench.fetch(&lock_of(&body()), &mirrors_of(&[&first])).unwrap();
    assert_eq!(full.asked()[0].path, "/elsewhere?signed=1");

    let bench = Bench::new();
    let dead = Web::start(|_| Reply::status(503));
    let target = dead.base.clone();
    let first = Web::start(move |_| Reply::status(302).header("Location", &target));
    let text = bench.fetch(&lock_of(&body()), &mirrors_of(&[&first])).unwrap_err().to_string();
    assert!(text.contains(&format!("redirected to {}: status 503", dead.base)), "{text}");

    let bench = Bench::new();
    let circle = Web::start(|_| Reply::status(301).header("Location", "/again"));
    let text = bench.fetch(&lock_of(&body()), &mirrors_of(&[&circle])).unwrap_err().to_string();
    assert!(text.contains("redirections"), "{text}");
    assert_eq!(circle.asked().len(), 8);
}

struct Heard(Mutex<Vec<String>>);

impl Progress for Heard {
    fn begin(&self, objects: usize, bytes: u64) {
        self.0.lock().unwrap().push(format!("begin {objects} {bytes}"));
    }
    fn start(&self, name: &str, size: Option<u64>) {
        self.0.lock().unwrap().push(format!("start {name} {size:?}"));
    }
    fn at(&self, _: &str, _: u64) {}
    fn done(&self, name: &str) {
        self.0.lock().unwrap().push(format!("done {name}"));
    }
    fn note(&self, text: &str) {
        self.0.lock().unwrap().push(format!("note {}", text.split(';').next().unwrap()));
    }
    fn end(&self) {
        self.0.lock().unwrap().push("end".into());
    }
}

#[test]
fn progress_is_told_in_order() {
    let bench = Bench::new();
    let web = Web::start(|asked| match asked.before {
        0 => Reply::status(500),
        _ => Reply::honest(&body(), asked),
    });
    let heard = Heard(Mutex::default());
    fetch(&lock_of(&body()), &[host()], &bench.cache, &mirrors_of(&[&web]), &bench.options, &heard).unwrap();
    assert_eq!(
        heard.0.into_inner().unwrap(),
        [
            "begin 1 300000",
            "start ufw_1-1_all.deb Some(300000)",
            "note ufw_1-1_all.deb: status 500",
            "done ufw_1-1_all.deb",
            "end",
        ]
    );
}
