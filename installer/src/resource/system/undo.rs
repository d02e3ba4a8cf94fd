//! Puts a difference back, path by path.
//!
//! Everything is decided by looking at what is there now, so it can be cut off and begun again. dpkg's own
//! database is put back last: until then it tells which paths are whose.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;

use chom_format::HostPath;

use super::super::{Restored, Store, attic, tree};
use super::MOST_NAMED;
use super::accounts;
use super::areas;
use super::before::Before;
use super::delta::{Change, Delta, differs_in_content, same_names};
use super::entry::Entry;
use super::overrides;
use crate::sys::{Attrs, Effect, Kind, Of, Source, Sys, SysError};

/// Effects that are made durable together.
const BATCH: usize = 512;

/// Takes the difference back.
pub(super) fn undo(
    sys: &mut dyn Sys,
    store: &Store,
    before: &Before,
    delta: &Delta,
) -> Result<Restored, SysError> {
    let mut undo = Undo { sys, store, before, delta, kept: Vec::new(), problems: Vec::new(), changed: false };
    undo.sweep()?;
    let overrides = overrides::keep_those_of_others(undo.sys, store, before, delta)?;
    let others = delta.paths.iter().filter(|(path, _)| {
        let apart = overrides.is_some() && overrides::is_it(path.as_str());
        !apart && !accounts::is_one(path.as_str())
    });
    for database in [false, true] {
        let part: Vec<(&HostPath, &Change)> =
            others.clone().filter(|(path, _)| areas::is_dpkg_database(path.as_str()) == database).collect();
        undo.take_away(&part)?;
        undo.put_back(&part)?;
        undo.set_dirs(&part)?;
    }
    let mut told = undo.accounts()?;
    told.extend(overrides.clone());
    // A parent shared by both parts: the second may have moved its time.
    let all: Vec<(&HostPath, &Change)> = delta.paths.iter().collect();
    undo.set_dirs(&all)?;
    undo.name_strangers(&all)?;
    let Undo { kept, mut problems, changed, .. } = undo;
    if !problems.is_empty() {
        let more = problems.len().saturating_sub(MOST_NAMED);
        problems.truncate(MOST_NAMED);
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        return Ok(Restored::Stuck { reason: format!("{}{more}", problems.join("; ")) });
    }
    if !told.is_empty() {
        return Ok(Restored::Left { told, kept, differs: true });
    }
    Ok(match (kept.is_empty(), changed) {
        (false, _) => Restored::Foreign { kept },
        (true, true) => Restored::Restored,
        (true, false) => Restored::AlreadyBefore,
    })
}

struct Undo<'a> {
    sys: &'a mut dyn Sys,
    store: &'a Store,
    before: &'a Before,
    delta: &'a Delta,
    kept: Vec<HostPath>,
    problems: Vec<String>,
    changed: bool,
}

/// An effect with what it owns, to be done together with others.
enum Op {
    Remove(HostPath),
    RemoveDir(HostPath),
    MakeDir(HostPath, Attrs),
    Write(HostPath, super::before::Copy, Attrs),
    Link(HostPath, String, Attrs),
    HardLink(HostPath, HostPath),
    SetAttrs(HostPath, Attrs, Of),
}

impl Undo<'_> {
    /// The account files, with the lines of accounts that stay. Why those do.
    fn accounts(&mut self) -> Result<Vec<String>, SysError> {
        let files = self.delta.paths.iter().filter(|(path, _)| accounts::is_one(path.as_str()));
        let files: Vec<(&HostPath, &Change)> = files.collect();
        if files.is_empty() {
            return Ok(Vec::new());
        }
        let staying = accounts::Staying::find(self.sys, self.store, self.before, self.delta)?;
        if staying.told.is_empty() {
            self.take_away(&files)?;
            self.put_back(&files)?;
        } else {
            for (path, was) in files.iter().filter_map(|(path, change)| Some((path, change.was.as_ref()?))) {
                staying.put_back(self.sys, self.store, self.before, path, &was.attrs)?;
            }
        }
        Ok(staying.told)
    }

    /// Removes what a way back that was cut off left under temporary names.
    fn sweep(&mut self) -> Result<(), SysError> {
        let parents: BTreeSet<HostPath> = self.delta.paths.keys().filter_map(HostPath::parent).collect();
        let dirs =
            self.delta.paths.iter().filter(|(_, change)| change.is_dir()).map(|(path, _)| path.clone());
        for dir in parents.into_iter().chain(dirs).collect::<BTreeSet<_>>() {
            tree::sweep(self.sys, &dir)?;
        }
        Ok(())
    }

    /// Names that others have made in our directories: they stay, and so does the time that they gave it.
    fn name_strangers(&mut self, part: &[(&HostPath, &Change)]) -> Result<(), SysError> {
        for (path, _) in part.iter().filter(|(_, change)| change.was.is_some() && change.is_dir()) {
            if !areas::is_exact(path.as_str()) || same_names(self.sys, self.before, path)? {
                continue;
            }
            let known: BTreeSet<&str> = self.before.scan.names(path).into_iter().collect();
            for name in self.sys.list(path)?.iter().filter(|name| !known.contains(name.as_str())) {
                self.kept.push(super::super::store::below(path, name)?);
            }
        }
        Ok(())
    }

    /// What was not there goes, children before their parents.
    fn take_away(&mut self, part: &[(&HostPath, &Change)]) -> Result<(), SysError> {
        let mut ops = Vec::new();
        for (path, change) in part.iter().rev().filter(|(_, change)| change.was.is_none()) {
            let Some(now) = Entry::look(self.sys, path)? else { continue };
            match now.kind {
                Kind::Dir => {
                    // Nothing of ours is in it by then; what else is in it came later, and somebody may want it.
                    self.flush(&mut ops)?;
                    if self.clear(path)? {
                        ops.push(Op::RemoveDir((*path).clone()));
                    }
                }
                Kind::File if self.is_of_others(change, &now) => {
                    self.flush(&mut ops)?;
                    self.put_away(path)?;
                }
                Kind::File | Kind::Link | Kind::Fifo | Kind::Socket | Kind::Block | Kind::Char => {
                    ops.push(Op::Remove((*path).clone()));
                }
            }
        }
        self.flush(&mut ops)
    }

    /// Whether a new file is more than what the step left there, as far as that is known.
    fn is_of_others(&self, change: &Change, now: &Entry) -> bool {
        if self.delta.done {
            return change.is.as_ref().is_none_or(|is| !is.looks_like(now));
        }
        !change.ours && now.size > 0
    }

    /// Puts away what is in a directory. Whether the directory itself is left.
    fn clear(&mut self, dir: &HostPath) -> Result<bool, SysError> {
        let names = self.sys.list(dir)?;
        // A database is kept as one, and not as its files.
        if areas::is_opaque(dir.as_str()) && !names.is_empty() {
            self.put_away(dir)?;
            return Ok(false);
        }
        for name in names {
            let path = super::super::store::below(dir, &name)?;
            self.put_away(&path)?;
        }
        Ok(true)
    }

    fn put_away(&mut self, path: &HostPath) -> Result<(), SysError> {
        self.kept.push(attic::put_away(self.sys, self.store, path)?);
        self.changed = true;
        Ok(())
    }

    /// What was there and is gone or changed comes back, parents before their children.
    fn put_back(&mut self, part: &[(&HostPath, &Change)]) -> Result<(), SysError> {
        let mut ops = Vec::new();
        let mut links: BTreeMap<u64, HostPath> = BTreeMap::new();
        for (path, change) in part {
            let Some(was) = &change.was else { continue };
            let now = Entry::look(self.sys, path)?;
            if let Some(now) = &now
                && now.kind == Kind::Dir
                && was.kind != Kind::Dir
            {
                self.flush(&mut ops)?;
                self.put_away(path)?;
            }
            match was.kind {
                Kind::Dir => match &now {
                    Some(now) if now.kind == Kind::Dir => {}
                    _ => ops.extend(self.instead(
                        path,
                        now.as_ref(),
                        Op::MakeDir((*path).clone(), was.attrs.clone()),
                    )?),
                },
                Kind::File => ops.extend(self.file(path, change, was, now.as_ref(), &mut links)?),
                Kind::Link => {
                    let target = was.target.clone().unwrap_or_default();
                    if now.as_ref().is_none_or(|now| !was.looks_like(now)) {
                        ops.push(Op::Link((*path).clone(), target, was.attrs.clone()));
                    }
                }
                kind @ (Kind::Fifo | Kind::Socket | Kind::Block | Kind::Char) => {
                    if now.as_ref().is_none_or(|now| !was.looks_like(now)) {
                        self.problems.push(format!("{path} was a {kind:?}").to_lowercase());
                    }
                }
            }
            if ops.len() >= BATCH {
                self.flush(&mut ops)?;
            }
        }
        self.flush(&mut ops)
    }

    fn instead(&mut self, path: &HostPath, now: Option<&Entry>, op: Op) -> Result<Option<Op>, SysError> {
        if now.is_some() {
            self.put_away(path)?;
        }
        Ok(Some(op))
    }

    fn file(
        &mut self,
        path: &HostPath,
        change: &Change,
        was: &Entry,
        now: Option<&Entry>,
        links: &mut BTreeMap<u64, HostPath>,
    ) -> Result<Option<Op>, SysError> {
        let now = now.filter(|now| now.kind != Kind::Dir);
        if let Some(now) = now.filter(|now| (now.kind, now.size) == (was.kind, was.size))
            && self.before.copies.contains_key(path)
            && !differs_in_content(self.sys, self.before, path)?
        {
            // The content is right: the file keeps its inode, which others may have open or locked.
            let right = was.looks_like(now);
            let of = self.before.copies.get(path).map_or(Of::Any, |copy| Of::File(copy.sha256));
            return Ok((!right).then(|| Op::SetAttrs(path.clone(), was.attrs.clone(), of)));
        }
        let Some(copy) = self.before.copies.get(path) else {
            if now.is_some_and(|now| was.looks_like(now)) {
                return Ok(None);
            }
            // The content cannot have changed without the time; only the rest has.
            if now.is_some_and(|now| (now.size, now.attrs.mtime) == (was.size, was.attrs.mtime)) {
                return Ok(Some(Op::SetAttrs(path.clone(), was.attrs.clone(), Of::Any)));
            }
            self.problems.push(format!("{path} has changed, and no copy of it was made"));
            return Ok(None);
        };
        if let (true, Some(is), Some(now)) = (self.delta.done, &change.is, now)
            && !is.looks_like(now)
            && now.kind == Kind::File
        {
            self.kept.push(attic::keep_copy(self.sys, self.store, path)?);
        }
        if was.nlink > 1 {
            if let Some(original) = links.get(&was.ino) {
                return Ok(Some(Op::HardLink(original.clone(), path.clone())));
            }
            links.insert(was.ino, path.clone());
        }
        Ok(Some(Op::Write(path.clone(), copy.clone(), was.attrs.clone())))
    }

    /// Attributes and times of directories, children before their parents.
    fn set_dirs(&mut self, part: &[(&HostPath, &Change)]) -> Result<(), SysError> {
        let mut ops = Vec::new();
        for (path, change) in part.iter().rev() {
            let Some(was) = change.was.as_ref().filter(|was| was.kind == Kind::Dir) else { continue };
            let Some(now) = Entry::look(self.sys, path)? else { continue };
            if now.kind != Kind::Dir || was.looks_like(&now) {
                continue;
            }
            let mut wanted = was.attrs.clone();
            if !same_names(self.sys, self.before, path)? {
                wanted.mtime = now.attrs.mtime;
            }
            if wanted != now.attrs {
                ops.push(Op::SetAttrs((*path).clone(), wanted, Of::Dir));
            }
        }
        self.flush(&mut ops)
    }

    fn flush(&mut self, ops: &mut Vec<Op>) -> Result<(), SysError> {
        if ops.is_empty() {
            return Ok(());
        }
        let blob = self.store.object(&self.before.blob)?;
        let effects: Vec<Effect<'_>> = ops.iter().map(|op| op.effect(&blob)).collect();
        if self.sys.effect(&Effect::Batch(&effects)).is_err() {
            self.one_by_one(&effects);
        }
        self.changed = true;
        drop(effects);
        ops.clear();
        Ok(())
    }
}

impl Undo<'_> {
    /// After a batch that failed somewhere: one path that cannot be put back keeps no other from it.
    fn one_by_one(&mut self, effects: &[Effect<'_>]) {
        for effect in effects {
            match self.sys.effect(effect) {
                Ok(_) => {}
                // The batch had come this far.
                Err(SysError::Io { source, .. })
                    if matches!(source.kind(), ErrorKind::NotFound | ErrorKind::AlreadyExists) => {}
                Err(error) => self.problems.push(error.to_string()),
            }
        }
    }
}

impl Op {
    fn effect<'a>(&'a self, blob: &'a HostPath) -> Effect<'a> {
        match self {
            Self::Remove(path) => Effect::Remove { path },
            Self::RemoveDir(path) => Effect::RemoveDir { path },
            Self::MakeDir(path, attrs) => Effect::MakeDir { path, attrs },
            Self::Write(path, copy, attrs) => {
                let source =
                    Source::Part { path: blob, offset: copy.offset, size: copy.size, sha256: copy.sha256 };
                Effect::Write { path, source, attrs }
            }
            Self::Link(path, target, attrs) => Effect::MakeLink { path, target, attrs: Some(attrs) },
            Self::HardLink(original, path) => Effect::HardLink { original, path },
            Self::SetAttrs(path, attrs, of) => Effect::SetAttrs { path, attrs, of: *of },
        }
    }
}
