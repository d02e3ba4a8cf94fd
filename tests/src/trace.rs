//! Checks a trace of the system calls of one installation: what was announced, what was synced, in which order, and by
//! which way each path was reached.
//!
//! The trace is that of `strace -f -Y -y -xx`: each line names process and program, each descriptor its path, each
//! string is in hexadecimal. Only the installer's own calls count; what dpkg and the like do is theirs. It is read line
//! by line, for it holds every byte that was written.
//!
//! 1. No change of the host before a record that announces it is on the disk: a change must lie in what the step
//!    that was announced last touches, or, on the way back, in what was saved. Temporary names are announced, too.
//! 2. No record is written while a file that was renamed is not on the disk, original or new.
//! 3. No record is written while a directory is not on the disk in which a name came or went.
//! 4. Each path is one name below a descriptor, and no link is followed, whether it changes something or only looks.
//!    What is excepted is in [`reach`].

mod call;
mod known;
mod reach;
mod scope;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead};

use call::Call;
pub use known::traced;
use known::{Does, Known};
use reach::{Held, astray};
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
    /// Lines that were read.
    pub lines: usize,
    /// Records that were written.
    pub records: usize,
    /// Changes of the host.
    pub changes: usize,
    /// Renames, of the host's files and of our own.
    pub renames: usize,
    /// Paths that were reached for.
    pub paths: usize,
}

/// Checks a whole trace.
pub fn check(trace: &str) -> Checked {
    let mut checker = Checker::default();
    trace.lines().for_each(|line| checker.line(line));
    checker.checked
}

/// Checks a trace that comes in parts, each of one run with the same journal.
#[derive(Debug, Default)]
pub struct Checker {
    /// Calls that another process interrupts stand on two lines.
    begun: BTreeMap<String, String>,
    /// A thread that leaves the host's mounts lays out what its child alone will see.
    apart: BTreeSet<String>,
    held: Held,
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
    /// Reads the trace of one run to its end.
    pub fn read(&mut self, mut trace: impl BufRead) -> io::Result<()> {
        (self.begun, self.apart, self.held) = Default::default();
        let mut line = Vec::new();
        while trace.read_until(b'\n', &mut line)? > 0 {
            self.line(String::from_utf8_lossy(&line).trim_end_matches('\n'));
            line.clear();
        }
        Ok(())
    }

    /// What it has come to so far.
    pub fn checked(&self) -> &Checked {
        &self.checked
    }

    fn line(&mut self, text: &str) {
        self.checked.lines += 1;
        let Some((who, rest)) = text.split_once(' ') else { return };
        if let Some(begin) = rest.strip_suffix(" <unfinished ...>") {
            self.begun.insert(who.to_owned(), begin.to_owned());
            return;
        }
        let call = match rest.split_once(" resumed>") {
            Some((_, end)) => {
                Call::parse(&format!("{who} {}{end}", self.begun.remove(who).unwrap_or_default()))
            }
            None => Call::parse(text),
        };
        if let Some(call) = call {
            self.held.note(&call);
            self.follow(who, &call);
        }
    }

    fn follow(&mut self, who: &str, call: &Call) {
        let Some(known) = known::known(&call.name) else {
            self.breach(&format!("{} takes a path, and this checker does not know how", call.name));
            return;
        };
        let reached: Vec<_> = known.at.iter().filter_map(|at| self.held.reached(call, *at)).collect();
        for one in &reached {
            self.checked.paths += 1;
            if let Some(why) = astray(known, call, one) {
                self.breach(&why);
            }
        }
        if known.does == Does::Leaves {
            self.apart.insert(who.to_owned());
        }
        if !call.failed && !self.apart.contains(who) {
            let paths: Vec<String> = reached.into_iter().map(|one| one.path).collect();
            self.act(known, call, &paths);
        }
    }

    fn act(&mut self, known: &Known, call: &Call, paths: &[String]) {
        let path = paths.last().map_or("", String::as_str);
        match known.does {
            Does::Looks | Does::Leaves => {}
            Does::Writes => self.write(call, path),
            Does::Syncs => self.sync(path),
            Does::SyncsAll => {
                self.written.clear();
                self.renamed.clear();
                self.dirs.clear();
            }
            Does::Renames => self.rename(paths),
            Does::Names => {
                self.written.remove(path);
                self.renamed.remove(path);
                self.dirs.remove(path);
                self.name_changes(path);
                self.change(path);
            }
            Does::Sets => self.change(path),
            Does::Opens if call.has("O_CREAT") || known.name == "creat" => {
                if !scope::is_comfort(path) {
                    self.name_changes(path);
                }
                self.change(path);
            }
            Does::Opens if call.has("O_TRUNC") => self.change(path),
            Does::Opens => {}
            Does::Runs if self.unsynced_record => {
                self.breach("a program is run before the record that announces it is on the disk");
            }
            Does::Runs => {}
        }
    }

    fn write(&mut self, call: &Call, path: &str) {
        if !scope::is_journal(path) {
            if scope::counts(path) && !scope::is_comfort(path) {
                self.written.insert(path.to_owned());
            }
            self.announced(path);
            return;
        }
        let frame = call.bytes(1);
        // Space is reserved for it, which says nothing.
        if frame.is_empty() {
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
        self.scope.write(frame);
    }

    fn sync(&mut self, path: &str) {
        if scope::is_journal(path) {
            self.unsynced_record = false;
            self.scope.sync();
        }
        self.written.remove(path);
        self.renamed.remove(path);
        self.dirs.remove(path);
    }

    fn rename(&mut self, paths: &[String]) {
        let [from, to] = paths else { return };
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
            let line = self.checked.lines;
            self.dirs.entry(dir.to_owned()).or_insert(line);
        }
    }

    fn change(&mut self, path: &str) {
        if scope::is_hosts(path) {
            self.checked.changes += 1;
            self.announced(path);
        }
    }

    fn announced(&mut self, path: &str) {
        if !scope::is_hosts(path) {
            return;
        }
        if self.unsynced_record {
            self.breach(&format!("{path} changes before the record that announces it is on the disk"));
        } else if !self.scope.covers(path) {
            self.breach(&format!("{path} changes, and no record announces it"));
        } else if !self.scope.is_told(path) {
            self.breach(&format!("{path} is a temporary name that no record announces"));
        }
    }

    fn breach(&mut self, what: &str) {
        self.checked.breaches.push(Breach { line: self.checked.lines, what: what.to_owned() });
    }
}
