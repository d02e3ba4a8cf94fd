//! Where a bundle comes from.

#![allow(
    clippy::disallowed_methods,
    reason = "a bundle lies where the operator says; what others can change there is copied before it is believed"
)]

use std::fs::File;
use std::path::{Path, PathBuf};

use super::{MANIFEST, OpenError};

/// Where a bundle comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// An extracted folder.
    Folder(PathBuf),
    /// A `.tar.gz` or `.tar`.
    Tarball(PathBuf),
    /// The same, on standard input.
    Stdin,
}

impl Source {
    /// What `--bundle` names, or the folder of this program when nothing is named.
    pub fn find(named: Option<&Path>) -> Result<Self, OpenError> {
        match named {
            None => beside_us().map(Self::Folder),
            Some(path) if path.as_os_str() == "-" => Ok(Self::Stdin),
            Some(path) => match std::fs::metadata(path).map_err(OpenError::io("read", path))? {
                // Absolute, for programs that read from it run in another directory.
                meta if meta.is_dir() => {
                    path.canonicalize().map(Self::Folder).map_err(OpenError::io("read", path))
                }
                _ => Ok(Self::Tarball(path.to_owned())),
            },
        }
    }
}

pub(super) fn open_file(path: &Path) -> Result<File, OpenError> {
    File::open(path).map_err(OpenError::io("read", path))
}

fn beside_us() -> Result<PathBuf, OpenError> {
    let program = std::env::current_exe().map_err(|_| OpenError::NoBundle)?;
    let dir = program.parent().ok_or(OpenError::NoBundle)?;
    if dir.join(MANIFEST).is_file() { Ok(dir.to_owned()) } else { Err(OpenError::NoBundle) }
}
