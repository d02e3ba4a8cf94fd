//! A directory of payload files that never changes once it is there.
//!
//! It is built whole under a temporary name beside its place and renamed into it, so that whoever looks sees
//! all of it or nothing. Its name is derived from its content: when it is there, it is almost always right,
//! and files are compared by digest all the same, from the index of digests where that still holds.

use std::collections::{BTreeMap, BTreeSet};

use chom_format::step::{ReleaseFile, ReleaseSpec};
use chom_format::{HostPath, Mode, RelPath};

use super::kind::{Stated, USUAL};
use super::owners::{Owners, Owning};
use super::place::{attr_lines, fresh, in_the_way, kind, parent_is_missing};
use super::{Change, Context, Decision, Detail, Step, StepError, Undo, Upcoming};
use crate::resource::{Resource, remove_tree};
use crate::sys::{Attrs, Effect, Kind, PathState, Source, Sys, TEMPORARY, look};

const DIR_MODE: u32 = 0o755;

/// See [`ReleaseSpec`].
pub(super) struct ReleaseStep(pub ReleaseSpec);

/// See [`Stated`].
pub(super) fn stated(spec: &ReleaseSpec) -> Stated<'_> {
    Stated {
        deadline: USUAL,
        owns: vec![&spec.dir],
        writes: vec![&spec.dir],
        unit: None,
        needs: &[],
        brings_bytes: true,
    }
}

impl Step for ReleaseStep {
    fn decide(&self, sys: &dyn Sys, context: &Context) -> Result<Decision, StepError> {
        let spec = &self.0;
        if let Some(refusal) = parent_is_missing(sys, &spec.dir, context)? {
            return Ok(refusal);
        }
        let owners = Owners::read(sys, context)?;
        let owning = owners.owning(&spec.owner, context)?;
        let (verb, diff) = match look(sys, &spec.dir)? {
            PathState::Absent => ("create", self.listing()),
            PathState::Dir { .. } => match self.differences(sys, owning, &owners)? {
                lines if lines.is_empty() => {
                    return Ok(Decision::Keep { why: format!("{} files, as announced", spec.files.len()) });
                }
                lines => ("repair", lines),
            },
            other @ (PathState::File { .. } | PathState::Link { .. } | PathState::Special { .. }) => {
                return Ok(in_the_way(&spec.dir, &other, "a release"));
            }
        };
        Ok(Decision::Change(self.change(verb, diff)))
    }

    fn touches(&self, _: &dyn Sys, _: &Context, change: &Change) -> Result<Vec<Resource>, StepError> {
        let folder = Resource::Folder { path: self.0.dir.clone() };
        if change.verb == "repair" {
            return Ok(vec![folder]);
        }
        Ok(vec![Resource::Folder { path: self.temporary()? }, folder])
    }

    fn apply(&self, sys: &mut dyn Sys, context: &Context, _: &Change) -> Result<(), StepError> {
        let owners = Owners::read(sys, context)?;
        let ids = owners.ids(&self.0.owner)?;
        match look(sys, &self.0.dir)? {
            PathState::Absent => {
                let temporary = self.temporary()?;
                // A run of which nothing else is known may have left it.
                remove_tree(sys, &temporary)?;
                self.fill(sys, context, &temporary, ids)?;
                sys.effect(&Effect::Rename { from: &temporary, to: &self.0.dir })?;
            }
            PathState::Dir { .. } => self.repair(sys, context, &owners, ids)?,
            other @ (PathState::File { .. } | PathState::Link { .. } | PathState::Special { .. }) => {
                let what = format!("{} is {}, and a release is to be there", self.0.dir, kind(&other));
                return Err(StepError::Refused { what, hint: None });
            }
        }
        Ok(())
    }

    fn paths(&self) -> Vec<HostPath> {
        vec![self.0.dir.clone()]
    }
}

impl ReleaseStep {
    fn change(&self, verb: &'static str, diff: Vec<String>) -> Change {
        let spec = &self.0;
        let bytes: u64 = spec.files.values().map(|file| file.content.size).sum();
        let mut changes = vec![(spec.dir.clone(), Upcoming::Dir)];
        changes.extend(self.dirs().iter().map(|dir| (spec.dir.join(dir), Upcoming::Dir)));
        let file = |(path, file): (&RelPath, &ReleaseFile)| {
            (spec.dir.join(path), Upcoming::File(file.content.clone()))
        };
        changes.extend(spec.files.iter().map(file));
        Change {
            verb,
            summary: format!("release {} ({} files, {bytes} bytes)", spec.dir, spec.files.len()),
            detail: Detail::None,
            diff,
            undo: Undo::Exactly,
            writes: vec![(spec.dir.clone(), bytes)],
            changes,
        }
    }

    fn listing(&self) -> Vec<String> {
        let line = |(path, file): (&RelPath, &ReleaseFile)| {
            format!("+{path} mode {}, {} bytes", file.mode, file.content.size)
        };
        self.0.files.iter().map(line).collect()
    }

    fn temporary(&self) -> Result<HostPath, StepError> {
        let dir = &self.0.dir;
        let parent = dir.parent().unwrap_or_else(HostPath::root);
        format!("{}/{TEMPORARY}{}", parent.as_str().trim_end_matches('/'), dir.name())
            .parse()
            .map_err(|why| StepError::Refused { what: format!("{why}"), hint: None })
    }

    // Every directory below the release's own, parents first.
    fn dirs(&self) -> BTreeSet<RelPath> {
        let mut dirs = BTreeSet::new();
        for path in self.0.files.keys() {
            let text = path.as_str();
            let ends = text.match_indices('/').map(|(end, _)| end);
            dirs.extend(ends.filter_map(|end| text.get(..end)?.parse::<RelPath>().ok()));
        }
        dirs
    }

    fn fill(
        &self,
        sys: &mut dyn Sys,
        context: &Context,
        at: &HostPath,
        ids: (u32, u32),
    ) -> Result<(), StepError> {
        let dir_attrs = fresh(Mode::from_bits(DIR_MODE), ids);
        let dirs: Vec<HostPath> =
            [at.clone()].into_iter().chain(self.dirs().iter().map(|dir| at.join(dir))).collect();
        let files: Vec<_> =
            self.0.files.iter().map(|(path, file)| Placed::new(at, path, file, context, ids)).collect();
        let mut effects: Vec<Effect<'_>> =
            dirs.iter().map(|path| Effect::MakeDir { path, attrs: &dir_attrs }).collect();
        effects.extend(files.iter().map(Placed::write));
        sys.effect(&Effect::Batch(&effects))?;
        Ok(())
    }

    // A release that was edited or damaged by hand: only what differs is written, so that running programs stay.
    fn repair(
        &self,
        sys: &mut dyn Sys,
        context: &Context,
        owners: &Owners,
        ids: (u32, u32),
    ) -> Result<(), StepError> {
        let owning = Owning::Known(ids.0, ids.1);
        let dir_attrs = fresh(Mode::from_bits(DIR_MODE), ids);
        for path in foreign(sys, &self.0.dir, &self.known())? {
            sys.effect(&Effect::Remove { path: &path })?;
        }
        for path in self.dirs().iter().map(|dir| self.0.dir.join(dir)) {
            match look(sys, &path)? {
                PathState::Dir { .. } => {}
                PathState::Absent => {
                    sys.effect(&Effect::MakeDir { path: &path, attrs: &dir_attrs })?;
                }
                other @ (PathState::File { .. } | PathState::Link { .. } | PathState::Special { .. }) => {
                    let what = format!("{path} is {}, and a directory is to be there", kind(&other));
                    return Err(StepError::Refused { what, hint: None });
                }
            }
        }
        for (path, file) in &self.0.files {
            let place = self.0.dir.join(path);
            if file_difference(sys, &place, file, owning, "", owners)?.is_some() {
                sys.effect(&Placed::new(&self.0.dir, path, file, context, ids).write())?;
            }
        }
        Ok(())
    }

    fn known(&self) -> BTreeSet<HostPath> {
        let dirs = self.dirs();
        dirs.iter().chain(self.0.files.keys()).map(|path| self.0.dir.join(path)).collect()
    }

    fn differences(&self, sys: &dyn Sys, owning: Owning, owners: &Owners) -> Result<Vec<String>, StepError> {
        let wanted = format!("{}:{}", self.0.owner.user, self.0.owner.group);
        let mut lines = Vec::new();
        for (path, file) in &self.0.files {
            let place = self.0.dir.join(path);
            if let Some(why) = file_difference(sys, &place, file, owning, &wanted, owners)? {
                lines.push(format!("{path}: {why}"));
            }
        }
        for path in foreign(sys, &self.0.dir, &self.known())? {
            lines.push(format!("-{path}, which does not belong to it"));
        }
        Ok(lines)
    }
}

/// A file of a release on its way to its place.
struct Placed {
    path: HostPath,
    from: std::path::PathBuf,
    sha256: chom_format::Digest,
    attrs: Attrs,
}

impl Placed {
    fn new(at: &HostPath, path: &RelPath, file: &ReleaseFile, context: &Context, ids: (u32, u32)) -> Self {
        Self {
            path: at.join(path),
            from: file.content.from.under(&context.bundle),
            sha256: file.content.sha256,
            attrs: fresh(file.mode, ids),
        }
    }

    fn write(&self) -> Effect<'_> {
        let source = Source::File { file: &self.from, sha256: self.sha256 };
        Effect::Write { path: &self.path, source, attrs: &self.attrs }
    }
}

fn file_difference(
    sys: &dyn Sys,
    place: &HostPath,
    file: &ReleaseFile,
    owning: Owning,
    wanted: &str,
    owners: &Owners,
) -> Result<Option<String>, StepError> {
    let Some(meta) = sys.meta(place)? else { return Ok(Some("missing".to_owned())) };
    if meta.kind != Kind::File {
        return Ok(Some("not a regular file".to_owned()));
    }
    let plain =
        Attrs { mode: meta.mode, uid: meta.uid, gid: meta.gid, mtime: meta.mtime, xattrs: BTreeMap::new() };
    if let Some(line) = attr_lines(&plain, file.mode, owning, wanted, owners).into_iter().next() {
        return Ok(Some(line));
    }
    // The size is asked first because it is free.
    let same = meta.size == file.content.size && sys.digest(place)? == file.content.sha256;
    Ok((!same).then(|| "other content".to_owned()))
}

// Files and links below a release that no bundle put there. Directories without files do not matter.
fn foreign(sys: &dyn Sys, dir: &HostPath, known: &BTreeSet<HostPath>) -> Result<Vec<HostPath>, StepError> {
    let mut found = Vec::new();
    for name in sys.list(dir)? {
        let Ok(name) = name.parse::<RelPath>() else { continue };
        let path = dir.join(&name);
        match sys.meta(&path)?.map(|meta| meta.kind) {
            Some(Kind::Dir) => found.extend(foreign(sys, &path, known)?),
            Some(_) if !known.contains(&path) => found.push(path),
            _ => {}
        }
    }
    Ok(found)
}
