//! Every reader of foreign bytes, called as the product calls it. The fuzz targets call these, and so does the test
//! that reads what fuzzing has kept: whatever the bytes are, the answer is a value or an error, soon and in little
//! memory, and never a panic.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;

use chom_bundle::lock::LockFile;
use chom_format::archive::{Limits, Reader};
use chom_install::journal::{BootTime, decode, fold};
use chom_install::open::{Bundle, Source, read_manifest};
use chom_install::receipt::Receipt;

/// Takes any bytes.
pub type Read = fn(&[u8]);

/// By name, as the folders of what is kept are called.
pub const READERS: [(&str, Read); 6] = [
    ("bundle", bundle),
    ("manifest", manifest),
    ("journal", journal),
    ("receipt", receipt),
    ("inventory", inventory),
    ("lock", lock),
];

/// A tarball: first its form alone, to the end; then as `install --bundle FILE` opens it.
pub fn bundle(bytes: &[u8]) {
    let reads = Reader::new(bytes, Limits::default()).is_ok_and(through);
    let file = tempfile::NamedTempFile::new().unwrap_or_else(|error| panic!("{error}"));
    fs::write(file.path(), bytes).unwrap_or_else(|error| panic!("{error}"));
    let opened = Bundle::open(&Source::Tarball(file.path().to_owned()), &|_| {});
    assert!(reads || opened.is_err(), "opened, and yet it is no archive");
}

fn through(mut reader: Reader<&[u8]>) -> bool {
    loop {
        match reader.next_entry() {
            Ok(Some(mut entry)) => {
                if entry.copy_to(&mut io::sink()).is_err() {
                    return false;
                }
            }
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}

/// The manifest of a bundle, after its digest was found to be right.
pub fn manifest(bytes: &[u8]) {
    if let Ok(manifest) = read_manifest(bytes) {
        let again = serde_json::to_vec(&manifest).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(read_manifest(&again).ok().as_ref(), Some(&manifest), "written and read again");
    }
}

/// The journal of a transaction, and what it amounts to.
pub fn journal(bytes: &[u8]) {
    if let Ok(decoded) = decode(bytes) {
        let state = fold(&decoded.records);
        let now = BootTime { boot_id: String::new(), ms: u64::MAX };
        assert!(!state.is_open() || !state.stands());
        assert!(decoded.tail.length + decoded.torn == bytes.len() as u64);
        let _ = state.awaits_ms(&now);
    }
}

/// The receipt of a transaction.
pub fn receipt(bytes: &[u8]) {
    if let Ok(receipt) = Receipt::parse(bytes) {
        let again = receipt.to_bytes().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(Receipt::parse(&again).ok(), Some(receipt), "written and read again");
    }
}

/// An inventory, and what is said about its mistakes.
pub fn inventory(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut said = String::new();
    match chom_bundle::inventory::load::parse("inventory.yaml", text.into()) {
        Ok(read) => read.problems.iter().for_each(|problem| {
            let _ = write!(said, "{problem}");
        }),
        Err(problems) => {
            let _ = write!(said, "{problems}");
        }
    }
}

/// A lock file.
pub fn lock(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(read) = LockFile::parse(text, Path::new("chom.lock")) {
        let again = LockFile::parse(&read.lock.to_yaml(), Path::new("chom.lock"));
        assert_eq!(again.ok().map(|again| again.lock), Some(read.lock), "written and read again");
    }
}
