//! The disk of a host: an ext4 file system in a file, so that a power cut takes what a real one takes. What programs
//! wrote and nobody synced is in this machine's memory, and not in the file.
//!
//! A copy is the file as it is in one moment, in which every process of the host stands still. Whoever has entered the
//! host from outside is in another group, and must stand still by itself. A cut ends the host's processes only after
//! that: what the kernel still writes while the host goes down falls on a disk that nobody will boot from again.

use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use nix::unistd::syncfs;

use super::base::remove_tree;
use super::cancel::Cancel;
use super::cgroup;
use super::error::RehearseError;
use super::tool::Tool;

/// More than any stack needs; the file is sparse.
const SIZE: &str = "12G";
const DISK: &str = "disk.img";

/// Makes the disk from the folder `root`, which is empty afterwards: the disk is mounted on it.
pub(super) fn make(folder: &Path, cancel: &Cancel) -> Result<(), RehearseError> {
    let root = folder.join("root");
    Tool::new("mkfs.ext4")
        .args(["-q", "-F", "-d"])
        .arg(&root)
        .arg(folder.join(DISK))
        .arg(SIZE)
        .limit(Duration::from_secs(300))
        .succeed(cancel)
        .map_err(RehearseError::tool("make the host's disk"))?;
    remove_tree(&root)?;
    fs::create_dir(&root).map_err(RehearseError::io("make", &root))
}

/// What of the host is in a copy of its disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Survives {
    /// What the disk has been given, as when the power fails.
    Given,
    /// All that programs have written, as when every one of them is killed.
    Written,
}

/// Stops the host in the middle of whatever it does, and copies its disk. `root`: its root as this machine sees it.
pub(super) fn copy(
    folder: &Path,
    group: &str,
    root: &Path,
    what: Survives,
    to: &Path,
    cancel: &Cancel,
) -> Result<(), RehearseError> {
    cgroup::freeze(group)?;
    if what == Survives::Written {
        let opened = File::open(root).map_err(RehearseError::io("open", root))?;
        syncfs(&opened).map_err(|error| RehearseError::io("sync", root)(error.into()))?;
    }
    duplicate(&folder.join(DISK), to, cancel)
}

/// A host that is switched off gets a copy of this disk.
pub(super) fn insert(folder: &Path, disk: &Path, cancel: &Cancel) -> Result<(), RehearseError> {
    duplicate(disk, &folder.join(DISK), cancel)
}

/// A host that is switched off gets this disk, which is no longer where it was.
pub(super) fn replace(folder: &Path, disk: &Path) -> Result<(), RehearseError> {
    fs::rename(disk, folder.join(DISK)).map_err(RehearseError::io("rename", disk))
}

/// Copies the disk of a host that is switched off or stands still: nothing but a note where the file system can share
/// what is the same.
pub fn duplicate(from: &Path, to: &Path, cancel: &Cancel) -> Result<(), RehearseError> {
    Tool::new("cp")
        .args(["--sparse=always", "--reflink=auto"])
        .args([from, to])
        .limit(Duration::from_secs(300))
        .succeed(cancel)
        .map(drop)
        .map_err(RehearseError::tool("copy the disk of a host"))
}
