//! dpkg's overrides of owners and modes: those that others have set since stay, and those of what is ours go.

use std::collections::BTreeSet;

use chom_format::HostPath;

use super::super::Store;
use super::before::{self, Before};
use super::delta::Delta;
use crate::sys::{Effect, Source, Sys, SysError, text_at};

const PATH: &str = "/var/lib/dpkg/statoverride";

/// Whether a path is that file.
pub(super) fn is_it(path: &str) -> bool {
    path == PATH
}

/// Writes the file with what others have set. Nothing when there is nothing of theirs, or when nobody can tell: a step
/// that was cut off has left only its own.
pub(super) fn keep_those_of_others(
    sys: &mut dyn Sys,
    store: &Store,
    before: &Before,
    delta: &Delta,
) -> Result<Option<String>, SysError> {
    let (Some(change), true) = (delta.paths.get(PATH), delta.accounts.is_some()) else { return Ok(None) };
    let path: HostPath = crate::sys::named(PATH)?;
    let (Some(was), now) = (&change.was, text_at(sys, PATH)?) else { return Ok(None) };
    let known = before::text(sys, store, before, &path)?;
    let known: BTreeSet<&str> = known.lines().collect();
    // `owner group mode path`
    let ours = |line: &str| {
        let place = line.splitn(4, ' ').last().unwrap_or_default();
        delta.paths.get(place).is_some_and(|change| change.was.is_none())
    };
    let kept: Vec<&str> = now.lines().filter(|line| known.contains(line) || !ours(line)).collect();
    let theirs: Vec<&str> = kept.iter().copied().filter(|line| !known.contains(line)).collect();
    if theirs.is_empty() {
        return Ok(None);
    }
    let wanted: String = kept.iter().map(|line| format!("{line}\n")).collect();
    if wanted != now {
        sys.effect(&Effect::Write {
            path: &path,
            source: Source::Bytes(wanted.as_bytes()),
            attrs: &was.attrs,
        })?;
    }
    Ok(Some(format!("what others set in {PATH} stays: {}", theirs.join(", "))))
}
