//! What is to be locked: for each host its release, its processor and the payloads of its components.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use chom_format::manifest::{Arch, Suite};
use chom_format::{ComponentName, Digest, HostName, PackageName};

use super::archive_id::ArchiveId;
use super::mirrors::Mirrors;

/// All hosts whose payloads stand in one `chom.lock`.
#[derive(Debug, Clone)]
pub struct LockRequest {
    /// The hosts, each named once.
    pub hosts: Vec<HostRequest>,
    /// Where archives are reached from this machine. Not part of the lock.
    pub mirrors: Mirrors,
}

/// What one host needs from outside.
#[derive(Debug, Clone)]
pub struct HostRequest {
    /// The inventory's name for it.
    pub host: HostName,
    /// Its Debian release.
    pub suite: Suite,
    /// Its processor.
    pub arch: Arch,
    /// Whole packages by component: their closure is wanted.
    pub packages: BTreeMap<ComponentName, Vec<PackageName>>,
    /// The one package by component of which only members are taken: no closure.
    pub members: BTreeMap<ComponentName, PackageName>,
    /// Upstream archives by component.
    pub upstream: BTreeMap<ComponentName, UpstreamRequest>,
    /// What the host has already.
    pub base: Base,
}

impl HostRequest {
    /// The part of Debian's archive that the host draws on.
    pub fn archive(&self) -> ArchiveId {
        ArchiveId { suite: self.suite, arch: self.arch }
    }
}

/// The packages that are on a host before anything is installed. Never those of the control machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    /// What every Debian host has, whatever it was made with: the required and essential packages and what
    /// they depend on, at the oldest version that the release can have brought.
    Minimal,
    /// Nothing: the closure is complete down to libc.
    None,
    /// What a dpkg status file says, carried from the host.
    StatusFile {
        /// The file on the control machine.
        path: PathBuf,
        /// Of its bytes: a lock made against another status does not match.
        sha256: Digest,
    },
}

impl Base {
    /// The base that the dpkg status file at `path` describes.
    pub fn status_file(path: &Path) -> io::Result<Self> {
        let (sha256, _) = Digest::of_reader(File::open(path)?)?;
        Ok(Self::StatusFile { path: path.to_owned(), sha256 })
    }
}

/// An archive from a project's own site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamRequest {
    /// The version that is asked for.
    pub version: String,
    /// The address of the archive for this host's processor.
    pub url: String,
    /// The address of the checksums that the project publishes.
    pub sums_url: Option<String>,
    /// A digest pinned in the component file or the inventory.
    pub sha256: Option<Digest>,
}
