//! What a host has become after a fault, and whether that is what it may become: as it was before the run, or as the
//! run leaves it, and then it goes back to what it was.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use chom_bundle::rehearse::capture::Difference;
use chom_bundle::rehearse::{Capture, Host};
use chom_format::manifest::Suite;

use crate::fleet::{Said, Unpacked, on_disk};
use crate::{matrix, places};

/// The exit code of an installer that was killed, or whose host was.
pub const KILLED: i32 = 128 + 9;
/// What services write while they run, and systemd when a machine with a kernel of its own goes down.
const LIVES: [&str; 4] = [
    "/var/lib/observability/prometheus",
    "/var/lib/observability/node_exporter/textfile",
    "/var/lib/systemd/random-seed",
    "/var/log/",
];
/// Services start after a boot, and are scraped for the first time.
const HEALTHY: Duration = Duration::from_secs(120);

/// A host on which case after case is tried.
#[derive(Debug)]
pub struct Trial<'a> {
    /// The host, which has come up after the fault.
    pub host: &'a mut Host,
    /// What was installed.
    pub there: &'a Unpacked,
    /// What the host was before.
    pub before: &'a Capture,
    /// Transactions that stood before.
    pub standing: usize,
}

impl Trial<'_> {
    /// The host is as before; or as after, and then it goes back. `code`: what the installer ended with. `by_itself`:
    /// nobody has typed a command since.
    pub fn settled(&mut self, what: &str, code: i32, by_itself: bool) {
        let stand = self.stand();
        assert!(stand == self.standing || stand == self.standing + 1, "{what}: {stand} transactions stand");
        assert!(code != 0 || stand > self.standing, "{what}: told to be done, and nothing stands");
        assert!(
            !matches!(code, 1 | 4) || stand == self.standing,
            "{what}: told to be put back, and it stands"
        );
        if stand > self.standing {
            return self.after(what);
        }
        // Cut off before its boot unit was there or after it went: nothing recovers by itself, and all that may not be
        // as it was is the time of one directory, until the next command.
        if by_itself {
            let left = self.differences();
            if !left.is_empty() && left.iter().all(is_time) {
                println!("{what}: {left:?}");
                let said = self.there.installer(self.host, &["recover"]);
                assert_eq!(said.code, 0, "{what}: {}", said.text);
            }
        }
        self.as_before(what);
    }

    fn stand(&self) -> usize {
        let said = self.there.installer(self.host, &["history", "--json"]).text;
        let history: serde_json::Value =
            serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"));
        let transactions = history["transactions"].as_array().map(Vec::as_slice).unwrap_or_default();
        transactions.iter().filter(|one| one["standing"] == "committed").count()
    }

    fn after(&mut self, what: &str) {
        self.healthy(what);
        let again = self.there.installer(self.host, &["install", "--yes"]);
        assert_eq!(again.code, 0, "{what}, again: {}", again.text);
        assert!(again.text.contains("nothing to do"), "{what}, again: {}", again.text);
        let back = self.there.installer(self.host, &["rollback", "--yes"]);
        assert_eq!(back.code, 0, "{what}, rollback: {}", back.text);
        self.as_before(what);
    }

    /// Waits until everything that stands answers.
    fn healthy(&self, what: &str) {
        let begun = Instant::now();
        while self.there.installer(self.host, &["status"]).code != 0 {
            let said = self.there.installer(self.host, &["status"]).text;
            assert!(begun.elapsed() < HEALTHY, "{what}: not healthy:\n{said}");
            thread::sleep(Duration::from_secs(1));
        }
    }

    /// Nothing is different.
    fn as_before(&mut self, what: &str) {
        assert_eq!(self.differences(), Vec::new(), "{what}");
    }

    fn differences(&mut self) -> Vec<Difference> {
        let now = self.host.capture().unwrap_or_else(|error| panic!("{error}"));
        let lives = |found: &Difference| LIVES.iter().any(|place| found.name.starts_with(place));
        Capture::diff(self.before, &now).into_iter().filter(|found| !lives(found)).collect()
    }
}

/// That of a directory in which something of ours comes and goes that nothing else accounts for.
fn is_time(found: &Difference) -> bool {
    ["/var/lib", "/etc/systemd"].contains(&found.name.as_str()) && found.change.starts_with("mtime was ")
}

/// Goes through all cases, each on the next host that has nothing to do, and fails when one of them has failed. `name`:
/// what a case is called; `again`: the command that plays it.
pub fn play<C: Send>(
    cases: Vec<C>,
    name: impl Fn(&C) -> String + Sync,
    again: impl Fn(&C) -> String + Sync,
    act: impl Fn(&mut Host, C) + Sync,
) {
    let number = cases.len();
    assert!(number > 0, "no case");
    let cases = Mutex::new(cases.into_iter());
    let (done, failed) = (Mutex::new(0), Mutex::new(Vec::new()));
    let next = || cases.lock().ok()?.next();
    // The host on which the cases were made is switched off by now.
    places::leave();
    let scene = places::scene();
    thread::scope(|scope| {
        for _ in 0..matrix::jobs() {
            let job = thread::Builder::new().name(scene.clone());
            let playing = job.spawn_scoped(scope, || {
                on_disk(Suite::Trixie, |host| {
                    while let Some(case) = next() {
                        let (what, again) = (name(&case), again(&case));
                        let tried = catch_unwind(AssertUnwindSafe(|| act(host, case)));
                        if let Ok(mut done) = done.lock() {
                            *done += 1;
                            println!("{done}/{number} {what}{}", if tried.is_ok() { "" } else { ": FAILED" });
                        }
                        if let (Err(_), Ok(mut failed)) = (tried, failed.lock()) {
                            failed.push(format!("{what}\n  again: {again}"));
                        }
                    }
                });
            });
            playing.unwrap_or_else(|error| panic!("a thread of its own: {error}"));
        }
    });
    let done = done.into_inner().unwrap_or_default();
    let failed = failed.into_inner().unwrap_or_default();
    assert!(failed.is_empty() && done == number, "{done} of {number} cases, failed:\n{}", failed.join("\n"));
}

/// How many effects the run had that counted them.
pub fn effects(said: &Said) -> u64 {
    let count = said.text.lines().find_map(|line| line.strip_suffix(" effects in all")?.split(": ").nth(1));
    count.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("no count of effects: {}", said.text))
}
