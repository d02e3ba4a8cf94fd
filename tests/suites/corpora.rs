//! What fuzzing has kept is read again in every run, without a nightly compiler: each file by the reader that it was
//! kept for, in a process of its own that may not have more than 256 MB.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use chom_tests::checkout;
use chom_tests::readers::READERS;

/// The longest that one file may take, on a busy machine and without optimisation.
const LONGEST: Duration = Duration::from_secs(10);
const MOST_MEMORY: u64 = 256 << 10;

fn kept(reader: &str) -> Vec<PathBuf> {
    let dir = checkout().join("fuzz/corpus").join(reader);
    let entries = fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    files
}

#[test]
fn what_was_kept_is_read_soon_and_in_little_memory() {
    for (name, read) in READERS {
        let files = kept(name);
        assert!(files.len() >= 3, "only {} files are kept for {name}", files.len());
        for file in files {
            let bytes = fs::read(&file).unwrap();
            let begun = Instant::now();
            read(&bytes);
            assert!(begun.elapsed() < LONGEST, "{} took {:?}", file.display(), begun.elapsed());
        }
    }
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < MOST_MEMORY, "{peak} KiB were needed");
}

/// What comes with a checkout stays small.
#[test]
fn what_is_kept_is_small() {
    let sizes = READERS.iter().flat_map(|(name, _)| kept(name)).map(|file| fs::metadata(file).unwrap().len());
    let all: u64 = sizes.sum();
    assert!(all < 500_000, "{all} bytes");
}
