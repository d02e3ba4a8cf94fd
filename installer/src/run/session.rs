//! The host of a run: its door, its facts, its state directory, and what former runs have left there.

use std::path::Path;

use chom_format::{Facts, HostPath};

use super::RunError;
use crate::engine::time_for;
use crate::facts;
use crate::resource::private;
use crate::sys::index::Index;
use crate::sys::{Effect, RealSys, Source, Sys, SysError, bytes_of, proc};
use crate::transaction::{Files, Installed, TransactionRecord, Unreadable, Way, installed, list};

/// Everything that a run needs of its host.
pub struct Session {
    /// The door.
    pub sys: RealSys,
    /// The names in the state directory.
    pub files: Files,
    /// What was measured.
    pub facts: Facts,
    /// Every transaction that the host knows.
    pub known: Vec<TransactionRecord>,
    // As it was read, so that an unchanged one is not written again.
    index: Index,
}

impl Session {
    /// The host whose `/` is `root`.
    pub fn new(root: &Path) -> Result<Self, RunError> {
        let files = Files::standard()?;
        let plain = RealSys::new(root);
        let index = read(&plain, &files.index()?).map(|bytes| Index::parse(&bytes)).unwrap_or_default();
        let sys = plain.with_index(index.clone());
        let known = match readable(&sys, &files) {
            true => list(&sys, &files)?,
            false => Vec::new(),
        };
        Ok(Self { facts: facts::measure(root), sys, files, known, index })
    }

    /// The same, for a command that changes something.
    pub fn for_change() -> Result<Self, RunError> {
        if !nix::unistd::geteuid().is_root() {
            return Err(RunError::NotRoot);
        }
        crate::sys::interrupt::listen()?;
        Self::new(Path::new("/"))
    }

    /// The same, for a command that tells what former runs have done. The state directory is root's alone.
    pub fn for_telling() -> Result<Self, RunError> {
        let session = Self::new(Path::new("/"))?;
        if session.is_hidden()? { Err(RunError::NotRoot) } else { Ok(session) }
    }

    /// Whether there is a state directory that this process may not read: what is known is nothing then.
    pub fn is_hidden(&self) -> Result<bool, SysError> {
        Ok(self.files.exist(&self.sys)? && !readable(&self.sys, &self.files))
    }

    /// Reads again which transactions there are, after one was taken back.
    pub fn look_again(&mut self) -> Result<(), RunError> {
        self.known = list(&self.sys, &self.files)?;
        Ok(())
    }

    /// The numbers of transactions that were interrupted or are stuck.
    pub fn unfinished(&self) -> Result<Vec<u64>, SysError> {
        let now = time_for(&self.sys, &self.known)?;
        let left =
            |known: &&TransactionRecord| known.state.is_open() && known.state.awaits_ms(&now).is_none();
        Ok(self.known.iter().filter(left).map(|known| known.id).collect())
    }

    /// The transaction that waits to be confirmed, and for how many seconds yet.
    pub fn awaiting(&self) -> Result<Option<(&TransactionRecord, u64)>, SysError> {
        let now = time_for(&self.sys, &self.known)?;
        let waits =
            |known: &'_ TransactionRecord| known.state.awaits_ms(&now).map(|left| left.div_ceil(1000));
        Ok(self.known.iter().rev().find_map(|known| Some((known, waits(known)?))))
    }

    /// The way back from what the host has now.
    pub fn way(&self) -> Way {
        Way::of(&self.known)
    }

    /// The newest committed transaction.
    pub fn standing(&self) -> Option<&TransactionRecord> {
        let id = self.way().committed(&self.known)?;
        self.known.iter().find(|known| known.id == id)
    }

    /// What the host has now.
    pub fn installed(&self) -> Result<Option<Installed>, Unreadable> {
        installed(&self.sys, &self.files, &self.known)
    }

    /// The bundle that a transaction brought, as far as that is kept.
    pub(super) fn bundle_of(&self, id: u64) -> String {
        let known = self.known.iter().find(|known| known.id == id);
        let begin = known.and_then(|known| known.state.begin.as_ref());
        begin.map_or_else(|| format!("transaction {id}"), |begin| begin.bundle.clone())
    }

    /// Keeps what was read, so that the next run need not read it again. A memory: failing to keep it is no failure.
    pub fn remember(&mut self) {
        let index = self.sys.remembered();
        if index == self.index || !readable(&self.sys, &self.files) {
            return;
        }
        let Ok(path) = self.files.index() else { return };
        let bytes = index.to_bytes();
        let effect = Effect::Write { path: &path, source: Source::Bytes(&bytes), attrs: &private(0o600) };
        match self.sys.effect(&effect) {
            Ok(_) => self.index = index,
            Err(error) => log::debug!("what was read could not be remembered: {error}"),
        }
    }
}

/// The bytes of this program, to be kept on the host; none when they cannot be read.
pub(super) fn this_program() -> Option<Vec<u8>> {
    let read = proc::bytes("self/exe");
    if let Err(error) = &read {
        log::warn!("this program cannot read itself, so a reboot in the middle needs a person: {error}");
    }
    read.ok()
}

/// Who asked for a run, and from where.
pub(super) fn who() -> String {
    let of = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let user = of("SUDO_USER").map_or_else(|| "root".to_owned(), |user| format!("{user} by sudo"));
    match of("SSH_CONNECTION").and_then(|line| line.split(' ').next().map(str::to_owned)) {
        Some(from) => format!("{user} from {from}"),
        None => user,
    }
}

// The state directory is root's alone: whoever else looks at a host knows nothing of its transactions.
fn readable(sys: &dyn Sys, files: &Files) -> bool {
    sys.list(files.root()).is_ok()
}

fn read(sys: &dyn Sys, path: &HostPath) -> Option<Vec<u8>> {
    bytes_of(sys, path).ok().flatten()
}
