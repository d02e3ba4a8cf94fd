//! The part of a bundle that can be written before the bundle is known.
//!
//! A build that has all it needs does two things that take time: it works out the manifest, and it copies the payloads
//! behind it. A draft does the second beside the first: it copies each payload to where the last bundle of the same
//! host had it. That is a guess and nothing rests on it: who writes the bundle asks for each member whether this very
//! file lies whole at this very place, and writes it where it does not.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use chom_format::{Digest, HostName};
use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, splice};
use nix::unistd::pipe2;
use tempfile::NamedTempFile;

use super::body::{Body, Stamp};
use super::output::PIECE;
use crate::cache::Cache;

/// The file that is to become a bundle, some of its members written already.
pub struct Draft {
    temp: NamedTempFile,
    key: Digest,
    ahead: Option<Ahead>,
    placed: Vec<Member>,
    // Behind the file, so that it goes after it.
    _folder: Folder,
}

/// A member of a bundle and where it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Member {
    sha256: Digest,
    at: u64,
    stamp: Option<Stamp>,
}

struct Ahead {
    planned: Vec<Member>,
    stop: Arc<AtomicBool>,
    copying: JoinHandle<Vec<Member>>,
}

/// A folder that goes again when nothing came into it.
struct Folder {
    made: Option<PathBuf>,
}

impl Draft {
    /// A file in this folder with nothing in it.
    pub(super) fn empty(folder: &Path, host: &HostName) -> io::Result<Self> {
        let made = match fs::create_dir(folder) {
            Ok(()) => Some(folder.to_owned()),
            Err(_) => {
                fs::create_dir_all(folder)?;
                None
            }
        };
        let key = Digest::of(format!("draft {} {host}", std::path::absolute(folder)?.display()).as_bytes());
        let temp = NamedTempFile::new_in(folder)?;
        Ok(Self { temp, key, ahead: None, placed: Vec::new(), _folder: Folder { made } })
    }

    /// Begins to copy what the last bundle of this host in this folder had; none when there is no such thing.
    pub fn begin(folder: &Path, host: &HostName, cache: &Cache) -> Option<Self> {
        let mut draft = Self::empty(folder, host).ok()?;
        let planned = parse(&cache.note(&draft.key)?)?;
        let (plan, stop) = (planned.clone(), Arc::new(AtomicBool::new(false)));
        let (file, cache, stopped) = (draft.temp.as_file().try_clone().ok()?, cache.clone(), stop.clone());
        let copying = thread::spawn(move || copy(plan, &file, &cache, &stopped));
        draft.ahead = Some(Ahead { planned, stop, copying });
        Some(draft)
    }

    /// The file. Who writes to it says so before: see [`Draft::reach`].
    pub(super) fn file(&self) -> &NamedTempFile {
        &self.temp
    }

    /// Somebody is about to write up to this place. When that is more than the last bundle had before its first
    /// member, the guess was wrong, and two would write in one place.
    pub(super) fn reach(&mut self, end: u64) {
        if self.ahead.as_ref().is_some_and(|ahead| ahead.planned.first().is_none_or(|first| end > first.at)) {
            self.settle(true);
        }
    }

    /// Whether this member lies whole at this place, copied from this very file. Nobody else writes from here on.
    pub(super) fn has(&mut self, sha256: &Digest, at: u64, stamp: &Stamp) -> bool {
        let as_planned =
            |ahead: &Ahead| ahead.planned.iter().any(|member| member.sha256 == *sha256 && member.at == at);
        let wrong = self.ahead.as_ref().is_some_and(|ahead| !as_planned(ahead));
        self.settle(wrong);
        let wanted = Member { sha256: *sha256, at, stamp: Some(stamp.clone()) };
        self.placed.contains(&wanted)
    }

    /// Ends it at this size, and notes for the next one where its members begin.
    pub(super) fn finish(
        mut self,
        size: u64,
        members: impl Iterator<Item = (Digest, u64)>,
        cache: &Cache,
    ) -> io::Result<NamedTempFile> {
        self.settle(true);
        self.temp.as_file().set_len(size)?;
        let note: Vec<String> = members.map(|(sha256, at)| format!("{sha256} {at}")).collect();
        let note = note.join("\n");
        if cache.note(&self.key).as_ref() != Some(&note) {
            cache.keep_note(&self.key, &note);
        }
        Ok(self.temp)
    }

    // The copying comes to its end; at once when it is told to.
    fn settle(&mut self, stop: bool) {
        if let Some(ahead) = self.ahead.take() {
            ahead.stop.store(stop, Ordering::Relaxed);
            self.placed = ahead.copying.join().unwrap_or_default();
        }
    }
}

fn parse(note: &str) -> Option<Vec<Member>> {
    let member = |line: &str| {
        let (sha256, at) = line.split_once(' ')?;
        Some(Member { sha256: sha256.parse().ok()?, at: at.parse().ok()?, stamp: None })
    };
    note.lines().map(member).collect()
}

// Which members are at their place then.
fn copy(plan: Vec<Member>, file: &File, cache: &Cache, stop: &AtomicBool) -> Vec<Member> {
    let Ok(pipe) = Pipe::new() else { return Vec::new() };
    let mut placed = Vec::new();
    for member in plan {
        // What fails here is found again, and told, by whoever needs it.
        let Some(stamp) = place(&member, file, cache, &pipe, stop) else { break };
        placed.push(Member { stamp: Some(stamp), ..member });
    }
    placed
}

fn place(member: &Member, file: &File, cache: &Cache, pipe: &Pipe, stop: &AtomicBool) -> Option<Stamp> {
    let body = Body::open(&cache.packed(&member.sha256))?;
    let (mut from, mut to) = (0, i64::try_from(member.at).ok()?);
    let end = i64::try_from(body.length).ok()?;
    while from < end {
        let next = PIECE.min(usize::try_from(end - from).ok()?);
        let mut held =
            splice(&body.file, Some(&mut from), &pipe.into, None, next, SpliceFFlags::empty()).ok()?;
        if held == 0 || stop.load(Ordering::Relaxed) {
            return None;
        }
        while held > 0 {
            held -= splice(&pipe.out_of, None, file, Some(&mut to), held, SpliceFFlags::empty()).ok()?;
        }
    }
    Some(body.stamp)
}

/// The way of the bytes through the kernel: none of them comes to this program. A wide one: what is written in larger
/// pieces is kept in larger pieces, and takes three quarters of the time of `copy_file_range`, whose pipe holds 64 KiB.
struct Pipe {
    out_of: OwnedFd,
    into: OwnedFd,
}

impl Pipe {
    fn new() -> nix::Result<Self> {
        let (out_of, into) = pipe2(OFlag::O_CLOEXEC)?;
        // One that may not be wide is slower, and that is all.
        let _ = fcntl(&into, FcntlArg::F_SETPIPE_SZ(i32::try_from(PIECE).unwrap_or(i32::MAX)));
        Ok(Self { out_of, into })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Some(folder) = &self.made {
            // One that holds something stays.
            let _ = fs::remove_dir(folder);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bench {
        dir: tempfile::TempDir,
        cache: Cache,
        host: HostName,
    }

    impl Bench {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let cache = Cache::open(dir.path().join("cache")).unwrap();
            Self { dir, cache, host: "mentat".parse().unwrap() }
        }

        fn output(&self) -> PathBuf {
            self.dir.path().join("dist")
        }

        // A member as the cache keeps it, with four bytes behind it.
        fn member(&self, text: &str) -> (Digest, Stamp) {
            let sha256 = Digest::of(text.as_bytes());
            fs::write(self.cache.packed(&sha256), format!("{text}CRC.")).unwrap();
            (sha256, Body::open(&self.cache.packed(&sha256)).unwrap().stamp)
        }
    }

    #[test]
    fn what_lies_at_its_place_is_taken_and_nothing_else() {
        let bench = Bench::new();
        let ((one, first), (two, second)) = (bench.member("the first"), bench.member("the second"));
        assert!(Draft::begin(&bench.output(), &bench.host, &bench.cache).is_none());
        let empty = Draft::empty(&bench.output(), &bench.host).unwrap();
        drop(empty.finish(0, [(one, 3), (two, 20)].into_iter(), &bench.cache).unwrap());

        let mut draft = Draft::begin(&bench.output(), &bench.host, &bench.cache).unwrap();
        assert!(draft.has(&one, 3, &first) && draft.has(&two, 20, &second));
        assert!(!draft.has(&one, 4, &first) && !draft.has(&two, 3, &second));
        assert!(!draft.has(&two, 20, &first), "another file has been copied");
        let other: HostName = "other".parse().unwrap();
        assert!(Draft::begin(&bench.output(), &other, &bench.cache).is_none());
        let temp = draft.finish(30, [(one, 3)].into_iter(), &bench.cache).unwrap();
        assert_eq!(fs::read(temp.path()).unwrap(), b"\0\0\0the first\0\0\0\0\0\0\0\0the second");

        let mut draft = Draft::begin(&bench.output(), &bench.host, &bench.cache).unwrap();
        draft.reach(3);
        assert!(draft.ahead.is_some(), "that is just before the first member");
        draft.reach(4);
        assert!(draft.ahead.is_none());

        fs::remove_file(bench.cache.packed(&one)).unwrap();
        let mut draft = Draft::begin(&bench.output(), &bench.host, &bench.cache).unwrap();
        assert!(!draft.has(&one, 3, &first), "there is nothing to copy any more");
    }

    #[test]
    fn a_folder_that_nothing_came_into_goes_again() {
        let bench = Bench::new();
        drop(Draft::empty(&bench.output(), &bench.host).unwrap());
        assert!(!bench.output().exists());
        let draft = Draft::empty(&bench.output(), &bench.host).unwrap();
        fs::write(bench.output().join("other"), "").unwrap();
        drop(draft);
        assert!(bench.output().exists());
    }
}
