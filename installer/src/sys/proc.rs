//! What the kernel tells under `/proc`: its own file system, in which no other account can put anything.
//!
//! This is the one room beside the walk that reads by path name. Processes come and go while they are read, so what is
//! gone says nothing.

#![allow(clippy::disallowed_methods, reason = "the kernel's own file system: nobody can put a link there")]

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const PROC: &str = "/proc";

/// The text of a file below `/proc`, such as `self/mountinfo`.
pub(crate) fn text(name: &str) -> io::Result<String> {
    Ok(String::from_utf8_lossy(&bytes(name)?).into_owned())
}

/// Its bytes.
pub(crate) fn bytes(name: &str) -> io::Result<Vec<u8>> {
    fs::read(Path::new(PROC).join(name))
}

/// The names in a directory below `/proc`; none when it is gone.
pub(crate) fn names(name: &str) -> Vec<OsString> {
    let entries = fs::read_dir(Path::new(PROC).join(name));
    entries.into_iter().flatten().flatten().map(|entry| entry.file_name()).collect()
}

/// What a link below `/proc` leads to.
pub(crate) fn link(name: &str) -> io::Result<PathBuf> {
    fs::read_link(Path::new(PROC).join(name))
}

/// The processes that there are.
pub(crate) fn pids() -> Vec<u32> {
    names("").iter().filter_map(|name| name.to_str()?.parse().ok()).collect()
}

/// The name of a process's program; empty when it is gone.
pub(crate) fn program(pid: u32) -> String {
    text(&format!("{pid}/comm")).unwrap_or_default().trim().to_owned()
}
