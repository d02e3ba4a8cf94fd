//! The only door to the host.
//!
//! `look` functions read, [`Sys::ask`] runs a program that changes nothing, [`Sys::effect`] is everything
//! else, the journal's and the store's own writes included. So numbering, fault injection, tracing and
//! running against a directory need no second path: they are other implementations of this trait.

mod child;
mod command;
mod effect;
mod error;
#[cfg(test)]
pub(crate) mod fault;
pub mod index;
pub mod interrupt;
mod lack;
mod look;
mod meta;
pub(crate) mod mounts;
pub(crate) mod proc;
mod real;
pub mod view;

pub use command::{Command, Output};
pub use effect::{Effect, Make, Of, Source};
pub use error::SysError;
pub use lack::{Lack, Lacking};
pub use look::{bytes_of, look, named, state_of, text_at, text_of};
pub use meta::{Attrs, Kind, Meta, PathState, Stamp};
pub use real::RealSys;
#[cfg(test)]
pub(crate) use real::calls::before_each;
pub use real::fault::{Fault, FaultsForbidden, arm, effects, faults_allowed};
pub(crate) use real::scratch::{Base, Scratch};
pub(crate) use real::walk::{Access, is_private, named_outside, open_own, outside};
pub use view::{Laid, Layer, Under};

/// How the temporary names begin that a cut off write may leave; whoever holds the lock may remove them.
pub const TEMPORARY: &str = ".chom-tmp-";

/// How the names begin under which space for a way back is kept outside the state directory.
pub const RESERVE: &str = ".chom-reserve-";

use std::io::Read;
use std::path::Path;

use chom_format::{Digest, HostPath};

/// The host, or something that behaves like it.
pub trait Sys: Sync {
    /// The directory that is the host's `/`: `/` itself on the host.
    fn root(&self) -> &Path;

    /// What lies at a path, links not followed; none when nothing does.
    fn meta(&self, path: &HostPath) -> Result<Option<Meta>, SysError>;

    /// Extended attributes of a path, links not followed.
    fn attrs(&self, path: &HostPath) -> Result<Option<Attrs>, SysError>;

    /// The text of a symbolic link.
    fn link(&self, path: &HostPath) -> Result<String, SysError>;

    /// The bytes of a regular file.
    fn open(&self, path: &HostPath) -> Result<Box<dyn Read>, SysError>;

    /// A regular file with its attributes: those of what was opened, and not of what has the name a moment later.
    fn open_with(&self, path: &HostPath) -> Result<(Attrs, Box<dyn Read>), SysError>;

    /// The digest of a regular file. May be answered from what was read before, when the file provably is
    /// the same since; a proof reads the bytes with [`Sys::open`].
    fn digest(&self, path: &HostPath) -> Result<Digest, SysError> {
        let bytes = self.open(path)?;
        let (digest, _) = Digest::of_reader(bytes).map_err(SysError::io("read", path))?;
        Ok(digest)
    }

    /// The names in a directory, sorted; empty when there is no such directory. Space that is kept for a way back,
    /// see [`RESERVE`], is not among them: it is no part of what a directory was or will be.
    fn list(&self, dir: &HostPath) -> Result<Vec<String>, SysError>;

    /// How many names there are in a directory, those included that no path type can hold and [`Sys::list`] leaves out.
    fn count(&self, dir: &HostPath) -> Result<usize, SysError>;

    /// What a path leads to, over as many links as there are; none when it leads to nothing. Where others could have put a
    /// link, none is followed.
    fn resolve(&self, path: &HostPath) -> Result<Option<HostPath>, SysError>;

    /// Names of what is not yet what it will be begin with [`TEMPORARY`] and this from now on. Whoever calls has noted the
    /// token where it outlives this process, so that what a run that is cut off leaves can be told from other names.
    fn announce(&mut self, token: &str);

    /// Whether a name is one of those that were announced.
    fn is_temporary(&self, name: &str) -> bool;

    /// Whether a directory, or the nearest one above it, and all above that are root's alone: nobody else can exchange what is
    /// made there.
    fn is_private(&self, dir: &HostPath) -> Result<bool, SysError>;

    /// Paths all over the host that belong to a user or a group, the first `most` of them. Directories that are `skipped` are
    /// not entered, nor are file systems of other machines and programs.
    fn owned(
        &self,
        uid: Option<u32>,
        gid: Option<u32>,
        skipped: &[&str],
        most: usize,
    ) -> Result<Vec<String>, SysError>;

    /// Whether a path is immutable or append-only (`chattr +i`, `+a`), which not even root can write through. What cannot be
    /// asked is not.
    fn is_immutable(&self, path: &HostPath) -> bool;

    /// Space left on the file system that holds a path (or its nearest existing parent).
    fn space(&self, path: &HostPath) -> Result<Space, SysError>;

    /// Runs a program that changes nothing and waits for it.
    fn ask(&self, command: &Command) -> Result<Output, SysError>;

    /// Runs a program that changes nothing, and hands on what it writes to its standard output, of any length.
    fn stream(&self, command: &Command, out: &mut dyn std::io::Write) -> Result<Output, SysError>;

    /// Does one thing to the host. Durable when it returns: files and their directories are synced.
    /// The output is that of a program run, and empty for everything else.
    fn effect(&mut self, effect: &Effect<'_>) -> Result<Output, SysError>;
}

/// Room on one file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Tells file systems apart.
    pub device: u64,
    /// Bytes in all.
    pub bytes: u64,
    /// Bytes that root may still write.
    pub free_bytes: u64,
    /// Inodes left; `u64::MAX` where the file system does not count them.
    pub free_inodes: u64,
    /// Mounted read-only.
    pub read_only: bool,
}
