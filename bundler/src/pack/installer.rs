//! Finds the installer for a host's processor: named by the user, built in, beside this program, or in `dist/`.

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};
use std::{env, fs};

use chom_format::exit::Explain;
use chom_format::manifest::Arch;
use chom_format::{Digest, Exit, HostState};

use super::elf::{self, ElfError};

include!(concat!(env!("OUT_DIR"), "/installers.rs"));

/// The program that goes into a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installer {
    /// Its bytes.
    pub bytes: Cow<'static, [u8]>,
    /// Of them.
    pub sha256: Digest,
    /// Where it was found, for people.
    pub from: String,
}

/// Why there is no installer.
#[derive(Debug, thiserror::Error)]
pub enum InstallerError {
    /// There is none in any of the places.
    #[error("there is no chom-install for {}: looked at {}", .arch.name(), .places.join(", "))]
    Missing {
        /// For which processor.
        arch: Arch,
        /// Where it was looked for.
        places: Vec<String>,
    },
    /// It cannot be read.
    #[error("cannot read {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no static program for the host.
    #[error("{from} cannot be the installer: {source}")]
    Unfit {
        /// Where it was found.
        from: String,
        /// What is wrong with it.
        source: ElfError,
    },
}

impl Explain for InstallerError {
    fn exit(&self) -> Exit {
        match self {
            Self::Read { .. } => Exit::Failed,
            Self::Missing { .. } | Self::Unfit { .. } => Exit::BadInput,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Read { .. } => None,
            Self::Missing { .. } => {
                Some("make one with `make dist`, or name one with --installer FILE".to_owned())
            }
            Self::Unfit { .. } => Some("`make dist` builds static installers for both processors".to_owned()),
        }
    }

    fn host(&self) -> HostState {
        HostState::NotConcerned
    }
}

/// The installer for a processor. One that the user names is taken or refused, and no other one looked for.
pub fn find(arch: Arch, named: Option<&Path>) -> Result<Installer, InstallerError> {
    if let Some(path) = named {
        return from_file(arch, path);
    }
    if let Some((_, bytes, sha256)) = BUILT_IN.iter().find(|(name, ..)| *name == arch.name()) {
        let from = format!("chom-install for {} (built in)", arch.name());
        let built_in = Installer { bytes: (*bytes).into(), sha256: Digest::from(*sha256), from };
        return checked(arch, built_in);
    }
    let places = places(arch);
    match places.iter().find(|path| path.is_file()) {
        Some(path) => from_file(arch, path),
        None => {
            let places = places.iter().map(|path| path.display().to_string());
            Err(InstallerError::Missing {
                arch,
                places: ["built in".to_owned()].into_iter().chain(places).collect(),
            })
        }
    }
}

fn places(arch: Arch) -> Vec<PathBuf> {
    let name = format!("chom-install-{}", arch.name());
    let beside = env::current_exe().ok().and_then(|program| Some(program.parent()?.join(&name)));
    beside.into_iter().chain([Path::new("dist").join(&name)]).collect()
}

fn from_file(arch: Arch, path: &Path) -> Result<Installer, InstallerError> {
    let read = fs::read(path);
    let bytes = read.map_err(|source| InstallerError::Read { path: path.to_owned(), source })?;
    let sha256 = Digest::of(&bytes);
    checked(arch, Installer { bytes: bytes.into(), sha256, from: path.display().to_string() })
}

fn checked(arch: Arch, installer: Installer) -> Result<Installer, InstallerError> {
    match elf::check(&installer.bytes, arch) {
        Ok(()) => Ok(installer),
        Err(source) => Err(InstallerError::Unfit { from: installer.from, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_installer_is_taken_or_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("chom-install");
        fs::write(&path, elf::tests::program(62, &[])).unwrap();
        assert_eq!(find(Arch::X86_64, Some(&path)).unwrap().from, path.display().to_string());
        assert!(matches!(find(Arch::Aarch64, Some(&path)), Err(InstallerError::Unfit { .. })));
        let gone = dir.path().join("gone");
        assert!(matches!(find(Arch::X86_64, Some(&gone)), Err(InstallerError::Read { .. })));
    }
}
