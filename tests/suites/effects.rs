//! A fault at an effect of the real program on a real host: it fails, meets a full disk, is killed before or after it,
//! or the power of the whole host is cut at it; on a bare host, and in an upgrade of an older bundle. Whatever it was,
//! the host is as before or as after, and the exit code says which.
//!
//! The usual run takes a seeded sample. `CHOM_CASES=n` takes n effects of each kind; `CHOM_MATRIX=full` every effect, and
//! `CHOM_MATRIX=3/24` a part of that: every kind of fault at each effect, and in the recovery of three that were killed
//! the kinds by turns at each of its effects.

use std::env;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use chom_bundle::rehearse::{Capture, Host};
use chom_format::manifest::Suite;
use chom_tests::fleet::{Said, Unpacked, build, bundle, must, on_disk, on_host, recovered, scratch, unpack};
use chom_tests::matrix::{self, Part};

const PATIENCE: Duration = Duration::from_secs(300);
const KINDS: [&str; 5] = ["fail", "full", "kill-before", "kill-after", "stop"];
/// In a recovery.
const AGAIN: [&str; 4] = ["fail", "full", "kill-before", "kill-after"];
/// Fixed, so that a case can be seen again.
const SEED: u64 = 0x6566_6665_6374;
/// What services write while they run.
const LIVES: [&str; 3] =
    ["/var/lib/observability/prometheus", "/var/lib/observability/node_exporter/textfile", "/var/log/"];
const KILLED: i32 = 128 + 9;

/// The host that faults are let loose on.
struct Place<'a> {
    host: &'a mut Host,
    there: Unpacked,
    before: Capture,
    /// Transactions that stand before each case.
    standing: usize,
    effects: u64,
    cases: usize,
    begun: Instant,
}

impl<'a> Place<'a> {
    /// Counts the effects of an installation that nothing happens to, and takes it back.
    fn new(host: &'a mut Host, there: Unpacked, standing: usize) -> Self {
        let before = host.capture().unwrap();
        let mut place = Self { host, there, before, standing, effects: 0, cases: 0, begun: Instant::now() };
        let said = place.install("fail@0");
        assert_eq!(said.code, 0, "{}", said.text);
        let count = said.text.lines().find_map(|line| line.strip_prefix("fail@0: ")?.split(' ').next());
        place.effects = count.unwrap().parse().unwrap();
        place.after("counting");
        println!("{} effects", place.effects);
        place
    }

    fn install(&self, fault: &str) -> Said {
        self.there.installer(self.host, &["install", "--yes", "--no-confirm", "--fault", fault])
    }

    fn case(&mut self, kind: &str, at: u64) {
        let what = format!("{kind}@{at}");
        let said = match kind {
            "stop" => self.power_cut(&what),
            _ => self.install(&what),
        };
        println!("{what}: {}", said.code);
        let killed = said.code == KILLED;
        assert!(killed || matches!(said.code, 0 | 1 | 4), "{what}: {}", said.text);
        assert!(killed || said.text.contains("host is now: "), "{what}: {}", said.text);
        if killed && kind != "stop" {
            let said = self.there.installer(self.host, &["recover"]);
            assert_eq!(said.code, 0, "{what}, recover: {}", said.text);
        }
        self.settled(&what, said.code);
    }

    /// The host is as before; or as after, and then it goes back.
    fn settled(&mut self, what: &str, code: i32) {
        self.cases += 1;
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
        self.as_before(what);
    }

    fn stand(&self) -> usize {
        let history: serde_json::Value =
            serde_json::from_str(&self.there.installer(self.host, &["history", "--json"]).text).unwrap();
        let transactions = history["transactions"].as_array().unwrap();
        transactions.iter().filter(|one| one["standing"] == "committed").count()
    }

    fn after(&mut self, what: &str) {
        let again = self.there.installer(self.host, &["install", "--yes"]);
        assert_eq!(again.code, 0, "{what}, again: {}", again.text);
        assert!(again.text.contains("nothing to do"), "{what}, again: {}", again.text);
        let back = self.there.installer(self.host, &["rollback", "--yes"]);
        assert_eq!(back.code, 0, "{what}, rollback: {}", back.text);
        self.as_before(what);
    }

    fn as_before(&mut self, what: &str) {
        let found = Capture::diff(&self.before, &self.host.capture().unwrap());
        let differences: Vec<String> = found
            .iter()
            .filter(|found| !LIVES.iter().any(|place| found.name.starts_with(place)))
            .map(|found| format!("{found:?}"))
            .collect();
        assert_eq!(differences, Vec::<String>::new(), "{what}");
    }

    /// Cuts the power of the host while the program stands still before its effect.
    fn power_cut(&mut self, fault: &str) -> Said {
        // What an earlier case has left unsynced is not what this one is about.
        must(self.host, &["sync", "-f", "/"]);
        self.there.start(self.host, &["install", "--yes", "--no-confirm", "--fault", fault]);
        let begun = Instant::now();
        let stands_still = ["sh", "-c", "grep -ls '^State:.T' /proc/[0-9]*/status || true"];
        while must(self.host, &stands_still).is_empty() {
            if let Some(said) = self.there.ended(self.host) {
                return said;
            }
            assert!(begun.elapsed() < PATIENCE, "{fault}: neither reached nor ended");
            thread::sleep(Duration::from_millis(50));
        }
        self.host.cut().unwrap();
        self.host.boot().unwrap();
        recovered(self.host, fault);
        Said { code: KILLED, text: String::new() }
    }

    /// A second fault at an effect of the recovery of a run that was killed; how many effects that has.
    fn recovery(&mut self, at: u64, second: &str) -> u64 {
        let what = format!("kill-after@{at}, then {second}");
        assert_eq!(self.install(&format!("kill-after@{at}")).code, KILLED, "{what}");
        let said = self.there.installer(self.host, &["recover", "--fault", second]);
        println!("{what}: {}", said.code);
        // What fails on the way back is tried again, or is left for the next recovery, and then that is said.
        assert!(matches!(said.code, 0 | 5 | KILLED), "{what}: {}", said.text);
        if said.code != 0 {
            let said = self.there.installer(self.host, &["recover"]);
            assert_eq!(said.code, 0, "{what}: {}", said.text);
        }
        self.settled(&what, KILLED);
        let count =
            said.text.lines().find_map(|line| line.strip_suffix(" effects in all")?.split(": ").nth(1));
        count.and_then(|count| count.parse().ok()).unwrap_or_default()
    }

    /// Every effect with every kind of fault, or the part of that which is wanted.
    fn matrix(&mut self, part: Part) {
        let cases = (1..=self.effects).flat_map(|at| KINDS.map(|kind| (kind, at)));
        for (_, (kind, at)) in (0..).zip(cases).filter(|(number, _)| part.has(*number)) {
            self.case(kind, at);
        }
        for tenth in [1, 5, 9] {
            let at = self.effects * tenth / 10;
            let effects = self.recovery(at, "fail@0");
            assert!(effects > 0, "a recovery without an effect");
            let cases = (1..=effects).zip(AGAIN.iter().cycle());
            for (_, (second, kind)) in (0..).zip(cases).filter(|(number, _)| part.has(*number)) {
                self.recovery(at, &format!("{kind}@{second}"));
            }
        }
    }

    fn sample(&mut self, cases: usize) {
        let mut seed = SEED;
        for _ in 0..cases {
            for kind in KINDS {
                self.case(kind, 1 + next(&mut seed) % self.effects);
            }
        }
        let at = self.effects / 2;
        let effects = self.recovery(at, "fail@0");
        assert!(effects > 0, "a recovery without an effect");
        for _ in 0..cases {
            for kind in AGAIN {
                self.recovery(at, &format!("{kind}@{}", 1 + next(&mut seed) % effects));
            }
        }
    }

    fn all(&mut self) {
        match matrix::part() {
            Some(part) => self.matrix(part),
            None => self.sample(cases(1)),
        }
        self.tell();
    }

    /// The figure for the README.
    fn tell(&self) {
        let (cases, effects) = (self.cases, self.effects);
        println!("{cases} cases over {effects} effects, all survived, {} s", self.begun.elapsed().as_secs());
    }
}

fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

fn cases(usual: usize) -> usize {
    env::var("CHOM_CASES").ok().and_then(|number| number.parse().ok()).unwrap_or(usual)
}

/// The first boot of a host writes what no later one does.
fn settle(host: &mut Host) {
    host.reboot().unwrap();
}

fn older() -> PathBuf {
    let set =
        ["mentat.components.prometheus.retention=7d", "mentat.components.blackbox_exporter.enabled=false"];
    build(Suite::Trixie, Path::new(&scratch("bundle-older")), &set)
}

#[test]
fn a_fault_at_an_effect_of_an_installation() {
    on_host(Suite::Trixie, |host| {
        settle(host);
        let there = unpack(host, &bundle(Suite::Trixie));
        Place::new(host, there, 0).all();
    });
}

#[test]
fn a_fault_at_an_effect_of_an_upgrade() {
    on_host(Suite::Trixie, |host| {
        settle(host);
        let said = unpack(host, &older()).installer(host, &["install", "--yes", "--no-confirm"]);
        assert_eq!(said.code, 0, "{}", said.text);
        // ufw's unit runs from the next boot on, and every power cut is one.
        settle(host);
        let there = unpack(host, &bundle(Suite::Trixie));
        Place::new(host, there, 1).all();
    });
}

/// `make test-power` cuts a hundred times.
#[test]
fn the_power_fails_and_what_was_not_synced_is_lost() {
    on_disk(Suite::Trixie, |host| {
        settle(host);
        let there = unpack(host, &bundle(Suite::Trixie));
        let mut place = Place::new(host, there, 0);
        let cuts = env::var("CHOM_CUTS").ok().and_then(|cuts| cuts.parse().ok()).unwrap_or(2);
        let mut seed = SEED;
        for _ in 0..cuts {
            let at = 1 + next(&mut seed) % place.effects;
            place.case("stop", at);
        }
        place.tell();
    });
}
