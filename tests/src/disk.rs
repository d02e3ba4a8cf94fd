//! Small file systems on a host: images on loop devices, filled to the byte or to the inode.
//!
//! An image lies in the host's scratch space and is mounted inside the host, so it is gone with the host.

use std::process::Command;

use chom_bundle::rehearse::Host;

use crate::fleet::{must, shell};
use crate::succeed;

/// Where a disk is mounted. Its folders are bound to where a suite wants them.
pub const DISK: &str = "/mnt/disk";
const IMAGE: &str = "var/tmp/disk.img";

/// What a disk is made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// ext4 with so many inodes.
    Ext4 {
        /// How many, its own among them.
        inodes: u32,
    },
    /// btrfs with quotas switched on: the one file system of the suites that keeps root to a quota.
    Btrfs,
}

/// What a disk is short of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Short {
    /// Of space: so many bytes are left.
    Bytes(u64),
    /// Of names for files: so many inodes are left.
    Inodes(u64),
    /// Of what was granted: so many bytes are left of a quota.
    Quota(u64),
    /// Nothing can be written at all.
    ReadOnly,
}

/// A disk of a host, and where its folders are seen.
#[derive(Debug, Clone)]
pub struct Disk {
    places: Vec<String>,
}

impl Disk {
    /// Makes a file system of so many megabytes, mounts it, and lets a folder of it be seen at each of these places.
    pub fn mount(host: &Host, kind: Kind, megabytes: u64, places: &[&str]) -> Self {
        let image = host.root().join(IMAGE);
        let file =
            std::fs::File::create(&image).unwrap_or_else(|error| panic!("{}: {error}", image.display()));
        file.set_len(megabytes << 20).unwrap_or_else(|error| panic!("{}: {error}", image.display()));
        let mut make = Command::new(match kind {
            Kind::Ext4 { .. } => "mkfs.ext4",
            Kind::Btrfs => "mkfs.btrfs",
        });
        match kind {
            Kind::Ext4 { inodes } => make.args(["-q", "-m", "0", "-N", &inodes.to_string()]),
            Kind::Btrfs => make.args(["-q", "--mixed"]),
        };
        succeed(make.arg(&image));
        // The devices of this machine: a container has none of its own.
        shell(
            host,
            &[
                "[ -e /dev/loop-control ] || mknod /dev/loop-control c 10 237",
                "for n in $(seq 0 63); do [ -e /dev/loop$n ] || mknod /dev/loop$n b 7 $n; done",
                &format!("mkdir -p {DISK}"),
            ],
        );
        let disk = Self { places: places.iter().map(|place| (*place).to_owned()).collect() };
        disk.attach(host);
        disk.settle(host);
        disk
    }

    fn attach(&self, host: &Host) {
        must(host, &["mount", "-o", "loop", &format!("/{IMAGE}"), DISK]);
        for place in &self.places {
            let folder = format!("{DISK}/{}", place.trim_start_matches('/').replace('/', "-"));
            must(host, &["mkdir", "-p", &folder, place]);
            must(host, &["mount", "--bind", &folder, place]);
        }
        // systemd names a mount only when it has read of it.
        for place in self.places.iter().map(String::as_str).chain([DISK]) {
            shell(
                host,
                &[
                    &format!("unit=$(systemd-escape --path --suffix=mount {place}); n=0"),
                    "until systemctl is-active --quiet $unit; do n=$((n+1)); [ $n -lt 100 ]; sleep 0.05; done",
                ],
            );
        }
    }

    /// The time of the disk's own top, where fillers come and go, is nobody's business.
    fn settle(&self, host: &Host) {
        must(host, &["touch", "-d", "@1000000000", DISK]);
    }

    /// A line of shell that takes whatever is more than what shall be left. A quota is set from outside.
    pub fn taking(&self, short: Short) -> String {
        match short {
            Short::Bytes(left) => format!(
                "sync -f {DISK}; free=$(( $(stat -f -c '%a * %S' {DISK}) - {left} )); \
                 [ $free -le 0 ] || fallocate -l $free {DISK}/filler"
            ),
            Short::Inodes(left) => format!(
                "mkdir -p {DISK}/fill; free=$(( $(stat -f -c %d {DISK}) - {left} )); \
                 [ $free -le 0 ] || seq -f {DISK}/fill/%g $free | xargs touch"
            ),
            Short::Quota(_) => "true".to_owned(),
            // As when the kernel finds it damaged: nobody who has a file open is asked.
            Short::ReadOnly => format!("sync -f {DISK}; mount -o remount,abort,errors=remount-ro {DISK}"),
        }
    }

    /// Grants so many bytes beside what is there.
    pub fn grant(&self, host: &Host, left: u64) {
        let root = host.root().join(DISK.trim_start_matches('/'));
        let quota = |words: &[&str]| succeed(Command::new("btrfs").args(words).arg(&root));
        succeed(Command::new("sync").arg("-f").arg(&root));
        quota(&["quota", "enable"]);
        quota(&["quota", "rescan", "-w"]);
        let show = quota(&["qgroup", "show", "--raw"]);
        let used = show
            .lines()
            .find_map(|line| line.strip_prefix("0/5")?.split_whitespace().next()?.parse::<u64>().ok());
        let used = used.unwrap_or_else(|| panic!("no quota of the disk in: {show}"));
        quota(&["qgroup", "limit", &(used + left).to_string()]);
    }

    /// Gives back what was taken.
    pub fn give_back(&self, host: &Host, short: Short) {
        match short {
            Short::ReadOnly => {
                // What the kernel has given up it takes again only when it is mounted anew.
                for place in self.places.iter().map(String::as_str).chain([DISK]) {
                    must(host, &["umount", place]);
                }
                self.attach(host);
            }
            Short::Quota(_) => {
                // Raising a quota that is used up takes some of it.
                must(host, &["rm", "-f", &format!("{DISK}/filler")]);
                let root = host.root().join(DISK.trim_start_matches('/'));
                succeed(Command::new("btrfs").args(["quota", "disable"]).arg(&root));
            }
            Short::Bytes(_) | Short::Inodes(_) => {
                must(host, &["rm", "-rf", &format!("{DISK}/filler"), &format!("{DISK}/fill")]);
            }
        }
        self.settle(host);
    }
}
