//! Checks a trace of the system calls of one installation: what was announced, what was synced, and in which order.
//!
//! The trace is that of `strace -f -Y -y -xx`: each line names process and program, each descriptor its path, each
//! string is in hexadecimal. Only the installer's own calls count; what dpkg and the like do is theirs.
//!
//! 1. No change of the host before a record that announces it is on the disk: a change must lie in what the step
//!    that was announced last touches, or, on the way back, in what was saved.
//! 2. No record is written while a file that was renamed is not on the disk, original or new.
//! 3. No record is written while a directory is not on the disk in which a name came or went.

mod call;
mod scope;

use std::collections::{BTreeMap, BTreeSet};

pub use call::Call;
use scope::Scope;

/// A rule that a trace broke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breach {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

/// What a trace came to.
#[derive(Debug, Default)]
pub struct Checked {
    /// Rules that were broken.
    pub breaches: Vec<Breach>,
    /// Records that were written.
    pub records: usize,
    /// Changes of the host.
    pub changes: usize,
    /// Renames, of the host's files and of our own.
    pub renames: usize,
}

/// Checks a whole trace.
pub fn check(trace: &str) -> Checked {
    let mut checker = Checker::default();
    // A call that another process interrupts stands on two lines.
    let mut begun: BTreeMap<&str, &str> = BTreeMap::new();
    // A thread that leaves the host's mounts lays out what its child alone will see.
    let mut apart: BTreeSet<&str> = BTreeSet::new();
    for (line, text) in (1..).zip(trace.lines()) {
        let Some((who, rest)) = text.split_once(' ') else { continue };
        if let Some(begin) = rest.strip_suffix(" <unfinished ...>") {
            begun.insert(who, begin);
            continue;
        }
        let whole = match rest.split_once(" resumed>") {
            Some((_, end)) => format!("{who} {}{end}", begun.remove(who).unwrap_or_default()),
            None => text.to_owned(),
        };
        if let Some(call) = Call::parse(&whole).filter(|_| !apart.contains(who)) {
            if call.name == "unshare" {
                apart.insert(who);
            }
            checker.line = line;
            checker.follow(&call);
        }
    }
    checker.checked
}

#[derive(Default)]
struct Checker {
    line: usize,
    scope: Scope,
    /// A record was written and not yet synced.
    unsynced_record: bool,
    /// Files that were written and not synced.
    written: BTreeSet<String>,
    /// Of these, those that have been renamed to their place.
    renamed: BTreeSet<String>,
    /// Directories in which names came or went.
    dirs: BTreeMap<String, usize>,
    checked: Checked,
}

impl Checker {
    fn follow(&mut self, call: &Call) {
        match call.name.as_str() {
            "pwrite64" | "write" | "ftruncate" => self.write(call),
            "fsync" | "fdatasync" => self.sync(call.path(0)),
            "syncfs" | "sync" => {
                self.written.clear();
                self.renamed.clear();
                self.dirs.clear();
            }
            "rename" | "renameat" | "renameat2" => self.rename(call),
            "mkdir" | "mkdirat" | "rmdir" | "unlink" | "unlinkat" => {
                let path = call.last_path();
                self.written.remove(&path);
                self.renamed.remove(&path);
                self.dirs.remove(&path);
                self.name_changes(&path);
                self.change(&path);
            }
            // `symlink(text, path)`, `link(original, path)`
            "symlink" | "symlinkat" | "link" | "linkat" => {
                self.name_changes(&call.last_path());
                self.change(&call.last_path());
            }
            "chmod" | "fchmodat" | "lchown" | "fchownat" | "utimensat" | "lsetxattr" | "lremovexattr" => {
                self.change(&call.first_path());
            }
            "open" | "openat" | "creat" if call.creates() => {
                let path = call.first_path();
                // The log and the lock are comforts, which no record stands for.
                if !path.ends_with("/log") && !path.ends_with("/lock") {
                    self.name_changes(&path);
                }
                self.change(&path);
            }
            "execve" if self.unsynced_record => {
                self.breach("a program is run before the record that announces it is on the disk");
            }
            _ => {}
        }
    }

    fn write(&mut self, call: &Call) {
        let path = call.path(0);
        if !scope::is_journal(&path) {
            if scope::counts(&path) && !path.ends_with("/log") && !path.ends_with("/lock") {
                self.written.insert(path);
            }
            return;
        }
        self.checked.records += 1;
        for file in std::mem::take(&mut self.renamed) {
            self.breach(&format!("a record is written, and {file} is in its place without its content"));
        }
        for (dir, line) in std::mem::take(&mut self.dirs) {
            self.breach(&format!(
                "a record is written, and names in {dir} are not on the disk since line {line}"
            ));
        }
        self.unsynced_record = true;
        self.scope.write(call.bytes(1));
    }

    fn sync(&mut self, path: String) {
        if scope::is_journal(&path) {
            self.unsynced_record = false;
            self.scope.sync();
        }
        self.written.remove(&path);
        self.renamed.remove(&path);
        self.dirs.remove(&path);
    }

    fn rename(&mut self, call: &Call) {
        let paths = call.paths();
        let (Some(from), Some(to)) = (paths.first(), paths.last()) else { return };
        self.checked.renames += 1;
        self.renamed.remove(to);
        if self.written.remove(from) {
            self.renamed.insert(to.clone());
        }
        for path in [from, to] {
            self.name_changes(path);
            self.change(path);
        }
    }

    fn name_changes(&mut self, path: &str) {
        if let Some((dir, _)) = path.rsplit_once('/')
            && scope::counts(path)
        {
            let dir = if dir.is_empty() { "/" } else { dir };
            self.dirs.entry(dir.to_owned()).or_insert(self.line);
        }
    }

    fn change(&mut self, path: &str) {
        if !scope::is_hosts(path) {
            return;
        }
        self.checked.changes += 1;
        if self.unsynced_record {
            self.breach(&format!("{path} changes before the record that announces it is on the disk"));
        } else if !self.scope.covers(path) {
            self.breach(&format!("{path} changes, and no record announces it"));
        }
    }

    fn breach(&mut self, what: &str) {
        self.checked.breaches.push(Breach { line: self.line, what: what.to_owned() });
    }
}
