//! What file, directory, link and absent steps have in common: one path, what is there, what is to be there.

use std::time::{SystemTime, UNIX_EPOCH};

use chom_format::{HostPath, Mode};

use super::owners::{Owners, Owning};
use super::{Change, Context, Decision, Detail, StepError, Undo, Upcoming};
use crate::sys::{Attrs, Kind, PathState, Stamp, Sys};

/// Why a path cannot be made: its directory is not there and no step before makes it.
pub(super) fn parent_is_missing(
    sys: &dyn Sys,
    path: &HostPath,
    context: &Context,
) -> Result<Option<Decision>, StepError> {
    let Some(parent) = path.parent() else { return Ok(None) };
    let upcoming = context.changed.contains_key(&parent) || !context.packages.is_empty();
    if upcoming || is_dir(sys, &parent)? {
        return Ok(None);
    }
    Ok(Some(Decision::Refuse {
        conflict: format!("{parent} is not a directory on this host, and no earlier step makes it"),
        remedy: format!("declare {parent} under `dirs:` of the component"),
    }))
}

// A link to a directory is as good as one.
fn is_dir(sys: &dyn Sys, path: &HostPath) -> Result<bool, StepError> {
    let Some(path) = sys.resolve(path)? else { return Ok(false) };
    Ok(sys.meta(&path)?.is_some_and(|meta| meta.kind == Kind::Dir))
}

/// Lines for mode and owner where they differ; an owner that is yet to come differs from whoever is there.
pub(super) fn attr_lines(
    now: &Attrs,
    mode: Mode,
    owning: Owning,
    wanted: &str,
    owners: &Owners,
) -> Vec<String> {
    let mut lines = Vec::new();
    if now.mode != mode {
        lines.push(format!("mode {} -> {mode}", now.mode));
    }
    if owning != Owning::Known(now.uid, now.gid) {
        lines.push(format!("owner {} -> {wanted}", owners.names(now.uid, now.gid)));
    }
    lines
}

/// Mode and owner for something that is written now.
pub(super) fn fresh(mode: Mode, (uid, gid): (u32, u32)) -> Attrs {
    let age = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mtime = Stamp { sec: i64::try_from(age.as_secs()).unwrap_or(0), nsec: i64::from(age.subsec_nanos()) };
    Attrs { mode, uid, gid, mtime, xattrs: std::collections::BTreeMap::new() }
}

/// What stands in the way, in words.
pub(super) fn kind(state: &PathState) -> &'static str {
    match state {
        PathState::Absent => "nothing",
        PathState::File { .. } => "a file",
        PathState::Dir { .. } => "a directory",
        PathState::Link { .. } => "a link",
        PathState::Special { kind: Kind::Socket, .. } => "a socket",
        PathState::Special { kind: Kind::Fifo, .. } => "a fifo",
        PathState::Special { .. } => "a device",
    }
}

/// A path is held by something that a step of this kind does not replace.
pub(super) fn in_the_way(path: &HostPath, state: &PathState, wanted: &str) -> Decision {
    Decision::Refuse {
        conflict: format!("{path} is {}, and {wanted} is to be there", kind(state)),
        remedy: format!("move {path} away after looking at what is in it"),
    }
}

/// A change of one path that can be undone exactly.
pub(super) fn change(
    verb: &'static str,
    summary: String,
    path: &HostPath,
    upcoming: Upcoming,
    diff: Vec<String>,
) -> Change {
    let size = match &upcoming {
        Upcoming::File(content) => content.size,
        Upcoming::Link(_) | Upcoming::Dir | Upcoming::Absent => 0,
    };
    Change {
        verb,
        summary,
        detail: Detail::None,
        diff,
        undo: Undo::Exactly,
        writes: vec![(path.clone(), size)],
        changes: vec![(path.clone(), upcoming)],
    }
}
