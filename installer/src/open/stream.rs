//! A tarball on its way into the staging directory: one pass, each digest taken while the bytes go by.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};

use chom_format::archive::{ArchiveError, Kind, Limits, Reader};
use chom_format::sums::Sums;
use chom_format::{Digest, RelPath};

use super::staging::Staging;
use super::{LONGEST_TEXT, OpenError, Problem, SUMS};

/// Unpacks into an empty directory and gives every file's digest.
pub(super) fn unpack(
    input: impl Read,
    staging: &Staging,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<BTreeMap<RelPath, Digest>, OpenError> {
    let counted = Counted { inner: input, seen: AtomicU64::new(0), progress };
    let mut reader = Reader::new(counted, Limits::default())?;
    let mut files = BTreeMap::new();
    let mut sums: Option<Sums> = None;
    while let Some(mut entry) = reader.next_entry()? {
        if entry.kind == Kind::Dir {
            staging.make_dir(&entry.path)?;
            continue;
        }
        if entry.path.as_str() == SUMS && entry.size > LONGEST_TEXT {
            return Err(ArchiveError::Limit { what: "bytes of SHA256SUMS", limit: LONGEST_TEXT }.into());
        }
        let path = entry.path.clone();
        let mode = if entry.mode.bits() & 0o100 == 0 { 0o600 } else { 0o700 };
        let digest = entry.copy_to(&mut staging.create(&path, mode)?)?;
        // The list comes early in our own archives, so a wrong file ends the reading at once.
        if let Some(wanted) =
            sums.as_ref().and_then(|sums| sums.0.get(&path)).filter(|wanted| **wanted != digest)
        {
            let problem = Problem::Digest { path, wanted: *wanted, found: digest };
            return Err(OpenError::Contents(vec![problem]));
        }
        if path.as_str() == SUMS {
            sums = Some(super::read_sums(staging.path())?);
        }
        files.insert(path, digest);
    }
    Ok(files)
}

struct Counted<'a, R> {
    inner: R,
    seen: AtomicU64,
    progress: &'a (dyn Fn(u64) + Sync),
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(out)?;
        (self.progress)(self.seen.fetch_add(n as u64, Ordering::Relaxed) + n as u64);
        Ok(n)
    }
}
