//! A fault at an effect of the real program on a real host: it fails, meets a full disk, is killed before or after it,
//! or the power of the whole host is cut at it; on a bare host, and in an upgrade of an older bundle; and then again at
//! an effect of the recovery. Whatever it was, the host is as before or as after, and the exit code says which.
//!
//! Each case begins with a disk: that of the host before the run for what the run itself sees and takes back, that of
//! the moment in which it was cut off for the rest (see `chom_tests::moments`). A host boots from it, and recovers.
//!
//! The usual run takes a sample, `CHOM_SAMPLE`. `CHOM_CASES=n` takes n effects of each kind; `CHOM_MATRIX=full` every effect, and
//! `CHOM_MATRIX=3/24` a part of that: every kind of fault at each effect, and in the recovery of two that were killed
//! the kinds by turns at each of its effects. `CHOM_KINDS=cut,fail` takes some kinds only, `CHOM_EFFECTS=3-8` some
//! effects.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use chom_bundle::rehearse::{Capture, Host, Survives};
use chom_format::manifest::Suite;
use chom_tests::fleet::{Said, Unpacked, build, bundle, mounts_seen, on_disk, recovered, shell, unpack};
use chom_tests::moments::{Moment, walk};
use chom_tests::sample::{Dice, again};
use chom_tests::trial::{KILLED, Trial, effects, play};
use chom_tests::{matrix, places};

const KINDS: [&str; 6] = ["fail", "full", "kill", "kill-before", "kill-after", "cut"];
/// Those that happen to a host that lives on, and what the installer calls them; the others end in a boot.
const LIVE: [(&str, &str); 3] = [("fail", "fail"), ("full", "full"), ("kill", "kill-after")];
const INSTALL: [&str; 3] = ["install", "--yes", "--no-confirm"];

/// A disk, and what a host that boots from it is put through.
struct Case {
    what: String,
    disk: PathBuf,
    act: Act,
}

enum Act {
    /// Nothing: it recovers by itself.
    Boot,
    /// An installation with this fault.
    Install(String),
    /// The recovery of its run with this fault, and then once more without.
    Recover(String),
}

/// A fault at an effect.
type Fault = (&'static str, u64);

/// What faults are wanted, of a run with so many effects.
type Wanted = dyn Fn(u64) -> Vec<Fault>;

/// Where the cases are made, and what all of them are compared with.
struct Scene<'a> {
    host: &'a mut Host,
    there: Unpacked,
    before: Capture,
    /// Transactions that stand before each case.
    standing: usize,
    disks: PathBuf,
    cases: Vec<Case>,
    effects: u64,
    begun: Instant,
}

impl<'a> Scene<'a> {
    fn new(host: &'a mut Host, there: Unpacked, standing: usize) -> Self {
        let disks = host.folder().join("disks");
        fs::create_dir(&disks).unwrap();
        let before = host.capture().unwrap();
        host.keep_disk(Survives::Written, &disks.join("bare")).unwrap();
        let begun = Instant::now();
        let mut scene = Self { host, there, before, standing, disks, cases: Vec::new(), effects: 0, begun };
        scene.count();
        scene
    }

    /// Counts the effects of an installation that nothing happens to.
    fn count(&mut self) {
        let said = self.there.installer(self.host, &[&INSTALL[..], &["--fault", "fail@0"]].concat());
        assert_eq!(said.code, 0, "{}", said.text);
        self.effects = effects(&said);
    }

    /// Cases of an installation.
    fn installed(&mut self, wanted: &Wanted) {
        self.begin();
        let there = &self.there;
        let said = keep(self.host, there, &INSTALL, &self.disks, "", &wanted(self.effects), &mut self.cases);
        assert_eq!(said.code, 0, "{}", said.text);
        println!("{} effects, {} cases", effects(&said), self.cases.len());
        let wanted = wanted(self.effects);
        self.live(&wanted, "", "bare", Act::Install);
    }

    /// Cases of the recovery of a run that was killed after this effect.
    fn recovered(&mut self, at: u64, wanted: &Wanted) {
        let killed = format!("killed-{at}");
        let disk = self.disks.join(&killed);
        self.begin();
        let fault = format!("kill-after@{at}");
        let said = self.there.installer(self.host, &[&INSTALL[..], &["--fault", &fault]].concat());
        assert_eq!(said.code, KILLED, "{}", said.text);
        self.host.keep_disk(Survives::Written, &disk).unwrap();
        // After a boot, as in each case: what runs then and did not before is put back as well.
        alone(self.host, &disk);
        let counting = self.there.installer(self.host, &["recover", "--fault", "fail@0"]);
        assert_eq!(counting.code, 0, "{}", counting.text);
        let wanted = wanted(effects(&counting));
        alone(self.host, &disk);
        let prefix = format!("{fault}, then ");
        let (there, before) = (&self.there, self.cases.len());
        let said = keep(self.host, there, &["recover"], &self.disks, &prefix, &wanted, &mut self.cases);
        assert_eq!(said.code, 0, "{}", said.text);
        self.live(&wanted, &prefix, &killed, Act::Recover);
        println!(
            "{} effects of the recovery of {fault}, {} cases",
            effects(&said),
            self.cases.len() - before
        );
    }

    /// Cases of a host that boots from this disk and goes through the run with a fault.
    fn live(&mut self, wanted: &[Fault], prefix: &str, disk: &str, act: fn(String) -> Act) {
        for (kind, at) in wanted {
            let Some((_, fault)) = LIVE.iter().find(|(name, _)| name == kind) else { continue };
            let (what, disk) = (format!("{prefix}{kind}@{at}"), self.disks.join(disk));
            self.cases.push(Case { what, disk, act: act(format!("{fault}@{at}")) });
        }
    }

    /// The host as it was.
    fn begin(&mut self) {
        self.host.boot_from(&self.disks.join("bare"), &[]).unwrap();
    }

    /// Goes through all cases, and tells the figure for the README.
    fn play(self) {
        let (number, effects) = (self.cases.len(), self.effects);
        // Its disks stay, and it is in nobody's way.
        self.host.cut().unwrap();
        let (before, there, standing) = (&self.before, &self.there, self.standing);
        play(
            self.cases,
            |case| case.what.clone(),
            alone_again,
            |host, case| try_out(&mut Trial { host, there, before, standing }, &case),
        );
        println!("{number} cases over {effects} effects, all survived, {} s", self.begun.elapsed().as_secs());
    }
}

/// The command that plays this case, with those of the same effect.
fn alone_again(case: &Case) -> String {
    let fault = case.what.rsplit(' ').next().unwrap_or_default();
    let (kind, at) = fault.split_once('@').unwrap_or_default();
    again(&format!("CHOM_MATRIX=full CHOM_KINDS={kind} CHOM_EFFECTS={at}-{at}"))
}

/// Lets the installer run and keeps the disk at the moments of these faults. Those that it does not come to are no case.
fn keep(
    host: &Host,
    there: &Unpacked,
    words: &[&str],
    disks: &Path,
    prefix: &str,
    wanted: &[Fault],
    cases: &mut Vec<Case>,
) -> Said {
    walk(host, there, words, |Moment { effect, over }| {
        let kept: &[(&str, Survives)] = match over {
            true => &[("kill-after", Survives::Written)],
            false => &[("cut", Survives::Given), ("kill-before", Survives::Written)],
        };
        for &(kind, what) in kept {
            if wanted.contains(&(kind, effect)) {
                let name = format!("{prefix}{kind}@{effect}");
                let disk = disks.join(&name);
                host.keep_disk(what, &disk).unwrap();
                cases.push(Case { what: name, disk, act: Act::Boot });
            }
        }
    })
}

/// What of systemd reads the word by which a unit is masked, again with every reload.
const GENERATOR: &str = "/usr/lib/systemd/system-generators/systemd-debug-generator";

/// Boots a host from the disk of a killed run without that it recovers by itself. Nothing else is different: its unit is
/// there again.
fn alone(host: &mut Host, disk: &Path) {
    host.boot_from(disk, &["systemd.mask=chom-recover.service"]).unwrap();
    let masked = "/run/systemd/generator.early/chom-recover.service";
    shell(host, &[&format!("mount --bind /bin/true {GENERATOR}; rm {masked}; systemctl daemon-reload")]);
}

/// The generator is itself again.
fn unmask(host: &Host) {
    shell(host, &[&format!("umount {GENERATOR}")]);
    mounts_seen(host, &[GENERATOR]);
}

/// Puts the host through a case.
fn try_out(trial: &mut Trial<'_>, case: &Case) {
    let what = &case.what;
    let code = match &case.act {
        Act::Boot => {
            trial.host.boot_from(&case.disk, &[]).unwrap();
            recovered(trial.host, what);
            KILLED
        }
        Act::Install(fault) => {
            trial.host.boot_from(&case.disk, &[]).unwrap();
            let said = trial.there.installer(trial.host, &[&INSTALL[..], &["--fault", fault]].concat());
            assert!(matches!(said.code, 0 | 1 | 4 | KILLED), "{what}: {}", said.text);
            if said.code == KILLED {
                let said = trial.there.installer(trial.host, &["recover"]);
                assert_eq!(said.code, 0, "{what}, recover: {}", said.text);
            } else {
                assert!(said.text.contains("host is now: "), "{what}: {}", said.text);
            }
            said.code
        }
        Act::Recover(fault) => {
            alone(trial.host, &case.disk);
            let said = trial.there.installer(trial.host, &["recover", "--fault", fault]);
            // What fails on the way back is tried again, or is left for the next recovery, and then that is said.
            assert!(matches!(said.code, 0 | 5 | KILLED), "{what}: {}", said.text);
            if said.code != 0 {
                let said = trial.there.installer(trial.host, &["recover"]);
                assert_eq!(said.code, 0, "{what}: {}", said.text);
            }
            unmask(trial.host);
            KILLED
        }
    };
    let by_itself = matches!(case.act, Act::Boot);
    trial.settled(what, code, by_itself);
    if by_itself {
        fs::remove_file(&case.disk).unwrap();
    }
}

/// Every kind of fault at each effect, or the part of that which is wanted; a sample in the usual run.
fn each(effects: u64) -> Vec<Fault> {
    let all = (1..=effects).flat_map(|at| kinds().into_iter().map(move |kind| (kind, at)));
    of_these(all).unwrap_or_else(|| sample(effects))
}

/// The kinds by turns.
fn in_turn(effects: u64) -> Vec<Fault> {
    let all = (1..=effects).zip(kinds().into_iter().cycle()).map(|(at, kind)| (kind, at));
    of_these(all).unwrap_or_else(|| sample(effects))
}

/// Those that are wanted; none in the usual run.
fn of_these(all: impl Iterator<Item = Fault>) -> Option<Vec<Fault>> {
    let (part, effects) = (matrix::part()?, matrix::effects());
    let all = (0..).zip(all).filter(|(number, (_, at))| part.has(*number) && effects.contains(at));
    Some(all.map(|(_, fault)| fault).collect())
}

/// Some that are wanted, or all.
fn kinds() -> Vec<&'static str> {
    let wanted = env::var("CHOM_KINDS").unwrap_or_default();
    let kinds: Vec<_> = KINDS
        .into_iter()
        .filter(|kind| wanted.is_empty() || wanted.split(',').any(|name| name == *kind))
        .collect();
    assert!(!kinds.is_empty(), "CHOM_KINDS is `{wanted}`: of {KINDS:?}");
    kinds
}

/// `CHOM_CASES` of each kind, each at another effect.
fn sample(effects: u64) -> Vec<Fault> {
    let kinds = kinds();
    let many = kinds.len() * matrix::cases(1).min(effects as usize);
    let mut dice = Dice::of("effects");
    let mut faults = Vec::new();
    while faults.len() < many {
        let fault = (kinds[faults.len() % kinds.len()], 1 + dice.next(effects));
        if !faults.contains(&fault) {
            faults.push(fault);
        }
    }
    faults
}

/// A host with a disk of its own, and no other beside it until the cases are made: an installer on another would sync the
/// disk whose moments are kept. The first boot writes what no later one does.
fn on_settled(act: impl FnOnce(&mut Host)) {
    let _place = places::alone();
    on_disk(Suite::Trixie, |host| {
        host.reboot().unwrap();
        act(host);
    });
}

fn older() -> PathBuf {
    let set =
        ["mentat.components.prometheus.retention=7d", "mentat.components.blackbox_exporter.enabled=false"];
    build(Suite::Trixie, "bundle-older", &set)
}

#[test]
fn a_fault_at_an_effect_of_an_installation() {
    on_settled(|host| {
        let there = unpack(host, &bundle(Suite::Trixie));
        let mut scene = Scene::new(host, there, 0);
        scene.installed(&each);
        scene.play();
    });
}

#[test]
fn a_fault_at_an_effect_of_a_recovery() {
    on_settled(|host| {
        let there = unpack(host, &bundle(Suite::Trixie));
        let mut scene = Scene::new(host, there, 0);
        for at in some(scene.effects) {
            scene.recovered(at, &in_turn);
        }
        scene.play();
    });
}

#[test]
fn a_fault_at_an_effect_of_an_upgrade() {
    on_settled(|host| {
        let said = unpack(host, &older()).installer(host, &["install", "--yes", "--no-confirm"]);
        assert_eq!(said.code, 0, "{}", said.text);
        // ufw's unit runs from the next boot on, and every case begins with one.
        host.reboot().unwrap();
        let there = unpack(host, &bundle(Suite::Trixie));
        let mut scene = Scene::new(host, there, 1);
        scene.installed(&each);
        for at in some(scene.effects) {
            scene.recovered(at, &in_turn);
        }
        scene.play();
    });
}

/// Where a run is killed whose recovery meets a second fault: early, and in the middle.
fn some(effects: u64) -> Vec<u64> {
    let tenths: &[u64] = if matrix::part().is_some() { &[1, 5] } else { &[5] };
    tenths.iter().map(|tenth| effects * tenth / 10).collect()
}
