//! Disks that are full, out of inodes, over their quota or suddenly read-only, on real file systems: while originals are
//! saved, while files are written, and while everything is put back. Nothing is lost, the exit code agrees with the disk,
//! and the words say which file system it was, how much was wanted and what to do.
//!
//! The disk is a file system of its own on a loop device, under the state directory, under what is written, or under
//! both. What it is short of is taken at the moment when the plan has been shown and the answer is yes: between a
//! preflight that was content and the first effect. `CHOM_MATRIX=full` takes the fine sweep.

use std::path::PathBuf;
use std::sync::LazyLock;

use chom_bundle::rehearse::{Capture, Host};
use chom_format::manifest::Suite;
use chom_tests::disk::{Disk, Kind, Short};
use chom_tests::fleet::{Said, Unpacked, must, of_stack, on_host, shell, unpack};
use chom_tests::matrix;

const STORE: &str = "/var/lib/chom";
const WRITTEN: &str = "/srv";
const EXT4: Kind = Kind::Ext4 { inodes: 2048 };
const KIB: u64 = 1 << 10;

/// A host with the disk, what there is before, and the bundle.
struct Scene<'h> {
    host: &'h mut Host,
    disk: Disk,
    there: Unpacked,
    before: String,
    whole: Capture,
}

fn scene(kind: Kind, places: &[&str], act: impl FnOnce(&mut Scene<'_>)) {
    on_host(Suite::Trixie, |host| {
        let disk = Disk::mount(host, kind, 192, places);
        shell(
            host,
            &[
                "mkdir -p /srv/narrow",
                "head -c 300000 /dev/urandom > /srv/narrow/changed",
                "for name in gone also-gone gone-too; do head -c 20000 /dev/urandom > /srv/narrow/$name; done",
                // As a package would have brought them: nothing else is removed.
                "cd /; md5sum srv/narrow/*gone* > /var/lib/dpkg/info/narrow.md5sums",
                "printf '#!/bin/sh\\nexit 0\\n' > /usr/local/sbin/moment; chmod 0755 /usr/local/sbin/moment",
            ],
        );
        static BUNDLE: LazyLock<PathBuf> = LazyLock::new(|| of_stack("narrow", "space", &[]));
        let there = unpack(host, &BUNDLE);
        let before = written(host);
        let whole = host.capture().unwrap();
        let mut scene = Scene { host, disk, there, before, whole };
        act(&mut scene);
        scene.is_as_before("at the end");
        let differences = Capture::diff(&scene.whole, &scene.host.capture().unwrap());
        assert_eq!(differences, Vec::new());
    });
}

/// All that the bundle may change, with times, modes and digests.
fn written(host: &Host) -> String {
    shell(
        host,
        &[
            "find /srv /etc/narrow.conf /etc/systemd/system -printf '%p %y %m %U:%G %T@ %l\\n' 2>/dev/null | sort",
            "find /srv -type f -exec sha256sum {} + | sort",
            "find / -xdev -name '.chom-tmp-*' -not -path '/proc/*'; find /srv /mnt/disk -name '.chom-tmp-*'",
        ],
    )
}

impl Scene<'_> {
    fn is_as_before(&self, when: &str) {
        let now = written(self.host);
        assert!(now == self.before, "{when}: before\n{}\nand now\n{now}", self.before);
    }

    fn moment(&self, lines: &str) {
        let text = "printf '%s\\n' '#!/bin/sh' \"$1\" > /usr/local/sbin/moment";
        let times = "touch -r /usr/local/sbin/moment /run/times";
        let back = "touch -r /run/times /usr/local/sbin/moment";
        must(self.host, &["sh", "-e", "-c", &format!("{times}; {text}; {back}"), "sh", lines]);
    }

    /// Installs at a terminal, and takes from the disk between the question and the answer.
    fn install(&self, short: Short) -> Said {
        if let Short::Quota(left) = short {
            self.disk.grant(self.host, left);
        }
        self.there.answered(self.host, &self.disk.taking(short))
    }

    /// One point of a sweep: the run ends before or after, and its exit code says which.
    fn point(&self, short: Short) -> i32 {
        let said = self.install(short);
        let case = format!("{short:?} ended with {}:\n{}", said.code, said.text);
        assert!([0, 1, 4].contains(&said.code), "{case}");
        if said.code != 0 {
            self.disk.give_back(self.host, short);
            self.is_as_before(&case);
            tells(&said, short);
            return said.code;
        }
        let status = self.there.installer(self.host, &["status"]);
        assert_eq!(status.code, 0, "{case}\n{}", status.text);
        // The way back needs nothing that is not there: the disk is as short as before.
        let back = self.there.installer(self.host, &["rollback", "--yes"]);
        self.disk.give_back(self.host, short);
        assert_eq!(back.code, 0, "{case}\nand then\n{}", back.text);
        self.is_as_before(&case);
        0
    }

    fn sweep(&self, points: impl Iterator<Item = Short>) {
        let mut codes = Vec::new();
        for short in points {
            codes.push((short, self.point(short)));
        }
        println!("{codes:?}");
        assert!(codes.iter().any(|(_, code)| *code != 0), "never short of anything: {codes:?}");
        assert_eq!(
            codes.last().map(|(_, code)| *code),
            Some(0),
            "the last point has all that it needs: {codes:?}"
        );
    }
}

/// The reason is told: what, where, how much, and what to do.
fn tells(said: &Said, short: Short) {
    let state = if said.code == 1 { "host is now: unchanged" } else { "host is now: as before" };
    let why = match short {
        Short::Bytes(_) => ["No space left on device", "are free", "hint: make room"],
        Short::Inodes(_) => ["No space left on device", "and 0 inodes", "hint: remove files"],
        Short::Quota(_) => ["quota", "are wanted", "hint: "],
        Short::ReadOnly => ["Read-only file system", "read-only", "hint: mount -o remount,rw"],
    };
    for word in why.into_iter().chain([state]) {
        assert!(said.text.contains(word), "{short:?}: nothing of `{word}` in:\n{}", said.text);
    }
}

fn full() -> bool {
    matrix::part().is_some()
}

/// How much is left at the points of a sweep over bytes: around each thing that wants some.
fn bytes(scene: &Scene<'_>, places: &[&str]) -> impl Iterator<Item = Short> + use<> {
    let size = must(scene.host, &["stat", "-c", "%s", &format!("{}/chom-install", scene.there.folder)]);
    // The copy of the program that the host keeps is the largest thing in the store.
    let program = if places.contains(&STORE) { size.trim().parse::<u64>().unwrap() } else { 0 };
    let largest = program + 6 * 1024 * KIB;
    let coarse = (0..).map(|step| step * 512 * KIB).take_while(move |left| *left < program);
    let fine = coarse
        .chain((0..).map(move |step| program + step * 32 * KIB).take_while(move |left| *left < largest));
    let usual = [0, 8, 200].map(|left| left * KIB).into_iter();
    let usual = usual.chain([0, 700, 1300, 4200, 4900, 5400, 5700].map(|more| program + more * KIB));
    let points: Vec<u64> = if full() { fine.collect() } else { usual.collect() };
    points.into_iter().chain([largest * 2]).map(Short::Bytes)
}

fn inodes() -> impl Iterator<Item = Short> {
    let points: Vec<u64> = if full() { (0..48).collect() } else { vec![0, 1, 2, 3, 5, 8, 12, 17] };
    points.into_iter().chain([200]).map(Short::Inodes)
}

const STORE_ALONE: &[&str] = &[STORE];
const WRITTEN_ALONE: &[&str] = &[WRITTEN];
const BOTH: &[&str] = &[STORE, WRITTEN];

#[test]
fn the_disk_of_the_store_is_full() {
    scene(EXT4, STORE_ALONE, |scene| {
        scene.sweep(bytes(scene, STORE_ALONE));
        scene.sweep(inodes());
    });
}

#[test]
fn the_disk_that_is_written_is_full() {
    scene(EXT4, WRITTEN_ALONE, |scene| {
        scene.sweep(bytes(scene, WRITTEN_ALONE));
        scene.sweep(inodes());
    });
}

#[test]
fn the_one_disk_of_both_is_full() {
    scene(EXT4, BOTH, |scene| {
        scene.sweep(bytes(scene, BOTH));
        scene.sweep(inodes());
    });
}

/// btrfs, whose quotas bind root too: the kernels of small hosts often have none for ext4.
#[test]
fn the_quota_of_the_disk_is_used_up() {
    scene(Kind::Btrfs, BOTH, |scene| {
        let of = |short| match short {
            Short::Bytes(left) => Short::Quota(left),
            other => other,
        };
        scene.sweep(bytes(scene, BOTH).map(of));
    });
}

#[test]
fn a_disk_becomes_read_only_before_the_first_effect() {
    for places in [STORE_ALONE, WRITTEN_ALONE, BOTH] {
        scene(EXT4, places, |scene| {
            let code = scene.point(Short::ReadOnly);
            // Room for the way back is asked for first, so nothing of the host has changed.
            assert_eq!(code, 1, "{places:?}");
        });
    }
}

/// The disk is used up by others when everything is in place, and then something fails: the way back has its space.
#[test]
fn the_way_back_needs_no_space() {
    for (kind, places) in [(EXT4, STORE_ALONE), (EXT4, WRITTEN_ALONE), (EXT4, BOTH), (Kind::Btrfs, BOTH)] {
        scene(kind, places, |scene| {
            let takes: &[Short] = match kind {
                Kind::Ext4 { .. } => &[Short::Bytes(0), Short::Inodes(0)],
                Kind::Btrfs => &[Short::Quota(0)],
            };
            for short in takes {
                if let Short::Quota(_) = short {
                    scene.disk.grant(scene.host, 60 << 20);
                }
                // To the last byte, whoever counts: what cannot be had at once is had in pieces.
                let rest = "while head -c 4096 /dev/zero >> /mnt/disk/filler; do :; done; while echo >> /mnt/disk/filler; do :; done";
                scene.moment(&format!("{}\n{rest} 2>/dev/null\nexit 1", scene.disk.taking(*short)));
                let said = scene.there.installer(scene.host, &["--yes", "--no-confirm"]);
                scene.moment("exit 0");
                let case = format!("{kind:?} {places:?} {short:?} ended with {}:\n{}", said.code, said.text);
                assert_eq!(said.code, 4, "{case}");
                scene.disk.give_back(scene.host, *short);
                scene.disk.give_back(scene.host, Short::Bytes(0));
                scene.is_as_before(&case);
            }
        });
    }
}

/// What cannot be written cannot be put back: that is said, and once it can be, `recover` does.
#[test]
fn a_disk_becomes_read_only_before_the_way_back() {
    for places in [STORE_ALONE, WRITTEN_ALONE, BOTH] {
        scene(EXT4, places, |scene| {
            scene.moment(&format!("{}\nexit 1", scene.disk.taking(Short::ReadOnly)));
            let said = scene.there.installer(scene.host, &["--yes", "--no-confirm"]);
            scene.moment("exit 0");
            assert_eq!(said.code, 5, "{places:?}: {}", said.text);
            for word in
                ["read-only", "host is now: mixed", "hint: mend what is named, then: chom-install recover"]
            {
                assert!(said.text.contains(word), "{places:?}: nothing of `{word}` in:\n{}", said.text);
            }
            let status = scene.there.installer(scene.host, &["status"]);
            assert_eq!(status.code, 5, "{}", status.text);
            scene.disk.give_back(scene.host, Short::ReadOnly);
            let recovered = scene.there.installer(scene.host, &["recover"]);
            assert_eq!(recovered.code, 0, "{places:?}: {}", recovered.text);
        });
    }
}
