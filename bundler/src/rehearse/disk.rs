//! The disk of a host: an ext4 file system in a file, so that a power cut takes what a real one takes. What programs
//! wrote and nobody synced is in this machine's memory, and not in the file.
//!
//! A cut freezes every process of the host, copies the file as it is in that moment, and only then ends them: what the
//! kernel still writes while the host goes down falls on a disk that nobody will boot from again. Whoever has entered the
//! host from outside is in another group, and must stand still by itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::base::remove_tree;
use super::cancel::Cancel;
use super::cgroup;
use super::error::RehearseError;
use super::tool::Tool;

/// More than any stack needs; the file is sparse.
const SIZE: &str = "12G";

/// Makes `disk.img` from the folder `root`, which is empty afterwards: the disk is mounted on it.
pub(super) fn make(folder: &Path, cancel: &Cancel) -> Result<(), RehearseError> {
    let root = folder.join("root");
    Tool::new("mkfs.ext4")
        .args(["-q", "-F", "-d"])
        .arg(&root)
        .arg(folder.join("disk.img"))
        .arg(SIZE)
        .limit(Duration::from_secs(300))
        .succeed(cancel)
        .map_err(RehearseError::tool("make the host's disk"))?;
    remove_tree(&root)?;
    fs::create_dir(&root).map_err(RehearseError::io("make", &root))
}

/// A disk as a power cut leaves it, beside the one that is still in use.
pub(super) struct Crashed {
    folder: PathBuf,
}

/// Stops the host in the middle of whatever it does, and copies what its disk has been given.
pub(super) fn crash(folder: &Path, group: &str, cancel: &Cancel) -> Result<Crashed, RehearseError> {
    cgroup::freeze(group)?;
    Tool::new("cp")
        .arg("--sparse=always")
        .arg(folder.join("disk.img"))
        .arg(folder.join("crashed.img"))
        .limit(Duration::from_secs(300))
        .succeed(cancel)
        .map_err(RehearseError::tool("copy the disk of a host whose power fails"))?;
    Ok(Crashed { folder: folder.to_owned() })
}

impl Crashed {
    /// The host boots from it.
    pub(super) fn take_its_place(self) -> Result<(), RehearseError> {
        let (crashed, disk) = (self.folder.join("crashed.img"), self.folder.join("disk.img"));
        fs::rename(&crashed, &disk).map_err(RehearseError::io("rename", &crashed))
    }
}
