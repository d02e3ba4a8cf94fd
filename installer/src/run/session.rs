//! The host of a run: its door, its facts, its state directory, and what former runs have left there.

use std::collections::BTreeSet;
use std::path::Path;

use chom_format::{Facts, HostPath, Manifest, StepId, StepSpec};

use super::RunError;
use crate::engine::boot_time;
use crate::facts;
use crate::resource::private;
use crate::sys::index::Index;
use crate::sys::{Effect, RealSys, Source, Sys, bytes_of, proc};
use crate::transaction::{Files, Known, list};

/// Everything that a run needs of its host.
pub struct Session {
    /// The door.
    pub sys: RealSys,
    /// The names in the state directory.
    pub files: Files,
    /// What was measured.
    pub facts: Facts,
    /// Every transaction that the host knows.
    pub known: Vec<Known>,
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
        let hidden = session.files.exist(&session.sys)? && !readable(&session.sys, &session.files);
        if hidden { Err(RunError::NotRoot) } else { Ok(session) }
    }

    /// Reads again which transactions there are, after one was taken back.
    pub fn look_again(&mut self) -> Result<(), RunError> {
        self.known = list(&self.sys, &self.files)?;
        Ok(())
    }

    /// The numbers of transactions that were cut off or are stuck.
    pub fn unfinished(&self) -> Vec<u64> {
        let now = boot_time(&self.sys).unwrap_or_default();
        let left = |known: &&Known| known.state.is_open() && known.state.awaits_ms(&now).is_none();
        self.known.iter().filter(left).map(|known| known.id).collect()
    }

    /// Whether this transaction waits to be confirmed.
    pub fn awaits(&self, known: &Known) -> bool {
        self.awaiting().is_some_and(|(awaiting, _)| awaiting.id == known.id)
    }

    /// The transaction that waits to be confirmed, and for how many seconds yet.
    pub fn awaiting(&self) -> Option<(&Known, u64)> {
        let now = boot_time(&self.sys).ok()?;
        self.known.iter().rev().find_map(|known| Some((known, known.state.awaits_ms(&now)?.div_ceil(1000))))
    }

    /// The newest transaction that stands.
    pub fn standing(&self) -> Option<&Known> {
        self.known.iter().rev().find(|known| known.state.stands())
    }

    /// The manifest that the host has now. One that this build cannot read any more tells nothing.
    pub fn installed(&self) -> Option<Manifest> {
        let path = self.files.of(self.standing()?.id, "manifest.json").ok()?;
        serde_json::from_slice(&read(&self.sys, &path)?).ok()
    }

    /// The bytes of the manifest that the host has now.
    pub(super) fn installed_bytes(&self) -> Option<Vec<u8>> {
        read(&self.sys, &self.files.of(self.standing()?.id, "manifest.json").ok()?)
    }

    /// Whether what the host has now came with this very manifest.
    pub(super) fn has(&self, manifest: &[u8]) -> bool {
        let path = self.standing().and_then(|known| self.files.of(known.id, "manifest.json").ok());
        path.and_then(|path| read(&self.sys, &path)).is_some_and(|bytes| bytes == manifest)
    }

    /// Paths that are ours, by the manifest that the host has now.
    pub fn ours(&self) -> BTreeSet<HostPath> {
        let Some(manifest) = self.installed() else { return BTreeSet::new() };
        let path = |spec: StepSpec| match spec {
            StepSpec::File(spec) => Some(spec.path),
            StepSpec::Link(spec) => Some(spec.path),
            StepSpec::Absent(spec) => Some(spec.path),
            StepSpec::Dir(spec) => Some(spec.path),
            StepSpec::Release(spec) => Some(spec.dir),
            _ => None,
        };
        manifest.steps().into_iter().filter_map(|(_, step)| path(step.spec)).collect()
    }

    /// Checks that the host has passed with the manifest that it has now.
    pub fn known_checks(&self) -> BTreeSet<StepId> {
        self.installed().into_iter().flat_map(|manifest| manifest.checks).map(|check| check.id).collect()
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
