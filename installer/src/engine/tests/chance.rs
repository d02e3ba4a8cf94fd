//! Random plans with random faults, and random faults again in what follows: whatever happens, exit code, report
//! and disk agree, and in the end the host is before or after.
//!
//! A power cut loses, one by one, whatever was not synced: data, attributes, names, directories. `CHOM_MATRIX=full`
//! takes 2,000 runs, the usual run 500, other ones for each `CHOM_SAMPLE`; `CHOM_SEED` takes one alone.

use std::path::Path;

use chom_format::{Exit, HostPath, HostState};

use super::host::*;
use super::steps::Does;
use crate::engine::{Ending, Options, Report};
use crate::journal::{Standing, State};
use crate::sys::fault::{Dice, Fault};
use crate::sys::{PathState, RealSys, Stamp};
use crate::transaction::{Files, list};

const ALL: u64 = 2000;
const USUAL: u64 = 500;

#[test]
fn exit_code_report_and_disk_agree_whatever_happens() {
    let _others = beside_others();
    let full = std::env::var_os("CHOM_MATRIX").is_some();
    let seed = std::env::var("CHOM_SEED").ok().and_then(|seed| seed.parse::<u64>().ok());
    let seeds = match (seed, full) {
        (Some(seed), _) => seed..=seed,
        (None, true) => 1..=ALL,
        (None, false) => 1 + sample() * USUAL..=(1 + sample()) * USUAL,
    };
    let mut seen = Seen::default();
    for seed in seeds.clone() {
        Run::new(seed).play(&mut seen);
    }
    println!("{seen:?}");
    // A property that never saw what it is about would hold as well.
    if seeds.clone().count() > 100 {
        assert!(
            seen.stands > 10 && seen.back > 50 && seen.stuck > 10 && seen.silent > 50 && seen.full > 5,
            "{seen:?}"
        );
    }
}

/// Which of the many runs the usual one takes; `make test` makes it of the commit.
fn sample() -> u64 {
    std::env::var("CHOM_SAMPLE").ok().and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// What the runs came to.
#[derive(Debug, Default)]
struct Seen {
    stands: usize,
    back: usize,
    stuck: usize,
    /// Killed, or never begun.
    silent: usize,
    /// The disk was full, and the way back had its space.
    full: usize,
}

struct Run {
    seed: u64,
    dice: Dice,
    plan: Vec<Does>,
    host: tempfile::TempDir,
    before: Picture,
    after: Vec<(HostPath, PathState)>,
    what: String,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let plan = plan(&mut dice);
        // What it comes to when nothing happens.
        let other = host();
        let (_, report) = install(other.path(), Fault::None, &plan, Options::default());
        assert_eq!(report.unwrap().ending, Ending::Committed, "seed {seed}");
        let after = lasting(&picture(&RealSys::new(other.path())));
        let host = host();
        let before = picture(&RealSys::new(host.path()));
        let what = format!("CHOM_SEED={seed} cargo test -p chom-install chance: {} steps", plan.len());
        Self { seed, dice, plan, host, before, after, what }
    }

    fn play(mut self, seen: &mut Seen) {
        let fault = self.fault(40 + 12 * self.plan.len() as u64);
        self.what = format!("{}, {fault:?}", self.what);
        let (sys, result) = install(self.root(), fault, &self.plan, Options::default());
        match &result {
            // A process that was killed reports nothing.
            Ok(report) if !sys.is_dead() => {
                let cause = report.failure.as_ref().map_or("", |failure| &failure.message);
                if let (Fault::Full(_), true) = (fault, cause.contains("no storage space")) {
                    seen.full += 1;
                    assert!(report.ending != Ending::Stuck, "{}: {:#?}", self.what, report.conflicts);
                }
                self.agrees(report, seen);
            }
            _ => seen.silent += 1,
        }
        if result.is_err() && !sys.is_dead() {
            // The time of the directory in which ours was made is put back by the next run.
            let now = lasting(&picture(&RealSys::new(self.root())));
            let error = result.err().map(|error| error.to_string());
            assert!(now == lasting(&self.before), "{}: {error:?}: {:#?}", self.what, self.differences());
        }
        for _ in 0..self.dice.roll(3) {
            let fault = self.fault(40);
            let boots = self.dice.roll(2) == 0;
            self.what =
                format!("{}, then {fault:?} in {}", self.what, if boots { "a boot" } else { "a recovery" });
            if boots {
                boot(self.root(), fault).1.ok();
            } else if let (sys, Ok(reports)) = recover(self.root(), fault)
                && !sys.is_dead()
            {
                reports.iter().for_each(|report| self.agrees(report, seen));
            }
        }
        let reports = recover(self.root(), Fault::None).1;
        let reports = reports.unwrap_or_else(|error| panic!("{}: {error}", self.what));
        for report in &reports {
            let conflicts = &report.conflicts;
            assert_eq!(report.ending, Ending::Restored, "{}: {conflicts:#?}", self.what);
            self.agrees(report, seen);
        }
        assert!(recover(self.root(), Fault::None).1.unwrap().is_empty(), "{}: it recovers once", self.what);
        if self.state().is_some_and(|state| state.stands()) {
            self.is_after();
            let reports = rollback(self.root(), Fault::None).1;
            reports.unwrap().iter().for_each(|report| self.agrees(report, seen));
        }
        let found = differences(&self.before, &picture(&RealSys::new(self.root())));
        assert_eq!(found, Vec::<String>::new(), "{}", self.what);
        assert!(!self.root().join("run/motd.d/chom").exists(), "{}: a notice stays", self.what);
    }

    /// A report is true: of the disk, of the journal, and in its exit code.
    fn agrees(&self, report: &Report, seen: &mut Seen) {
        let Self { what, seed, .. } = self;
        let standing = self.state().map(|state| state.standing);
        let told = (report.exit(), report.host());
        match report.ending {
            Ending::Committed => {
                seen.stands += 1;
                assert_eq!(told, (Exit::Done, HostState::Installed), "{what}");
                assert!(matches!(standing, Some(Standing::Committed { .. })), "{what}: {standing:?}");
                self.is_after();
            }
            Ending::Untouched | Ending::Restored => {
                seen.back += 1;
                let expected = match (report.ending, report.wanted_back) {
                    (Ending::Untouched, _) => Exit::Failed,
                    (_, true) => Exit::Done,
                    (_, false) => Exit::Restored,
                };
                assert_eq!(report.exit(), expected, "{what}");
                assert!(matches!(standing, Some(Standing::RolledBack { .. })), "{what}: {standing:?}");
                assert!(report.conflicts.is_empty(), "{what}: {report:#?}");
                assert!(self.is_before(), "{what}: said to be back: {:#?}", self.differences());
            }
            Ending::Stuck => {
                seen.stuck += 1;
                assert_eq!(report.exit(), Exit::NeedsPerson, "{what}");
                assert!(!report.conflicts.is_empty(), "{what}: nothing is named");
                assert!(!matches!(standing, Some(Standing::RolledBack { .. })), "seed {seed}: {standing:?}");
            }
            Ending::Exposed => panic!("{what}: nothing of this plan is exposed"),
        }
    }

    fn fault(&mut self, effects: u64) -> Fault {
        let at = 1 + self.dice.roll(effects);
        match self.dice.roll(10) {
            0 => Fault::Fail(at),
            1 => Fault::Deny(at),
            2 => Fault::Full(at),
            3 => Fault::ReadOnly(at),
            4 => Fault::KillWithin(at),
            5 => Fault::KillAfter(at),
            _ => Fault::Power(at, self.dice.roll(u64::MAX)),
        }
    }

    fn root(&self) -> &Path {
        self.host.path()
    }

    fn differences(&self) -> Vec<String> {
        differences(&self.before, &picture(&RealSys::new(self.root())))
    }

    fn is_before(&self) -> bool {
        self.differences().is_empty()
    }

    /// What stands is what it was to be.
    fn is_after(&self) {
        let now = lasting(&picture(&RealSys::new(self.root())));
        let other = |(one, two): &(&(HostPath, PathState), &(HostPath, PathState))| one != two;
        let first = now.iter().zip(&self.after).find(other);
        assert!(now == self.after, "{}: it stands, and is not what it should be: {first:#?}", self.what);
    }

    fn state(&self) -> Option<State> {
        let known = list(&RealSys::new(self.root()), &Files::standard().unwrap());
        known.unwrap_or_else(|error| panic!("{}: {error}", self.what)).pop().map(|known| known.state)
    }
}

/// Without the times of directories and links, and without the boot unit that a cut off run may leave for the next boot.
fn lasting(picture: &Picture) -> Vec<(HostPath, PathState)> {
    let ours = |path: &HostPath| path.as_str().starts_with("/etc/systemd/system.attached");
    let kept = picture.iter().filter(|(path, _)| !ours(path));
    let timeless = |state: &PathState| match state.clone() {
        PathState::Link { target, mut attrs } => {
            attrs.mtime = Stamp { sec: 0, nsec: 0 };
            PathState::Link { target, attrs }
        }
        state => state,
    };
    kept.map(|(path, (state, _))| (path.clone(), timeless(state))).collect()
}

/// Some of the steps that there are, in any order, with contents of any size.
fn plan(dice: &mut Dice) -> Vec<Does> {
    let mut all = script();
    let mut plan = Vec::new();
    let length = 1 + dice.roll(6);
    while (plan.len() as u64) < length && !all.is_empty() {
        let number = usize::try_from(dice.roll(all.len() as u64)).unwrap();
        let step = all.swap_remove(number);
        plan.push(match step {
            Does::File(path, text) => {
                let times = usize::try_from(dice.roll(3) * dice.roll(4000)).unwrap();
                Does::File(path, text.repeat(1 + times))
            }
            step => step,
        });
    }
    plan
}
