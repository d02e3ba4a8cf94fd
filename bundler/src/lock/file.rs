//! `chom.lock` on disk: read strictly, written in one rename.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use chom_format::{Digest, Exit, HostState, exit::Explain};
use tempfile::NamedTempFile;

use super::model::{LOCK_FORMAT, Lock};

/// The name of the file, beside the inventory.
pub const LOCK_FILE: &str = "chom.lock";

// A lock of a hundred hosts has some megabytes; this is a bound against a wrong file, not against a fleet.
const LARGEST: u64 = 64 << 20;

/// Why a lock file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LockFileError {
    /// There is none.
    #[error("there is no {}", .0.display())]
    Missing(PathBuf),
    /// It cannot be read or written.
    #[error("cannot {action} {}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// It is not a lock: what, and at which line and column.
    #[error("{}: {message}", .path.display())]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// Line, column and reason.
        message: String,
    },
    /// It names something that it does not describe.
    #[error("{}: {dangling}", .path.display())]
    Dangling {
        /// Which file.
        path: PathBuf,
        /// Who names what.
        dangling: String,
    },
}

impl Explain for LockFileError {
    fn exit(&self) -> Exit {
        match self {
            Self::Io { .. } => Exit::Failed,
            Self::Missing(_) | Self::Syntax { .. } | Self::Dangling { .. } => Exit::BadInput,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Io { .. } => None,
            Self::Missing(_) => Some("run `chom-bundle lock`".to_owned()),
            Self::Syntax { .. } | Self::Dangling { .. } => Some(
                "take the file back from version control, or remove it and run `chom-bundle lock`".to_owned(),
            ),
        }
    }

    fn host(&self) -> HostState {
        HostState::NotConcerned
    }
}

/// A lock with the digest of the file that it was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockFile {
    /// What it says.
    pub lock: Lock,
    /// Of the file's bytes: it goes into every manifest.
    pub digest: Digest,
}

impl LockFile {
    /// Reads a lock file.
    pub fn read(path: &Path) -> Result<Self, LockFileError> {
        let io_failed = |source| LockFileError::Io { action: "read", path: path.to_owned(), source };
        let size = match fs::metadata(path) {
            Ok(meta) => meta.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(LockFileError::Missing(path.to_owned()));
            }
            Err(error) => return Err(io_failed(error)),
        };
        if size > LARGEST {
            let message = format!("{size} bytes are more than any lock has");
            return Err(LockFileError::Syntax { path: path.to_owned(), message });
        }
        Self::parse(&fs::read_to_string(path).map_err(io_failed)?, path)
    }

    /// Reads the text of a lock file; `path` is what errors call it.
    pub fn parse(text: &str, path: &Path) -> Result<Self, LockFileError> {
        let syntax = |message| LockFileError::Syntax { path: path.to_owned(), message };
        let lock: Lock = serde_saphyr::from_str(text).map_err(|error| syntax(error.to_string()))?;
        if lock.format != LOCK_FORMAT {
            return Err(syntax(format!(
                "format {} is not the one that this program reads, {LOCK_FORMAT}",
                lock.format
            )));
        }
        if let Some(dangling) = dangling(&lock) {
            return Err(LockFileError::Dangling { path: path.to_owned(), dangling });
        }
        Ok(Self { lock, digest: Digest::of(text.as_bytes()) })
    }

    /// Writes a lock. Gives the digest of the file, and whether its bytes are other than before.
    pub fn write(path: &Path, lock: &Lock) -> Result<(Digest, bool), LockFileError> {
        let text = lock.to_yaml();
        let digest = Digest::of(text.as_bytes());
        if fs::read(path).is_ok_and(|before| before == text.as_bytes()) {
            return Ok((digest, false));
        }
        let failed = |source| LockFileError::Io { action: "write", path: path.to_owned(), source };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut temp = NamedTempFile::new_in(folder).map_err(failed)?;
        temp.write_all(text.as_bytes()).map_err(failed)?;
        public(temp.as_file()).map_err(failed)?;
        temp.as_file().sync_all().map_err(failed)?;
        temp.persist(path).map_err(|error| failed(error.error))?;
        Ok((digest, true))
    }
}

// The lock is committed and read by others; it holds no secret.
fn public(file: &fs::File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

fn dangling(lock: &Lock) -> Option<String> {
    for (host, pins) in &lock.hosts {
        let archive = lock.archives.get(&pins.archive);
        let closures = pins.packages.values().flat_map(|closure| &closure.closure);
        for package in closures.chain(pins.members.values().flatten()) {
            if !archive.is_some_and(|archive| archive.packages.contains_key(package)) {
                return Some(format!(
                    "host {host} names {package}, which is not in archives {}",
                    pins.archive
                ));
            }
        }
        for url in pins.upstream.values() {
            if !lock.upstream.contains_key(url) {
                return Some(format!("host {host} names {url}, which is not in upstream"));
            }
        }
    }
    None
}
