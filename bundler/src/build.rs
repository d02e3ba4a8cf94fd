//! The straight line from the resolved fleet to a bundle on disk, for one host after the other.
//!
//! Each stage is a room of its own; this one only hands the result of one to the next. It asks no network: what
//! the lock names must be in the cache by then.

use std::path::Path;

use chom_format::exit::Explain;
use chom_format::{Exit, HostState};

use crate::assemble::{self, Assembled, PayloadError, Payloads};
use crate::cache::Cache;
use crate::lock::LockFile;
use crate::pack::{self, Draft, InstallerError, PackError, Packed};
use crate::problem::{Problem, Problems};
use crate::render::{Releases, Rendered, Renderer};
use crate::resolve::{Fleet, Host};

/// What all hosts of one run share.
pub struct Kit<'a> {
    /// The resolved inventory.
    pub fleet: &'a Fleet,
    /// Its templates, parsed.
    pub renderer: &'a Renderer<'a>,
    /// What the payloads are.
    pub lock: &'a LockFile,
    /// Where they are.
    pub cache: &'a Cache,
}

/// Where and with what a bundle is written.
pub struct Target<'a> {
    /// The folder.
    pub output: &'a Path,
    /// The installer that the user named.
    pub installer: Option<&'a Path>,
    /// The time of every entry, in seconds since 1970.
    pub mtime: u64,
}

/// A bundle on disk, and what is to be said of it.
#[derive(Debug)]
pub struct Built {
    /// The bundle.
    pub packed: Packed,
    /// What is odd.
    pub warnings: Vec<Problem>,
    /// Where its installer came from.
    pub installer: String,
}

/// Why a bundle could not be built.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "named after the stage whose error it holds")]
pub enum BuildError {
    #[error(transparent)]
    Payload(#[from] PayloadError),
    #[error(transparent)]
    Problems(#[from] Problems),
    #[error(transparent)]
    Installer(#[from] InstallerError),
    #[error(transparent)]
    Pack(#[from] PackError),
}

impl BuildError {
    fn inner(&self) -> &dyn Explain {
        match self {
            Self::Payload(error) => error,
            Self::Problems(error) => error,
            Self::Installer(error) => error,
            Self::Pack(error) => error,
        }
    }
}

impl Explain for BuildError {
    fn exit(&self) -> Exit {
        self.inner().exit()
    }

    fn hint(&self) -> Option<String> {
        self.inner().hint()
    }

    fn host(&self) -> HostState {
        self.inner().host()
    }
}

/// Builds the bundle of one host, in its draft where one was begun.
pub fn build(
    kit: &Kit<'_>,
    host: &Host,
    target: &Target<'_>,
    draft: Option<Draft>,
) -> Result<Built, BuildError> {
    // Before the long work: it is the first thing that is missing on a fresh machine.
    let installer = pack::installer::find(host.arch, target.installer)?;
    let assembled = assembled(kit, host)?;
    let packed = pack::pack(host, &assembled, &installer, kit.cache, target.output, draft, target.mtime)?;
    Ok(Built { packed, warnings: assembled.warnings, installer: installer.from })
}

/// The manifest of one host and what it draws on.
pub fn assembled(kit: &Kit<'_>, host: &Host) -> Result<Assembled, BuildError> {
    let payloads = assemble::payloads(host, &kit.lock.lock, kit.cache)?;
    let rendered = kit.renderer.host(host, &payloads.dirs())?;
    Ok(assemble::assemble(kit.fleet, host, &rendered, &payloads, kit.lock.digest)?)
}

/// What one host gets, for review: also before anything is locked, with zeros for the ids of the releases.
pub fn rendered(
    renderer: &Renderer<'_>,
    host: &Host,
    payloads: Option<&Payloads>,
) -> Result<Rendered, Problems> {
    let releases = match payloads {
        Some(payloads) => payloads.dirs(),
        None => host
            .stack_files
            .iter()
            .filter_map(|(stack, file)| {
                Some((stack.clone(), format!("{}/releases/000000000000", file.root).parse().ok()?))
            })
            .collect::<Releases>(),
    };
    renderer.host(host, &releases)
}
