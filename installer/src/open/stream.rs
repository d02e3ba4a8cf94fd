//! A tarball on its way into the staging directory: one pass, each digest taken while the bytes go by.

#![allow(
    clippy::disallowed_methods,
    reason = "a bundle lies where the operator says; what others can change there is copied before it is believed"
)]

use std::collections::BTreeMap;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use chom_format::archive::{ArchiveError, Kind, Limits, Reader};
use chom_format::sums::Sums;
use chom_format::{Digest, RelPath};

use super::{LONGEST_TEXT, OpenError, Problem, SUMS};

/// Unpacks into the empty directory `dir` and gives every file's digest.
pub(super) fn unpack(
    input: impl Read,
    dir: &Path,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<BTreeMap<RelPath, Digest>, OpenError> {
    let counted = Counted { inner: input, seen: AtomicU64::new(0), progress };
    let mut reader = Reader::new(counted, Limits::default())?;
    let mut files = BTreeMap::new();
    let mut sums: Option<Sums> = None;
    while let Some(mut entry) = reader.next_entry()? {
        let to = entry.path.under(dir);
        if entry.kind == Kind::Dir {
            DirBuilder::new().mode(0o700).create(&to).map_err(OpenError::io("unpack to", to))?;
            continue;
        }
        if entry.path.as_str() == SUMS && entry.size > LONGEST_TEXT {
            return Err(ArchiveError::Limit { what: "bytes of SHA256SUMS", limit: LONGEST_TEXT }.into());
        }
        let path = entry.path.clone();
        let mode = if entry.mode.bits() & 0o100 == 0 { 0o600 } else { 0o700 };
        let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&to);
        let digest = entry.copy_to(&mut file.map_err(OpenError::io("unpack to", &to))?)?;
        // The list comes early in our own archives, so a wrong file ends the reading at once.
        if let Some(wanted) =
            sums.as_ref().and_then(|sums| sums.0.get(&path)).filter(|wanted| **wanted != digest)
        {
            let problem = Problem::Digest { path, wanted: *wanted, found: digest };
            return Err(OpenError::Contents(vec![problem]));
        }
        if path.as_str() == SUMS {
            sums = Some(super::read_sums(dir)?);
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
