//! The system as it was, with copies of what cannot be had again.
//!
//! The copies are one object: ten thousand small files would be ten thousand syncs.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read as _, Write as _};

use chom_format::digest::Hasher;
use chom_format::{Digest, HostPath, PackageName};
use serde::{Deserialize, Serialize};

use super::super::Store;
use super::areas;
use super::entry::Scan;
use super::packages::{Installed, owned_paths};
use crate::sys::{Kind, Source, Sys, SysError};

// What is larger is no index or cache that a trigger makes anew in passing.
const LARGEST_GENERATED: u64 = 64 << 20;

/// The state from before.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Before {
    pub(super) scan: Scan,
    /// Where in the blob the content of a file lies.
    pub(super) copies: BTreeMap<HostPath, Copy>,
    pub(super) blob: Digest,
    /// What dpkg had installed.
    pub(super) packages: Installed,
    /// The users that there were.
    pub(super) uids: BTreeSet<u32>,
}

/// A stretch of the blob.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Copy {
    pub(super) offset: u64,
    pub(super) size: u64,
    pub(super) sha256: Digest,
}

impl Before {
    /// Looks, and copies into the store.
    pub(super) fn take(sys: &mut dyn Sys, store: &Store, replaces: &[PackageName]) -> Result<Self, SysError> {
        let scan = Scan::take(sys, None)?;
        let packages = Installed::read(sys)?;
        let paths = worth_copying(sys, &scan, replaces)?;
        let mut copies = BTreeMap::new();
        let mut whole = Hasher::new(io::sink());
        let mut offset = 0;
        for path in &paths {
            let (sha256, size) = hash(sys, path, &mut whole)?;
            copies.insert(path.clone(), Copy { offset, size, sha256 });
            offset += size;
        }
        let (blob, _, _) = whole.finish();
        // Should a file change between the two readings, the digest tells, and the run ends before it began.
        store.keep(sys, Source::Joined { paths: &paths, sha256: blob }, blob)?;
        Ok(Self { scan, copies, blob, packages, uids: super::claims::uids(sys)? })
    }
}

/// What a file held before; nothing when it was not there.
pub(super) fn text(
    sys: &dyn Sys,
    store: &Store,
    before: &Before,
    path: &HostPath,
) -> Result<String, SysError> {
    let Some(copy) = before.copies.get(path) else { return Ok(String::new()) };
    let blob = store.object(&before.blob)?;
    let mut file = sys.open(&blob)?;
    let mut bytes = Vec::new();
    io::copy(&mut file.by_ref().take(copy.offset), &mut io::sink())
        .and_then(|_| file.take(copy.size).read_to_end(&mut bytes))
        .map_err(SysError::io("read", &blob))?;
    let found = Digest::of(&bytes);
    if found != copy.sha256 {
        return Err(SysError::Digest { object: blob.to_string(), wanted: copy.sha256, found });
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn hash(sys: &dyn Sys, path: &HostPath, whole: &mut Hasher<io::Sink>) -> Result<(Digest, u64), SysError> {
    let mut file = sys.open(path)?;
    let mut own = Hasher::new(io::sink());
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = file.read(&mut buffer).map_err(SysError::io("read", path))?;
        let Some(bytes @ [_, ..]) = buffer.get(..count) else { break };
        own.write_all(bytes).and_then(|()| whole.write_all(bytes)).map_err(SysError::io("hash", path))?;
    }
    let (sha256, size, _) = own.finish();
    Ok((sha256, size))
}

/// The files whose content may be lost: all in the copied directories, those of packages that will be
/// replaced, and those in `/usr` that no package owns, for triggers make them anew.
fn worth_copying(sys: &dyn Sys, scan: &Scan, replaces: &[PackageName]) -> Result<Vec<HostPath>, SysError> {
    let owned = owned_paths(sys, scan)?;
    let mut replaced = BTreeSet::new();
    for package in replaces {
        replaced.extend(super::packages::listed(sys, scan, package)?);
    }
    let worth = |(path, entry): &(&HostPath, &super::entry::Entry)| {
        let text = path.as_str();
        let unowned =
            || areas::is_generated(text) && entry.size <= LARGEST_GENERATED && !owned.contains(text);
        entry.kind == Kind::File && (areas::is_copied(text) || replaced.contains(text) || unowned())
    };
    Ok(scan.0.iter().filter(worth).map(|(path, _)| path.clone()).collect())
}
