//! Whole trees: walking, removing, sweeping.

use std::io::ErrorKind;

use chom_format::{Digest, HostPath};

use super::store::below;
use crate::sys::{Effect, Kind, Meta, Sys, SysError, TEMPORARY, named};

/// Everything below a directory, parents before their children, names sorted. Other file systems mounted
/// below it are not entered.
pub(crate) fn walk(sys: &dyn Sys, dir: &HostPath) -> Result<Vec<(HostPath, Meta)>, SysError> {
    let mut found = Vec::new();
    // Through a link one would walk in somebody else's tree.
    if let Some(meta) = sys.meta(dir)?.filter(|meta| meta.kind == Kind::Dir) {
        descend(sys, dir, meta.dev, &mut found)?;
    }
    Ok(found)
}

fn descend(
    sys: &dyn Sys,
    dir: &HostPath,
    device: u64,
    found: &mut Vec<(HostPath, Meta)>,
) -> Result<(), SysError> {
    for name in sys.list(dir)? {
        let path = below(dir, &name)?;
        // It may have gone since it was listed.
        let Some(meta) = sys.meta(&path)? else { continue };
        found.push((path.clone(), meta));
        if meta.kind == Kind::Dir && meta.dev == device {
            descend(sys, &path, device, found)?;
        }
    }
    Ok(())
}

/// Removes a path with all below it. Cut off anywhere, it can be begun again.
pub(crate) fn remove(sys: &mut dyn Sys, path: &HostPath) -> Result<(), SysError> {
    if sys.meta(path)?.is_some() {
        sys.effect(&Effect::RemoveTree { path, only_roots: false })?;
    }
    Ok(())
}

/// Takes a directory away in one moment and then removes what was in it: cut off, it is either still whole
/// or under a temporary name, and never a half that could be taken for somebody's work.
pub(crate) fn take_away(sys: &mut dyn Sys, path: &HostPath) -> Result<(), SysError> {
    let aside = aside(path)?;
    remove(sys, &aside)?;
    if sys.meta(path)?.is_some() {
        sys.effect(&Effect::Rename { from: path, to: &aside })?;
    }
    remove(sys, &aside)
}

/// Puts a directory that was made aside in the place of whatever is there: cut off, there is the one or the other or
/// nothing, and never a half.
pub(crate) fn exchange(sys: &mut dyn Sys, path: &HostPath, aside: &HostPath) -> Result<(), SysError> {
    let old = old(aside)?;
    if sys.meta(path)?.is_some() {
        sys.effect(&Effect::Rename { from: path, to: &old })?;
    }
    sys.effect(&Effect::Rename { from: aside, to: path })?;
    remove(sys, &old)
}

/// Removes what [`take_away`] or [`exchange`] left when it was cut off.
pub(crate) fn clear_aside(sys: &mut dyn Sys, path: &HostPath) -> Result<(), SysError> {
    let aside = aside(path)?;
    remove(sys, &old(&aside)?)?;
    remove(sys, &aside)
}

/// The place of a path when the directory that it is in is made elsewhere.
pub(crate) fn moved(path: &HostPath, from: &HostPath, to: &HostPath) -> Result<HostPath, SysError> {
    match path.as_str().strip_prefix(from.as_str()).map(|rest| rest.trim_start_matches('/')) {
        Some("") | None => Ok(to.clone()),
        Some(rest) => below(to, rest),
    }
}

fn old(aside: &HostPath) -> Result<HostPath, SysError> {
    named(&format!("{aside}-old"))
}

/// Where a directory is made, or goes to be removed, without being taken for itself.
pub(crate) fn aside(path: &HostPath) -> Result<HostPath, SysError> {
    let parent = path.parent().unwrap_or_else(HostPath::root);
    below(&parent, &format!("{TEMPORARY}{}", Digest::of(path.as_str().as_bytes()).short()))
}

/// Removes what a write that was cut off left in a directory under an announced name. Whoever else can write there may
/// have made such names too: what they put into a directory is not ours to remove, and stays with it.
pub(crate) fn sweep(sys: &mut dyn Sys, dir: &HostPath) -> Result<(), SysError> {
    for name in sys.list(dir)? {
        if !sys.is_temporary(&name) {
            continue;
        }
        let path = below(dir, &name)?;
        match sys.effect(&Effect::RemoveTree { path: &path, only_roots: true }) {
            Err(SysError::Io { source, .. }) if source.kind() == ErrorKind::DirectoryNotEmpty => {
                log::warn!("{path} is left where it is: another account has put something into it");
            }
            swept => drop(swept?),
        }
    }
    Ok(())
}

/// Removes what a run that was cut off left under a temporary name in a directory of the state directory, whatever run
/// that was: nobody but root can have made a name there.
pub(crate) fn sweep_all(sys: &mut dyn Sys, dir: &HostPath) -> Result<(), SysError> {
    for name in sys.list(dir)?.iter().filter(|name| name.starts_with(TEMPORARY)) {
        remove(sys, &below(dir, name)?)?;
    }
    Ok(())
}
