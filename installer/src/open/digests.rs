//! Many digests at once: as many threads as processors, each with one small buffer.

use std::io::{self, Read};
use std::num::NonZero;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use chom_format::digest::Hasher;
use chom_format::{Digest, RelPath};

use super::{OpenError, Problem, folder};

const BUFFER: usize = 256 << 10;
// More threads than this are not fed by any disk.
const MOST_THREADS: usize = 8;
// Below this a thread costs more than it brings.
const WORTH_A_THREAD: u64 = 1 << 20;

/// Reads each file and compares. All files are read, so that all faults are told at once.
pub(super) fn check(
    dir: &Path,
    mut files: Vec<(&RelPath, Digest, u64)>,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<(), OpenError> {
    // The largest first, so that no thread is left with one at the end.
    files.sort_by_key(|(path, _, size)| (std::cmp::Reverse(*size), *path));
    let total: u64 = files.iter().map(|(_, _, size)| size).sum();
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(MOST_THREADS).min(files.len());
    let (next, done) = (AtomicUsize::new(0), AtomicU64::new(0));
    let faults = Mutex::new(Vec::new());
    let failure = Mutex::new(None);
    let work = || {
        let mut buffer = vec![0; BUFFER];
        while let Some((path, wanted, size)) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            let report = |bytes| progress(done.fetch_add(bytes, Ordering::Relaxed) + bytes);
            match digest(dir, path, *size, &mut buffer, &report) {
                Ok(found) if found == *wanted => {}
                Ok(found) => {
                    let fault = Problem::Digest { path: (*path).clone(), wanted: *wanted, found };
                    faults.lock().unwrap_or_else(PoisonError::into_inner).push(fault);
                }
                Err(error) => {
                    failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                }
            }
        }
    };
    if total < WORTH_A_THREAD || threads < 2 {
        work();
    } else {
        thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    }
    if let Some(error) = failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    let mut faults = faults.into_inner().unwrap_or_else(PoisonError::into_inner);
    faults.sort_by_key(ToString::to_string);
    Problem::none_of(faults)
}

fn digest(
    dir: &Path,
    path: &RelPath,
    size: u64,
    buffer: &mut [u8],
    report: &dyn Fn(u64),
) -> Result<Digest, OpenError> {
    let file = folder::open(dir, path.as_str())?;
    let mut hasher = Hasher::new(io::sink());
    // A file that grows while it is read ends as a wrong digest, and not never.
    let mut file = file.take(size + 1);
    loop {
        let n = match file.read(buffer) {
            Ok(0) => break,
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(OpenError::io("read", dir.join(path.as_str()))(error)),
        };
        io::Write::write_all(&mut hasher, buffer.get(..n).unwrap_or_default())
            .map_err(OpenError::io("read", dir.join(path.as_str())))?;
        report(n as u64);
    }
    Ok(hasher.finish().0)
}
