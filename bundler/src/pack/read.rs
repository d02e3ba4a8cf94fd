//! Reads a bundle, tarball or folder, and believes nothing of it before all of it has been seen.
//!
//! A [`Bundle`] exists only when every file has the digest that `SHA256SUMS` says, nothing is missing and nothing
//! is there beside, the manifest is one that this program knows, everything that it draws on is in the bundle, and
//! the installer is a static program for the host.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use chom_format::archive::{ArchiveError, Kind, Limits, Reader};
use chom_format::digest::Hasher;
use chom_format::exit::Explain;
use chom_format::manifest::FORMAT;
use chom_format::sums::Sums;
use chom_format::{Digest, Exit, HostState, Manifest, Mode, RelPath};
use serde_json::Value;

use super::{INSTALLER, MANIFEST, SBOM, SIGNATURE, SUMS, elf};

// Files that are looked at as a whole; the manifest of twenty thousand files has eight MB.
const LARGEST_TEXT: u64 = 64 << 20;

/// A bundle that holds what it says.
#[derive(Debug, Clone, PartialEq)]
pub struct Bundle {
    /// The name of its folder.
    pub name: String,
    /// What it does.
    pub manifest: Manifest,
    /// Of `manifest.json`.
    pub manifest_sha256: Digest,
    /// Every file.
    pub files: BTreeMap<RelPath, Member>,
    /// The content of `files/...` and of the other texts.
    pub texts: BTreeMap<RelPath, Vec<u8>>,
    /// The bill of materials.
    pub sbom: Value,
    /// Of the tarball; none when it was a folder.
    pub sha256: Option<Digest>,
}

/// One file of a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Permission bits.
    pub mode: Mode,
    /// Length in bytes.
    pub size: u64,
    /// Of its bytes.
    pub sha256: Digest,
}

/// Why a bundle is refused.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A file operation failed.
    #[error("cannot {action} {}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The archive is damaged or hostile.
    #[error("{}: {source}", .path.display())]
    Archive {
        /// The tarball.
        path: PathBuf,
        /// What is wrong.
        source: ArchiveError,
    },
    /// It is whole as an archive, but not as a bundle.
    #[error("{} is not a whole bundle:\n  {}", .path.display(), .reasons.join("\n  "))]
    Unfit {
        /// The bundle.
        path: PathBuf,
        /// Everything that is wrong.
        reasons: Vec<String>,
    },
}

impl Explain for ReadError {
    fn exit(&self) -> Exit {
        Exit::BadInput
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Io { .. } => None,
            Self::Archive { .. } | Self::Unfit { .. } => {
                Some("copy the bundle again, or build it again with `chom-bundle build`".to_owned())
            }
        }
    }

    fn host(&self) -> HostState {
        HostState::NotConcerned
    }
}

impl Bundle {
    /// Reads and verifies a tarball or an unpacked folder.
    pub fn read(path: &Path) -> Result<Self, ReadError> {
        let io_failed = |action| move |source| ReadError::Io { action, path: path.to_owned(), source };
        let meta = fs::metadata(path).map_err(io_failed("read"))?;
        let mut seen = Seen::default();
        let (name, sha256) = if meta.is_dir() {
            folder(path, path, &mut seen)?;
            // A folder may have been renamed; what it was called is said by its manifest.
            (None, None)
        } else {
            let file = File::open(path).map_err(io_failed("open"))?;
            let (name, sha256) =
                seen.tarball(file).map_err(|source| ReadError::Archive { path: path.to_owned(), source })?;
            (Some(name), Some(sha256))
        };
        seen.judge(name, sha256).map_err(|reasons| ReadError::Unfit { path: path.to_owned(), reasons })
    }
}

#[derive(Default)]
struct Seen {
    files: BTreeMap<RelPath, Member>,
    texts: BTreeMap<RelPath, Vec<u8>>,
    reasons: Vec<String>,
}

impl Seen {
    fn tarball(&mut self, file: File) -> Result<(String, Digest), ArchiveError> {
        let mut hashed = Through { inner: file, hasher: Hasher::new(io::sink()) };
        let mut reader = Reader::new(&mut hashed, Limits::default())?;
        let name = reader.top().to_string();
        while let Some(mut entry) = reader.next_entry()? {
            if entry.kind == Kind::Dir {
                continue;
            }
            let (path, mode, size) = (entry.path.clone(), entry.mode, entry.size);
            let sha256 = if is_text(&path) {
                let bytes = entry.read_whole(LARGEST_TEXT)?;
                let sha256 = Digest::of(&bytes);
                self.texts.insert(path.clone(), bytes);
                sha256
            } else {
                entry.copy_to(&mut io::sink())?
            };
            self.files.insert(path, Member { mode, size, sha256 });
        }
        Ok((name, hashed.hasher.finish().0))
    }

    fn judge(mut self, name: Option<String>, sha256: Option<Digest>) -> Result<Bundle, Vec<String>> {
        self.sums();
        let manifest = self.manifest();
        let sbom = self.json(SBOM).unwrap_or_default();
        let (Some((manifest, manifest_sha256)), true) = (manifest, self.reasons.is_empty()) else {
            return Err(self.reasons);
        };
        self.drawn_on(&manifest);
        self.installer(&manifest);
        let wanted = manifest.bundle_name(&manifest_sha256);
        if let Some(name) = name.filter(|name| *name != wanted) {
            self.reasons
                .push(format!("its folder is called {name}, and its manifest's digest says {wanted}"));
        }
        if !self.reasons.is_empty() {
            return Err(self.reasons);
        }
        let name = wanted;
        Ok(Bundle { name, manifest, manifest_sha256, files: self.files, texts: self.texts, sbom, sha256 })
    }

    // Every file has its line, and every line its file.
    fn sums(&mut self) {
        let Some(text) = self.texts.get(SUMS) else {
            return self.reasons.push(format!("it has no {SUMS}"));
        };
        let sums = match Sums::parse(&String::from_utf8_lossy(text)) {
            Ok(sums) => sums.0,
            Err(error) => return self.reasons.push(error.to_string()),
        };
        for (path, sha256) in &sums {
            match self.files.get(path) {
                None => self.reasons.push(format!("{path} is missing")),
                Some(found) if found.sha256 != *sha256 => {
                    self.reasons.push(format!("{path} has sha256 {}, and {sha256} is listed", found.sha256));
                }
                Some(_) => {}
            }
        }
        let extra = self.files.keys().filter(|path| ![SUMS, SIGNATURE].contains(&path.as_str()));
        let extra: Vec<String> = extra
            .filter(|path| !sums.contains_key(*path))
            .map(|path| format!("{path} is not listed in {SUMS}"))
            .collect();
        self.reasons.extend(extra);
    }

    fn manifest(&mut self) -> Option<(Manifest, Digest)> {
        let value = self.json(MANIFEST)?;
        let format = value.get("format").and_then(Value::as_u64).unwrap_or_default();
        if format != u64::from(FORMAT) {
            self.reasons.push(format!("{MANIFEST} has format {format}, and this program reads {FORMAT}"));
            return None;
        }
        match serde_json::from_value::<Manifest>(value) {
            Ok(manifest) => {
                let twice = manifest.duplicate_ids();
                self.reasons.extend(twice.iter().map(|id| format!("{MANIFEST} has two steps called {id}")));
                Some((manifest, self.files.get(MANIFEST)?.sha256))
            }
            Err(error) => {
                self.reasons.push(format!("{MANIFEST}: {error}"));
                None
            }
        }
    }

    fn json(&mut self, name: &str) -> Option<Value> {
        let Some(bytes) = self.texts.get(name) else {
            self.reasons.push(format!("it has no {name}"));
            return None;
        };
        match serde_json::from_slice(bytes) {
            Ok(value) => Some(value),
            Err(error) => {
                self.reasons.push(format!("{name}: {error}"));
                None
            }
        }
    }

    fn drawn_on(&mut self, manifest: &Manifest) {
        for content in manifest.contents() {
            let fits = self
                .files
                .get(&content.from)
                .is_some_and(|found| found.sha256 == content.sha256 && found.size == content.size);
            if !fits {
                self.reasons
                    .push(format!("a step draws on {}, which is not in it as it should be", content.from));
            }
        }
        let misnamed = self.files.iter().filter_map(|(path, member)| {
            let name = path.as_str().strip_prefix("objects/")?;
            (name != member.sha256.to_string()).then(|| format!("{path} is not what its name says"))
        });
        let misnamed: Vec<String> = misnamed.collect();
        self.reasons.extend(misnamed);
    }

    fn installer(&mut self, manifest: &Manifest) {
        let Some(bytes) = self.texts.remove(INSTALLER) else {
            return self.reasons.push(format!("it has no {INSTALLER}"));
        };
        if let Err(error) = elf::check(&bytes, manifest.host.arch) {
            self.reasons.push(format!("{INSTALLER}: {error}"));
        }
        if self.files.get(INSTALLER).is_some_and(|member| member.mode.bits() & 0o100 == 0) {
            self.reasons.push(format!("{INSTALLER} is not executable"));
        }
    }
}

// What is kept in memory: everything but the payloads.
fn is_text(path: &RelPath) -> bool {
    !path.as_str().starts_with("objects/")
}

fn folder(root: &Path, at: &Path, seen: &mut Seen) -> Result<(), ReadError> {
    let io_failed = |path: &Path| {
        let path = path.to_owned();
        move |source| ReadError::Io { action: "read", path, source }
    };
    for entry in fs::read_dir(at).map_err(io_failed(at))? {
        let path = entry.map_err(io_failed(at))?.path();
        let meta = fs::symlink_metadata(&path).map_err(io_failed(&path))?;
        if meta.is_dir() {
            folder(root, &path, seen)?;
            continue;
        }
        let below = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
        let name = below.parse::<RelPath>();
        let (true, Ok(name)) = (meta.is_file(), name) else {
            seen.reasons.push(format!("{below:?} is neither file nor folder, or has no acceptable name"));
            continue;
        };
        let mut file = File::open(&path).map_err(io_failed(&path))?;
        let sha256 = if is_text(&name) {
            let mut bytes = Vec::new();
            file.take(LARGEST_TEXT).read_to_end(&mut bytes).map_err(io_failed(&path))?;
            let sha256 = Digest::of(&bytes);
            seen.texts.insert(name.clone(), bytes);
            sha256
        } else {
            Digest::of_reader(&mut file).map_err(io_failed(&path))?.0
        };
        let mode = Mode::from_bits(meta.permissions().mode());
        seen.files.insert(name, Member { mode, size: meta.len(), sha256 });
    }
    Ok(())
}

struct Through<R> {
    inner: R,
    hasher: Hasher<io::Sink>,
}

impl<R: Read> Read for Through<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(out)?;
        self.hasher.write_all(out.get(..n).unwrap_or_default())?;
        Ok(n)
    }
}
