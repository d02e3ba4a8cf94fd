//! Why payloads cannot be locked.

use std::fmt;
use std::io;
use std::path::PathBuf;

use chom_format::{ComponentName, Digest, Exit, HostName, HostState, PackageName, exit::Explain};

use super::archive_id::ArchiveId;
use crate::cache::CacheError;
use crate::child::ChildError;
use crate::fetch::FetchError;

/// Why payloads cannot be locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Neither the inventory nor the machine names a mirror.
    #[error(
        "no mirror: the inventory does not set mirrors.{setting}, and this machine's apt sources name none"
    )]
    NoMirror {
        /// `debian` or `security`.
        setting: &'static str,
    },
    /// Debian's keyring is not where it should be.
    #[error("Debian's keyring is not at {}", .0.display())]
    NoKeyring(PathBuf),
    /// A program that is needed is missing.
    #[error("{program} is not on this machine")]
    NoProgram {
        /// Which.
        program: &'static str,
        /// The Debian package that brings it.
        package: &'static str,
    },
    /// The private apt root cannot be written.
    #[error("cannot {action} {}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// No mirror gave the indexes of a release.
    #[error("cannot read the indexes of {archive} from {mirror}:{}", Reasons(.stderr))]
    Update {
        /// Of which release and processor.
        archive: ArchiveId,
        /// The last mirror that was tried.
        mirror: String,
        /// What apt said.
        stderr: String,
    },
    /// An index is not signed by a key of the keyring.
    #[error("the indexes of {archive} from {mirror} are not signed by a key of {}:{}", .keyring.display(), Reasons(.stderr))]
    Signature {
        /// Of which release and processor.
        archive: ArchiveId,
        /// The mirror.
        mirror: String,
        /// The keyring that was used.
        keyring: PathBuf,
        /// What apt said.
        stderr: String,
    },
    /// Indexes are wanted from the cache alone, and are not there.
    #[error("the indexes of {0} are not in the cache, and --offline forbids to fetch them")]
    Offline(ArchiveId),
    /// apt finds no set of packages.
    #[error("{archive}: no packages for {}: apt says:{}", names(.roots), Reasons(.stderr))]
    Unresolvable {
        /// In which release and processor.
        archive: ArchiveId,
        /// The packages asked for.
        roots: Vec<PackageName>,
        /// What apt said.
        stderr: String,
    },
    /// The packages can only be had by removing others.
    #[error("{archive}: installing {} would remove {}", names(.roots), .removed.join(", "))]
    Removes {
        /// In which release and processor.
        archive: ArchiveId,
        /// The packages asked for.
        roots: Vec<PackageName>,
        /// What would go.
        removed: Vec<String>,
    },
    /// apt was called, and its answer is not one that is understood.
    #[error("{archive}: {problem}")]
    Index {
        /// In which release and processor.
        archive: ArchiveId,
        /// What is wrong.
        problem: String,
    },
    /// An apt program failed for another reason.
    #[error(transparent)]
    Child(ChildError),
    /// The cache failed.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// An upstream archive has neither published checksums nor a pinned digest.
    #[error("host {host}, {component}: nothing says what {url} must be")]
    Unverifiable {
        /// For which host.
        host: HostName,
        /// For which component.
        component: ComponentName,
        /// The archive.
        url: String,
    },
    /// The published checksums do not hold the archive.
    #[error("{sums} has no sha256 for {file}")]
    NotInSums {
        /// The checksums.
        sums: String,
        /// The archive's file name.
        file: String,
    },
    /// Published and pinned digest differ.
    #[error("{url}: sha256 {pinned} is pinned, but the project publishes {published}")]
    SumsDisagree {
        /// The archive.
        url: String,
        /// In the component file or the inventory.
        pinned: Digest,
        /// In the published checksums.
        published: Digest,
    },
    /// Two hosts want different bytes from one address.
    #[error("{url} is asked for as two different things: {one} and {other}")]
    Contradiction {
        /// The archive.
        url: String,
        /// One host's version and digest.
        one: String,
        /// The other's.
        other: String,
    },
    /// Something could not be downloaded.
    #[error(transparent)]
    Fetch(#[from] FetchError),
}

fn names(roots: &[PackageName]) -> String {
    roots.iter().map(PackageName::as_str).collect::<Vec<_>>().join(", ")
}

// Of all that apt says, the lines that tell what went wrong.
struct Reasons<'a>(&'a str);

impl fmt::Display for Reasons<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<&str> =
            self.0.lines().map(str::trim_end).filter(|line| !line.trim().is_empty()).collect();
        let start = lines.len().saturating_sub(12);
        lines.iter().skip(start).try_for_each(|line| write!(f, "\n  {line}"))
    }
}

impl Explain for LockError {
    fn exit(&self) -> Exit {
        match self {
            Self::NoMirror { .. }
            | Self::Unresolvable { .. }
            | Self::Removes { .. }
            | Self::Unverifiable { .. }
            | Self::NotInSums { .. }
            | Self::SumsDisagree { .. }
            | Self::Contradiction { .. } => Exit::BadInput,
            Self::Fetch(error) => error.exit(),
            _ => Exit::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoMirror { setting } => {
                format!("set mirrors.{setting} in the inventory to a list of mirror addresses")
            }
            Self::NoKeyring(_) => {
                "install the package debian-archive-keyring, or name a copy with --keyring FILE".to_owned()
            }
            Self::NoProgram { package, .. } => format!("install the package {package}"),
            Self::Io { .. } => "name a folder that you may write to with --cache DIR or CHOM_CACHE".to_owned(),
            Self::Update { .. } => "check the network and the proxy, or set mirrors.debian and mirrors.security in the inventory".to_owned(),
            Self::Signature { .. } => "install a newer debian-archive-keyring, or name one with --keyring FILE; if the keyring is right, do not trust this mirror".to_owned(),
            Self::Offline(_) => "run `chom-bundle lock` once with a network".to_owned(),
            Self::Unresolvable { .. } => {
                "check the names: `source: debian` needs a package that Debian carries in this release".to_owned()
            }
            Self::Removes { .. } => "the packages of this host exclude each other: choose others".to_owned(),
            Self::Index { .. } | Self::Child(_) => "run `chom-bundle lock --update`".to_owned(),
            Self::Cache(error) => return error.hint(),
            Self::Unverifiable { component, .. } => {
                format!("give the component {component} `sums:` or `sha256:` in its file, or set its sha256 in the inventory")
            }
            Self::NotInSums { .. } => "check version and address, or pin the archive's sha256".to_owned(),
            Self::SumsDisagree { .. } => "do not use this archive before you know which of the two is right".to_owned(),
            Self::Contradiction { .. } => "give both hosts the same version and sha256".to_owned(),
            Self::Fetch(error) => return error.hint(),
        })
    }

    fn host(&self) -> HostState {
        HostState::NotConcerned
    }
}
