//! The power of a virtual machine fails in the middle of an installation, and what was not synced is lost: the machine
//! comes up by itself as it was before or as after, and nobody has to type a command. What stands outlives it too.
//!
//! The installation runs once and stands still before and after each effect; the disk of its machine is kept at some of
//! these moments, a machine boots from each, recovers and is switched off, and what it left on the disk is compared on a
//! throw-away host (see `chom_tests::machine`). The usual run takes two moments, one in each half, `CHOM_CASES=100` as many; which, `CHOM_SAMPLE` decides.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use chom_bundle::rehearse::{Cancel, Host, Survives, duplicate};
use chom_format::manifest::Suite;
use chom_tests::fleet::{Unpacked, build, on_disk, unpack};
use chom_tests::machine::Machine;
use chom_tests::matrix;
use chom_tests::sample::{self, Dice, again};
use chom_tests::trial::{KILLED, Trial, effects, play};

const INSTALL: &str = "chom-install install --yes --no-confirm";
const PROGRAM: &str = "/var/lib/chom/chom-install";

/// A disk, and when its power failed.
struct Cut {
    what: String,
    disk: PathBuf,
}

#[test]
fn the_power_fails_in_the_middle_of_an_installation() {
    on_disk(Suite::Trixie, |host| {
        let begun = Instant::now();
        let set = ["mentat.components.firewall.enabled=false"];
        let there = unpack(host, &build(Suite::Trixie, "bundle-machine", &set));
        Machine::prepare(host);
        let disks = host.folder().join("disks");
        fs::create_dir(&disks).unwrap();
        let bare = settled(host, &disks);
        host.boot_from(&bare, &[]).unwrap();
        let before = host.capture().unwrap();
        let said = there.installer(host, &["install", "--yes", "--no-confirm", "--fault", "fail@0"]);
        assert_eq!(said.code, 0, "{}", said.text);
        host.cut().unwrap();
        let (cuts, standing) = walk(host, &there, &bare, &disks, 2 * effects(&said));
        let (number, there, before) = (cuts.len(), &there, &before);
        let last = cuts.last().map(|cut| cut.what.clone()).unwrap_or_default();
        outlives(host, &standing);
        host.boot_from(&standing, &[]).unwrap();
        Trial { host, there, before, standing: 0 }.settled("taken back after a power cut", KILLED, true);
        host.cut().unwrap();
        let rehearsal = &*host;
        play(
            cuts,
            |cut| cut.what.clone(),
            |_| again(&format!("CHOM_SAMPLE={} CHOM_CASES={}", sample::number(), matrix::cases(2))),
            |host, Cut { what, disk }| {
                let mut machine = Machine::boot(rehearsal, &disk);
                machine.recovered(&what);
                machine.off();
                host.boot_from(&disk, &[]).unwrap();
                fs::remove_file(&disk).unwrap();
                Trial { host, there, before, standing: 0 }.settled(&what, KILLED, true);
                // Nothing of all that is in the way of the next run.
                if what == last {
                    let said = there.installer(host, &["install", "--yes", "--no-confirm"]);
                    assert_eq!(said.code, 0, "{what}, and again: {}", said.text);
                }
            },
        );
        println!("{number} power cuts of a virtual machine, all survived, {} s", begun.elapsed().as_secs());
    });
}

/// The disk of a host as a machine leaves it that has booted from it: the first boot writes what no later one does.
fn settled(host: &Host, disks: &Path) -> PathBuf {
    let disk = disks.join("bare");
    host.keep_disk(Survives::Written, &disk).unwrap();
    Machine::boot(host, &disk).off();
    disk
}

/// Lets an installation run on a machine that boots from a copy of this disk, with so many moments in all, and keeps its
/// disk at some of them; and the disk when it stands.
fn walk(host: &Host, there: &Unpacked, bare: &Path, disks: &Path, moments: u64) -> (Vec<Cut>, PathBuf) {
    let disk = disks.join("walked");
    duplicate(bare, &disk, &Cancel::default()).unwrap();
    let mut machine = Machine::boot(host, &disk);
    // What came before is not what this is about.
    machine.must("sync");
    let run = machine
        .walk("suite-run.service", &format!("env CHOM_FAULTS=1 {}/{INSTALL} --fault walk@1", there.folder));
    let cases = matrix::cases(2) as u64;
    let mut cuts = Vec::new();
    let (mut at, each, mut dice) = (1, moments / cases, Dice::of("power"));
    for case in 0..cases {
        let wanted = 1 + each * case + dice.next(each);
        assert!(machine.go_on(&run, wanted - at), "the run ended before moment {wanted} of {moments}");
        at = wanted;
        let when = if at % 2 == 1 { "before" } else { "after" };
        let what = format!("cut {when} effect {}", at.div_ceil(2));
        let disk = disks.join(format!("cut-{at}"));
        machine.keep_disk(&disk);
        cuts.push(Cut { what, disk });
    }
    let goes_on = machine.go_on(&run, 2 * moments);
    let said = machine.must("cat /run/suite-run.service.log");
    assert!(!goes_on, "more moments than can be: {said}");
    assert!(said.contains("installed and healthy"), "{said}");
    machine.cut();
    (cuts, disk)
}

/// What stands outlives a power cut, and nothing of ours is in the way; the copy of the program takes it back.
fn outlives(host: &Host, disk: &Path) {
    let mut machine = Machine::boot(host, disk);
    machine.recovered("it stands");
    let left =
        "ls -d /run/motd.d/* /etc/systemd/system.attached /etc/systemd/system/chom-* 2> /dev/null; true";
    assert_eq!(machine.must(left), "");
    let units = machine.must("systemctl list-units --all --plain");
    assert!(!units.contains("chom-recover.service"), "{units}");
    let healthy =
        format!("n=0; until {PROGRAM} status; do n=$((n + 1)); [ $n -lt 120 ] || exit 1; sleep 1; done");
    machine.must(&healthy);
    machine.must(&format!("{PROGRAM} rollback --yes"));
    machine.off();
}
