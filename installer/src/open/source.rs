//! Where a bundle comes from.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::{MANIFEST, OpenError};
use crate::sys::{Kind, named_outside, outside};

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
            // Whole, for programs that read from it run in another directory.
            Some(path) => match named_outside(path).map_err(OpenError::io("read", path))? {
                (whole, Kind::Dir) => Ok(Self::Folder(whole)),
                // Read through the name that was given: it may be a pipe.
                _ => Ok(Self::Tarball(path.to_owned())),
            },
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "the operator has named it, and what comes out is verified")]
pub(super) fn open_file(path: &Path) -> Result<File, OpenError> {
    File::open(path).map_err(OpenError::io("read", path))
}

fn beside_us() -> Result<PathBuf, OpenError> {
    let program = std::env::current_exe().map_err(|_| OpenError::NoBundle)?;
    let dir = program.parent().ok_or(OpenError::NoBundle)?;
    if outside(&dir.join(MANIFEST)).is_ok() { Ok(dir.to_owned()) } else { Err(OpenError::NoBundle) }
}
