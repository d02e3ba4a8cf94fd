//! Whole trees: walking, removing, sweeping.

use chom_format::{Digest, HostPath};

use super::store::below;
use crate::sys::{Effect, Kind, Meta, Sys, SysError, TEMPORARY};

/// Everything below a directory, parents before their children, names sorted. Other file systems mounted
/// below it are not entered.
pub(crate) fn walk(sys: &dyn Sys, dir: &HostPath) -> Result<Vec<(HostPath, Meta)>, SysError> {
    let mut found = Vec::new();
    if let Some(meta) = sys.meta(dir)? {
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
    let Some(meta) = sys.meta(path)? else { return Ok(()) };
    let mut all = vec![(path.clone(), meta)];
    if meta.kind == Kind::Dir {
        all.extend(walk(sys, path)?);
    }
    let effects: Vec<Effect<'_>> = all
        .iter()
        .rev()
        .map(|(path, meta)| match meta.kind {
            Kind::Dir => Effect::RemoveDir { path },
            _ => Effect::Remove { path },
        })
        .collect();
    sys.effect(&Effect::Batch(&effects))?;
    Ok(())
}

/// Takes a directory away in one moment and then removes what was in it: cut off, it is either still whole
/// or under a temporary name, and never a half that could be taken for somebody's work.
pub(super) fn take_away(sys: &mut dyn Sys, path: &HostPath) -> Result<(), SysError> {
    let parent = path.parent().unwrap_or_else(HostPath::root);
    let aside = below(&parent, &format!("{TEMPORARY}{}", Digest::of(path.as_str().as_bytes()).short()))?;
    remove(sys, &aside)?;
    if sys.meta(path)?.is_some() {
        sys.effect(&Effect::Rename { from: path, to: &aside })?;
    }
    remove(sys, &aside)
}

/// Removes what a write that was cut off left in a directory under a temporary name.
pub(super) fn sweep(sys: &mut dyn Sys, dir: &HostPath) -> Result<(), SysError> {
    for name in sys.list(dir)?.iter().filter(|name| name.starts_with(TEMPORARY)) {
        remove(sys, &below(dir, name)?)?;
    }
    Ok(())
}
