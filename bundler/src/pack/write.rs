//! Writes a bundle.

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use chom_format::archive::{ArchiveError, Writer};
use chom_format::exit::Explain;
use chom_format::sums::Sums;
use chom_format::{Digest, Exit, HostState, Mode, RelPath};
use tempfile::NamedTempFile;

use super::body::{Body, Payload};
use super::draft::Draft;
use super::output::{Finished, Output};
use super::{INSTALLER, Installer, MANIFEST, SBOM, SUMS, sbom};
use crate::assemble::{Assembled, Source};
use crate::cache::{Cache, CacheError};
use crate::resolve::Host;

/// Why no bundle was written.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
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
    /// An object of the cache is not what its name says.
    #[error("object {sha256} of the cache is damaged: it holds sha256 {found}")]
    Damaged {
        /// Its name.
        sha256: Digest,
        /// What it is.
        found: Digest,
    },
    /// A squeezed payload in the cache changed since it was made.
    #[error("{} is damaged", .0.display())]
    Stale(PathBuf),
    /// The archive could not be written.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The cache failed.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// A name that cannot be a folder.
    #[error("`{0}` cannot be the name of a bundle")]
    Name(String),
    /// A JSON file could not be made.
    #[error("cannot write {0} as JSON: {1}")]
    Json(&'static str, serde_json::Error),
}

impl PackError {
    pub(super) fn io(action: &'static str, path: &Path) -> impl Fn(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }
}

impl Explain for PackError {
    fn exit(&self) -> Exit {
        match self {
            Self::Name(_) => Exit::BadInput,
            _ => Exit::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            // What fails while the archive is written fails in the folder of the bundle.
            Self::Io { source, .. } | Self::Archive(ArchiveError::Write { source, .. })
                if source.kind() == io::ErrorKind::StorageFull =>
            {
                Some("free space there, or choose another folder with --output or --cache".to_owned())
            }
            Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some("choose a folder that you may write to with --output or --cache".to_owned())
            }
            Self::Damaged { .. } => {
                Some("run `chom-bundle fetch`: it looks at every object and fetches it again".to_owned())
            }
            Self::Cache(error) => error.hint(),
            Self::Name(_) => {
                Some("the inventory's `version` may hold letters, digits, `.`, `-`, `+` and `_`".to_owned())
            }
            _ => None,
        }
    }

    fn host(&self) -> HostState {
        HostState::NotConcerned
    }
}

/// A bundle that was written.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Packed {
    /// `mentat-1.4.0-3f9c2a71`.
    pub name: String,
    /// The tarball.
    pub path: PathBuf,
    /// Of the tarball.
    pub sha256: Digest,
    /// Of the tarball, in bytes.
    pub size: u64,
}

// One file of the bundle, in the order in which they are written.
struct Item<'a> {
    path: RelPath,
    mode: Mode,
    sha256: Digest,
    content: Content<'a>,
}

enum Content<'a> {
    Small(&'a [u8]),
    Large(&'a [u8]),
    Object(u64),
}

/// Writes the bundle of a host into the folder `output`; every entry has the time `mtime`. A draft that was begun for
/// this host and folder saves time.
pub fn pack(
    host: &Host,
    assembled: &Assembled,
    installer: &Installer,
    cache: &Cache,
    output: &Path,
    draft: Option<Draft>,
    mtime: u64,
) -> Result<Packed, PackError> {
    let manifest = assembled.manifest.to_bytes().map_err(|error| PackError::Json(MANIFEST, error))?;
    let name = assembled.manifest.bundle_name(&Digest::of(&manifest));
    let top: RelPath = name.parse().map_err(|_| PackError::Name(name.clone()))?;
    let sbom =
        sbom::sbom(host, assembled, &installer.sha256).map_err(|error| PackError::Json(SBOM, error))?;
    let mut items = items(assembled, installer, &manifest, &sbom)?;
    let sums: BTreeMap<RelPath, Digest> = items.iter().map(|item| (item.path.clone(), item.sha256)).collect();
    let sums = Sums(sums).to_text();
    // First, so that whoever reads the bundle as a stream knows each digest before the bytes.
    items.insert(0, small(SUMS, sums.as_bytes())?);
    let empty = || Draft::empty(output, &host.name).map_err(PackError::io("write in", output));
    let mut draft = draft.map_or_else(empty, Ok)?;
    let mut tries = 0;
    loop {
        tries += 1;
        match write(&top, &items, cache, draft, output, mtime) {
            // The damaged copy is gone; it is made again from its object.
            Err(PackError::Stale(path)) if tries == 1 => {
                draft = empty()?;
                log::warn!("{} was damaged, and is made again", path.display());
                fs::remove_file(&path).map_err(PackError::io("remove", &path))?;
            }
            other => return other,
        }
    }
}

const PLAIN: u32 = 0o644;
const PROGRAM: u32 = 0o755;

fn items<'a>(
    assembled: &'a Assembled,
    installer: &'a Installer,
    manifest: &'a [u8],
    sbom: &'a [u8],
) -> Result<Vec<Item<'a>>, PackError> {
    let mut items = vec![
        small(MANIFEST, manifest)?,
        named(INSTALLER, PROGRAM, installer.sha256, Content::Large(&installer.bytes))?,
        small(SBOM, sbom)?,
    ];
    for (path, source) in &assembled.contents {
        let (sha256, content) = match source {
            Source::Bytes(bytes) => (Digest::of(bytes), Content::Small(bytes)),
            Source::Object { sha256, size } => (*sha256, Content::Object(*size)),
        };
        items.push(Item { path: path.clone(), mode: Mode::from_bits(PLAIN), sha256, content });
    }
    Ok(items)
}

fn small<'a>(name: &str, bytes: &'a [u8]) -> Result<Item<'a>, PackError> {
    named(name, PLAIN, Digest::of(bytes), Content::Small(bytes))
}

fn named<'a>(name: &str, mode: u32, sha256: Digest, content: Content<'a>) -> Result<Item<'a>, PackError> {
    let path = name.parse().map_err(|_| PackError::Name(name.to_owned()))?;
    Ok(Item { path, mode: Mode::from_bits(mode), sha256, content })
}

fn write(
    top: &RelPath,
    items: &[Item<'_>],
    cache: &Cache,
    draft: Draft,
    output: &Path,
    mtime: u64,
) -> Result<Packed, PackError> {
    let path = output.join(format!("{top}.tar.gz"));
    let out = Output::new(draft, cache).map_err(PackError::io("write in", output))?;
    let mut writer = Writer::new(out, top, mtime)?;
    for item in items {
        match item.content {
            Content::Small(bytes) => writer.file(&item.path, item.mode, bytes)?,
            Content::Large(bytes) => {
                payload(&mut writer, item, bytes.len() as u64, cache, &Payload::Bytes(bytes))?
            }
            Content::Object(size) => payload(&mut writer, item, size, cache, &Payload::Object)?,
        }
    }
    let Finished { sha256, size, temp } = writer.finish()?.finish()?;
    // The tarball is for the host alone; who may read it is not left to the umask.
    visible(temp, &path, 0o600)?;
    let mut beside = NamedTempFile::new_in(output).map_err(PackError::io("write in", output))?;
    writeln!(beside, "{sha256}  {top}.tar.gz").map_err(PackError::io("write", beside.path()))?;
    visible(beside, &output.join(format!("{top}.tar.gz.sha256")), PLAIN)?;
    Ok(Packed { name: top.to_string(), path, sha256, size })
}

fn payload(
    writer: &mut Writer<Output<'_>>,
    item: &Item<'_>,
    size: u64,
    cache: &Cache,
    payload: &Payload<'_>,
) -> Result<(), PackError> {
    if size == 0 {
        return Ok(writer.payload(&item.path, item.mode, 0, |_| Ok(()))?);
    }
    let body = Body::of(cache, &item.sha256, size, payload)?;
    Ok(writer.payload(&item.path, item.mode, size, |out| out.copy(&item.sha256, body))?)
}

fn visible(temp: NamedTempFile, path: &Path, mode: u32) -> Result<(), PackError> {
    let file: &File = temp.as_file();
    file.set_permissions(Permissions::from_mode(mode)).map_err(PackError::io("write", path))?;
    temp.persist(path).map_err(|error| PackError::io("write", path)(error.error))?;
    Ok(())
}
