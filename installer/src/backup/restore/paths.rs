//! Makes files and directories what they were: what came since goes, what went comes back, what is left out of the
//! backup is left alone. Only what differs is touched.

use std::sync::{Mutex, PoisonError};

use chom_format::backup::PathsSource;
use chom_format::{Digest, HostPath};

use super::super::create::size;
use super::super::tree::{Entry, Is, Names, walk};
use super::stage::Staged;
use crate::resource::{Resource, missing_parents, private};
use crate::step::{Change, Context, Decision, Detail, Step, StepError, Undo};
use crate::sys::{Attrs, Effect, Kind, Of, Source, Sys, SysError, TEMPORARY};

/// Files that are made durable together.
const TOGETHER: usize = 256;

/// See the module.
pub(super) struct Paths {
    source: PathsSource,
    staged: Staged,
    /// What was found to be done when the originals were saved: exactly that is done.
    agreed: Mutex<Option<Todo>>,
}

/// What differs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Todo {
    /// Deepest first.
    remove: Vec<(HostPath, bool)>,
    /// Parents first.
    make: Vec<(HostPath, Attrs)>,
    write: Vec<(HostPath, Attrs, u64, u64, Digest)>,
    link: Vec<(HostPath, Attrs, String)>,
    attrs: Vec<(HostPath, Attrs, Of)>,
    /// Every directory with its time, deepest first: put right at the end, where it is not.
    times: Vec<(HostPath, Attrs)>,
}

impl Paths {
    pub(super) fn new(source: PathsSource, staged: Staged) -> Self {
        Self { source, staged, agreed: Mutex::new(None) }
    }

    fn todo(&self, sys: &dyn Sys) -> Result<Todo, SysError> {
        let names = Names::read(sys)?;
        let mut wanted: Vec<(&HostPath, Attrs, &Entry, u64, Digest)> = Vec::new();
        for (entry, offset, digest) in &self.staged.tree {
            let (uid, gid) = names.owner(entry);
            wanted.push((&entry.path, Attrs { uid, gid, ..entry.attrs.clone() }, entry, *offset, *digest));
        }
        // Sorted, so parents come before what is in them.
        wanted.sort_by_key(|(path, ..)| *path);
        let found = self.found(sys)?;
        let mut todo = Todo::default();
        for (path, kind) in found.iter().rev() {
            let kept =
                wanted.binary_search_by_key(&path, |(path, ..)| *path).ok().and_then(|at| wanted.get(at));
            if kept.is_none_or(|(_, _, entry, ..)| kind_of(entry) != *kind) {
                todo.remove.push((path.clone(), *kind == Kind::Dir));
            }
        }
        for (path, attrs, entry, offset, digest) in wanted {
            let there = found.binary_search_by_key(&path, |(path, _)| path).ok().and_then(|at| found.get(at));
            let there = there.map(|(_, kind)| *kind).filter(|kind| *kind == kind_of(entry));
            let now = match there {
                Some(_) => sys.attrs(path)?,
                None => None,
            };
            let same = now.as_ref().is_some_and(|now| is_same(&entry.is, &attrs, now));
            match (&entry.is, there) {
                (Is::Dir, None) => todo.make.push((path.clone(), attrs.clone())),
                (Is::Dir, Some(_)) if !same => todo.attrs.push((path.clone(), attrs.clone(), Of::Dir)),
                (Is::File(size), there) => {
                    let meta = if there.is_some() { sys.meta(path)? } else { None };
                    let content = meta.is_some_and(|meta| meta.size == *size) && sys.digest(path)? == digest;
                    match (content, same) {
                        (true, true) => {}
                        (true, false) => todo.attrs.push((path.clone(), attrs.clone(), Of::File(digest))),
                        (false, _) => todo.write.push((path.clone(), attrs.clone(), offset, *size, digest)),
                    }
                }
                (Is::Link(target), there) => {
                    if there.is_none() || !same || sys.link(path)? != *target {
                        todo.link.push((path.clone(), attrs.clone(), target.clone()));
                    }
                }
                (Is::Dir, Some(_)) => {}
            }
            if entry.is == Is::Dir {
                todo.times.push((path.clone(), attrs));
            }
        }
        todo.times.reverse();
        Ok(todo)
    }

    /// What is there now and belongs to the part, sorted by path.
    fn found(&self, sys: &dyn Sys) -> Result<Vec<(HostPath, Kind)>, SysError> {
        let mut paths = Vec::new();
        for path in &self.source.paths {
            if sys.meta(path)?.is_some() {
                paths.push(path.clone());
            }
        }
        let walked = walk(sys, &PathsSource { paths, exclude: self.source.exclude.clone() })?;
        // What a write that was cut off left is nobody's.
        let ours = |entry: &Entry| !entry.path.name().starts_with(TEMPORARY);
        let entries = walked.entries.into_iter().filter(|(entry, _)| ours(entry));
        let mut found: Vec<(HostPath, Kind)> = entries.map(|(entry, meta)| (entry.path, meta.kind)).collect();
        found.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(found)
    }
}

fn kind_of(entry: &Entry) -> Kind {
    match entry.is {
        Is::Dir => Kind::Dir,
        Is::File(_) => Kind::File,
        Is::Link(_) => Kind::Link,
    }
}

impl Step for Paths {
    fn decide(&self, sys: &dyn Sys, _: &Context) -> Result<Decision, StepError> {
        let todo = self.todo(sys)?;
        let stale = todo.stale_times(sys)?;
        if todo.is_empty() && stale.is_empty() {
            return Ok(Decision::Keep { why: format!("{} paths, as in the backup", self.staged.tree.len()) });
        }
        let Todo { remove, make, write, link, attrs, .. } = &todo;
        let bytes: u64 = write.iter().map(|(_, _, _, size, _)| size).sum();
        let made = make.iter().map(|(path, _)| path).chain(write.iter().map(|(path, ..)| path));
        let mut diff: Vec<String> = remove.iter().map(|(path, _)| format!("-{path}")).collect();
        diff.extend(made.chain(link.iter().map(|(path, ..)| path)).map(|path| format!("+{path}")));
        diff.extend(attrs.iter().map(|(path, ..)| format!("~{path}: mode, owner or time")));
        diff.extend(stale.iter().map(|path| format!("~{path}: time")));
        let mut writes: Vec<(HostPath, u64)> =
            write.iter().map(|(path, _, _, size, _)| (path.clone(), *size)).collect();
        for path in write.iter().map(|(path, ..)| path).chain(remove.iter().map(|(path, _)| path)) {
            // The original of each is kept in the store.
            let held = sys.meta(path)?.filter(|meta| meta.kind == Kind::File).map_or(0, |meta| meta.size);
            writes.push((self.staged.path.clone(), held));
        }
        let count = write.len() + link.len() + make.len();
        Ok(Decision::Change(Change {
            verb: "restore",
            summary: format!(
                "{} from backup {}: {count} written ({}), {} removed, {} with other attributes",
                self.staged.kept.part.name,
                self.staged.backup,
                size(bytes),
                remove.len(),
                attrs.len()
            ),
            detail: Detail::None,
            diff,
            undo: Undo::Exactly,
            writes,
            changes: Vec::new(),
        }))
    }

    // Services have stopped since the plan was made, and may have written until then.
    fn touches(&self, sys: &dyn Sys, _: &Context, _: &Change) -> Result<Vec<Resource>, StepError> {
        let todo = self.todo(sys)?;
        let mut touched = Vec::new();
        for path in &self.source.paths {
            let parents = missing_parents(sys, path)?;
            touched.extend(parents.into_iter().map(|path| Resource::Path { path, data: false }));
        }
        // What went is saved after what was in it, so that it is back before that.
        touched.extend(todo.remove.iter().map(|(path, _)| path_of(path)));
        let new = |path: &HostPath| !todo.make.iter().any(|(made, _)| path != made && path.is_within(made));
        for (path, _) in todo.make.iter().filter(|(path, _)| new(path)) {
            touched.push(match todo.remove.iter().any(|(gone, _)| gone == path) {
                true => path_of(path),
                false => Resource::Folder { path: path.clone() },
            });
        }
        let replaced = |path: &HostPath| todo.remove.iter().any(|(gone, _)| gone == path);
        let below_replaced =
            |path: &HostPath| todo.make.iter().any(|(made, _)| path.is_within(made) && replaced(made));
        let files = todo.write.iter().map(|(path, ..)| path).chain(todo.link.iter().map(|(path, ..)| path));
        touched.extend(files.filter(|path| new(path) || below_replaced(path)).map(path_of));
        touched.extend(todo.attrs.iter().map(|(path, ..)| path_of(path)));
        touched.extend(todo.stale_times(sys)?.iter().map(path_of));
        *self.agreed.lock().unwrap_or_else(PoisonError::into_inner) = Some(todo);
        Ok(touched)
    }

    fn apply(&self, sys: &mut dyn Sys, _: &Context, _: &Change) -> Result<(), StepError> {
        let agreed = self.agreed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let todo = agreed.ok_or_else(|| StepError::Refused {
            what: "nothing was saved for this step".to_owned(),
            hint: None,
        })?;
        for path in &self.source.paths {
            for dir in missing_parents(sys, path)? {
                sys.effect(&Effect::MakeDir { path: &dir, attrs: &private(0o755) })?;
            }
        }
        for (path, is_dir) in &todo.remove {
            match is_dir {
                false => drop(sys.effect(&Effect::Remove { path })?),
                // What is left out of the backup may be in it.
                true if sys.list(path)?.is_empty() => drop(sys.effect(&Effect::RemoveDir { path })?),
                true => {}
            }
        }
        let staged = &self.staged.path;
        let mut effects: Vec<Effect<'_>> =
            todo.make.iter().map(|(path, attrs)| Effect::MakeDir { path, attrs }).collect();
        effects.extend(todo.write.iter().map(|(path, attrs, offset, size, sha256)| Effect::Write {
            path,
            source: Source::Part { path: staged, offset: *offset, size: *size, sha256: *sha256 },
            attrs,
        }));
        effects.extend(todo.link.iter().map(|(path, attrs, target)| Effect::MakeLink {
            path,
            target,
            attrs: Some(attrs),
        }));
        effects.extend(todo.attrs.iter().map(|(path, attrs, of)| Effect::SetAttrs { path, attrs, of: *of }));
        for together in effects.chunks(TOGETHER) {
            sys.effect(&Effect::Batch(together))?;
        }
        for (path, attrs) in &todo.times {
            if sys.meta(path)?.is_some_and(|meta| meta.mtime != attrs.mtime) {
                sys.effect(&Effect::SetAttrs { path, attrs, of: Of::Dir })?;
            }
        }
        Ok(())
    }
}

impl Todo {
    fn is_empty(&self) -> bool {
        let Self { remove, make, write, link, attrs, times: _ } = self;
        remove.is_empty() && make.is_empty() && write.is_empty() && link.is_empty() && attrs.is_empty()
    }

    /// Directories that are there with another time.
    fn stale_times(&self, sys: &dyn Sys) -> Result<Vec<HostPath>, SysError> {
        let mut stale = Vec::new();
        for (path, attrs) in &self.times {
            if sys.meta(path)?.is_some_and(|meta| meta.mtime != attrs.mtime) {
                stale.push(path.clone());
            }
        }
        Ok(stale)
    }
}

// The time of a directory is put right at the end, and is no difference by itself.
fn is_same(is: &Is, wanted: &Attrs, now: &Attrs) -> bool {
    let mtime = if *is == Is::Dir { wanted.mtime } else { now.mtime };
    *wanted == Attrs { mtime, ..now.clone() }
}

fn path_of(path: &HostPath) -> Resource {
    Resource::Path { path: path.clone(), data: false }
}
