//! Effects that take a name away.

use std::fs;
use std::io;
use std::path::PathBuf;

use chom_format::HostPath;

use super::super::{Sys as _, SysError};
use super::put::{parent, sync_dir};
use super::{RealSys, tree};

pub(super) fn file(sys: &RealSys, path: &HostPath, sync: bool) -> Result<PathBuf, SysError> {
    let place = tree::place(sys.root(), path)?;
    fs::remove_file(&place).map_err(SysError::io("remove", path))?;
    let dir = parent(&place);
    if sync { sync_dir(&dir).map(|()| dir) } else { Ok(dir) }
}

pub(super) fn dir(sys: &RealSys, path: &HostPath, sync: bool) -> Result<PathBuf, SysError> {
    let place = tree::place(sys.root(), path)?;
    fs::remove_dir(&place).map_err(SysError::io("remove directory", path))?;
    let dir = parent(&place);
    if sync { sync_dir(&dir).map(|()| dir) } else { Ok(dir) }
}

pub(super) fn rename(sys: &RealSys, from: &HostPath, to: &HostPath, sync: bool) -> Result<PathBuf, SysError> {
    let (source, target) = (tree::place(sys.root(), from)?, tree::place(sys.root(), to)?);
    if sys.meta(to)?.is_some() {
        return Err(SysError::io("rename to", to)(io::ErrorKind::AlreadyExists.into()));
    }
    fs::rename(&source, &target).map_err(SysError::io("rename", format!("{from} to {to}")))?;
    if sync {
        // The new name first: between the two the path has both names on disk rather than none.
        sync_dir(&parent(&target))?;
        sync_dir(&parent(&source))?;
    }
    Ok(parent(&target))
}
