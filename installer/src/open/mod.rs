//! Opening a bundle: nothing of it is believed before its digest has been seen.
//!
//! A bundle comes as an extracted folder, a tarball or standard input. A folder is read where it lies. A
//! tarball is streamed once, in constant memory, into a private directory, and every byte is checked on the
//! way. Either way a [`Bundle`] exists only when `SHA256SUMS` names exactly the files that are there, the
//! manifest and every rendered file have their digests, and the manifest is one that this program can obey.
//!
//! Payloads of a folder are the exception: a run that finds nothing to do needs none of them, and must be
//! over in a blink. [`Bundle::verify_payloads`] checks them, and must have succeeded before the first effect.
//! What is later copied from the bundle is checked again while it is copied, so that bytes that change
//! behind our back are caught too. A folder that somebody else than root can change is copied before it is verified, texts
//! at once and payloads when they are: what was verified is what is used, also by programs that are given a path.

mod digests;
mod error;
mod folder;
mod manifest;
mod source;
mod staging;
mod stream;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::{Path, PathBuf};

use chom_format::sums::Sums;
use chom_format::{Digest, Manifest, RelPath, StepSpec};

pub use error::{OpenError, Problem};
pub use manifest::read as read_manifest;
pub use source::Source;

use staging::Staging;

/// The list of digests; its own digest stands nowhere.
const SUMS: &str = "SHA256SUMS";
/// Its signature, when there is one.
const SIGNATURE: &str = "SHA256SUMS.sig";
/// What is to be done.
const MANIFEST: &str = "manifest.json";
/// Larger texts than any bundle has: both are read into memory.
const LONGEST_TEXT: u64 = 32 << 20;

/// A bundle that may be obeyed.
pub struct Bundle {
    dir: PathBuf,
    manifest: Manifest,
    text: Vec<u8>,
    digest: Digest,
    sums: Sums,
    sizes: BTreeMap<RelPath, u64>,
    // Not read yet: payloads of a folder.
    unread: Vec<RelPath>,
    // Keeps an unpacked tarball until the run is over.
    staging: Option<Staging>,
    // Where the payloads are copied from, once a plan needs them: somebody else could change them there.
    origin: Option<PathBuf>,
}

impl Bundle {
    /// Opens a bundle. `progress` is told the bytes read so far.
    pub fn open(source: &Source, progress: &(dyn Fn(u64) + Sync)) -> Result<Self, OpenError> {
        match source {
            Source::Folder(dir) => Self::from_folder(dir, progress),
            Source::Tarball(file) => Self::from_stream(source::open_file(file)?, progress),
            Source::Stdin => Self::from_stream(std::io::stdin().lock(), progress),
        }
    }

    /// Where its files lie.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What is to be done.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The bytes of `manifest.json`.
    pub fn manifest_bytes(&self) -> &[u8] {
        &self.text
    }

    /// The digest of `manifest.json`, which pins every other byte that matters.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The bundle's name: host, version, first digits of the digest.
    pub fn name(&self) -> String {
        self.manifest.bundle_name(&self.digest)
    }

    /// How many files it holds, and their bytes in all.
    pub fn extent(&self) -> (usize, u64) {
        (self.sizes.len(), self.sizes.values().sum())
    }

    /// The bytes that [`Bundle::verify_payloads`] has still to read.
    pub fn unread(&self) -> u64 {
        self.unread.iter().filter_map(|path| self.sizes.get(path)).sum()
    }

    /// Checks every file that was not checked when the bundle was opened.
    pub fn verify_payloads(&mut self, progress: &(dyn Fn(u64) + Sync)) -> Result<(), OpenError> {
        if let Some(origin) = &self.origin {
            let size = |path| self.sizes.get(path).copied().unwrap_or_default();
            let staged =
                |path| self.staging.as_ref().map_or(Ok(()), |staging| staging.copy(origin, path, size(path)));
            self.unread.iter().try_for_each(staged)?;
        }
        let files = self
            .unread
            .iter()
            .filter_map(|path| Some((path, *self.sums.0.get(path)?, *self.sizes.get(path)?)));
        digests::check(&self.dir, files.collect(), progress)?;
        self.unread.clear();
        Ok(())
    }

    fn from_folder(dir: &Path, progress: &(dyn Fn(u64) + Sync)) -> Result<Self, OpenError> {
        let found = folder::walk(dir)?;
        // Whoever is not root can be misled by nobody but root, and by himself.
        let staging = match folder::is_roots(dir, &found) || !nix::unistd::geteuid().is_root() {
            true => None,
            false => Some(Staging::new()?),
        };
        let origin = staging.is_some().then(|| dir.to_owned());
        let dir = staging.as_ref().map_or(dir, Staging::path);
        if let (Some(origin), Some(staging)) = (&origin, &staging) {
            let mut texts = found.files.iter().filter(|(path, _)| !is_payload(path));
            texts.try_for_each(|(path, size)| staging.copy(origin, path, *size))?;
        }
        let sums = read_sums(dir)?;
        compare_names(&sums, &found)?;
        let sizes = found.files;
        let (unread, now): (Vec<RelPath>, Vec<RelPath>) = sums.0.keys().cloned().partition(is_payload);
        let files = now.iter().filter_map(|path| Some((path, *sums.0.get(path)?, *sizes.get(path)?)));
        digests::check(dir, files.collect(), progress)?;
        let dir = dir.to_owned();
        let mut bundle = Self { origin, ..Self::assemble(dir, sums, sizes, unread, staging)? };
        bundle.stage_indexes(progress)?;
        Ok(bundle)
    }

    /// Copies what a plan reads of the payloads: the lists of packages.
    fn stage_indexes(&mut self, progress: &(dyn Fn(u64) + Sync)) -> Result<(), OpenError> {
        let (Some(origin), Some(staging)) = (&self.origin, &self.staging) else { return Ok(()) };
        let index = |step: &StepSpec| match step {
            StepSpec::Packages(spec) => Some(spec.index.from.clone()),
            _ => None,
        };
        let wanted: Vec<RelPath> =
            self.manifest.steps().iter().filter_map(|(_, step)| index(&step.spec)).collect();
        let (now, later) =
            std::mem::take(&mut self.unread).into_iter().partition(|path| wanted.contains(path));
        self.unread = later;
        let now: Vec<RelPath> = now;
        let known = |path| Some((path, *self.sums.0.get(path)?, *self.sizes.get(path)?));
        let files: Vec<_> = now.iter().filter_map(known).collect();
        files.iter().try_for_each(|(path, _, size)| staging.copy(origin, path, *size))?;
        digests::check(&self.dir, files, progress)
    }

    fn from_stream(input: impl std::io::Read, progress: &(dyn Fn(u64) + Sync)) -> Result<Self, OpenError> {
        let staging = Staging::new()?;
        let digests = stream::unpack(input, &staging, progress)?;
        let found = folder::walk(staging.path())?;
        let sums = read_sums(staging.path())?;
        compare_names(&sums, &found)?;
        let wrong = digests.iter().filter_map(|(path, found)| {
            let (wanted, found) = (*sums.0.get(path)?, *found);
            (wanted != found).then(|| Problem::Digest { path: path.clone(), wanted, found })
        });
        Problem::none_of(wrong.collect())?;
        Self::assemble(staging.path().to_owned(), sums, found.files, Vec::new(), Some(staging))
    }

    fn assemble(
        dir: PathBuf,
        sums: Sums,
        sizes: BTreeMap<RelPath, u64>,
        unread: Vec<RelPath>,
        staging: Option<Staging>,
    ) -> Result<Self, OpenError> {
        let bytes = folder::read_text(&dir, MANIFEST)?;
        let digest = Digest::of(&bytes);
        // The folder may have changed since its files were checked.
        let wanted = sums.0.get(MANIFEST).copied().ok_or(OpenError::NotABundle { dir: dir.clone() })?;
        if wanted != digest {
            let path = MANIFEST.parse().map_err(|_| OpenError::NotABundle { dir: dir.clone() })?;
            return Err(OpenError::Contents(vec![Problem::Digest { path, wanted, found: digest }]));
        }
        let manifest = manifest::read(&bytes)?;
        manifest::validate(&manifest, &sums, &sizes)?;
        Ok(Self { dir, manifest, text: bytes, digest, sums, sizes, unread, staging, origin: None })
    }
}

fn is_payload(path: &RelPath) -> bool {
    path.as_str().starts_with("objects/") || path.as_str() == "chom-install"
}

fn read_sums(dir: &Path) -> Result<Sums, OpenError> {
    let bytes = folder::read_text(dir, SUMS)?;
    let text = String::from_utf8(bytes).map_err(|_| OpenError::SumsNotText)?;
    Ok(Sums::parse(&text)?)
}

// SHA256SUMS covers every file, and nothing else is there: no further file, and no directory without a listed one.
fn compare_names(sums: &Sums, found: &folder::Found) -> Result<(), OpenError> {
    let outside = |path: &RelPath| path.as_str() == SUMS || path.as_str() == SIGNATURE;
    let listed = &sums.0;
    let missing =
        listed.keys().filter(|path| !found.files.contains_key(*path)).cloned().map(Problem::Missing);
    let listed_oddly = listed.keys().filter(|path| outside(path)).cloned().map(Problem::Extra);
    let extra = found.files.keys().filter(|path| !listed.contains_key(*path) && !outside(path));
    let holds_listed = |dir: &RelPath| {
        let first = format!("{dir}/");
        let from = (Bound::Included(first.as_str()), Bound::Unbounded);
        listed.range::<str, _>(from).next().is_some_and(|(path, _)| path.as_str().starts_with(&first))
    };
    let idle = found.dirs.iter().filter(|dir| !holds_listed(dir));
    let extra = extra.chain(idle).cloned().map(Problem::Extra);
    Problem::none_of(missing.chain(listed_oddly).chain(extra).collect())
}

#[cfg(test)]
mod tests;
