//! Reads a backup back: every byte of every file, and what is in it.
//!
//! First the file as it is stored, by its digest, so that nothing that was damaged or exchanged is even unpacked. Then,
//! for whoever has the key, what is in it: unsealed, unpacked, compared by its digest, and looked at as what it is said
//! to be: each entry of a tree, the table of contents or the last line of a dump.

use std::fmt;
use std::io::{self, BufReader, Read};

use chom_format::Digest;
use chom_format::backup::BackupSource;
use flate2::bufread::MultiGzDecoder;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::age::{FileKey, Identity, Opener};
use super::label::{Kept, Label, Sum, is_squeezed};
use super::shelf::Found;
use super::source;
use super::tree::Reader;
use crate::database::postgresql::HEAD;
use crate::resource::below;
use crate::sys::{Sys, SysError, interrupt};

const TAIL: usize = 256;

/// What is wrong with one file of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// Which file.
    pub file: String,
    /// In which respect.
    pub what: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file, self.what)
    }
}

/// What opens the files.
#[derive(Debug, Clone, Copy)]
pub enum Keys<'a> {
    /// Nothing: what is encrypted is not looked into.
    None,
    /// Those of recipients.
    Identities(&'a [Identity]),
    /// The file keys of the process that has just written them, in their order.
    Written(&'a [FileKey]),
}

/// How far a backup was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Depth {
    /// Every file as it is stored: it is encrypted, and nobody gave a key.
    Stored,
    /// What is in every file.
    Contents,
}

/// Reads all of a backup. How far, or all that is wrong with it.
pub fn verify(
    sys: &dyn Sys,
    found: &Found,
    keys: Keys<'_>,
    seen: &dyn Fn(&Kept),
) -> Result<Depth, Vec<Damage>> {
    let damage = |file: &str, what: String| Damage { file: file.to_owned(), what };
    let label = found.label.as_ref().map_err(|why| vec![damage("backup.json", why.clone())])?;
    let mut damages = Vec::new();
    for (number, kept) in label.parts.iter().enumerate() {
        seen(kept);
        if let Err(what) = part(sys, found, label, number, kept, keys) {
            damages.push(damage(kept.file.as_str(), what));
        }
    }
    if !damages.is_empty() {
        return Err(damages);
    }
    let closed = !label.recipients.is_empty() && matches!(keys, Keys::None);
    Ok(if closed { Depth::Stored } else { Depth::Contents })
}

fn part(
    sys: &dyn Sys,
    found: &Found,
    label: &Label,
    number: usize,
    kept: &Kept,
    keys: Keys<'_>,
) -> Result<(), String> {
    let path = below(&found.place, kept.file.as_str()).map_err(|error| error.to_string())?;
    let open = || sys.open(&path).map_err(|error| error.to_string());
    let (sha256, size) = Digest::of_reader(Heeding(open()?)).map_err(|error| error.to_string())?;
    compare("it", Sum { sha256, size }, kept.stored)?;
    if label.recipients.is_empty() {
        return contents(sys, kept, open()?);
    }
    let opened = match keys {
        Keys::None => return Ok(()),
        Keys::Identities(identities) => Opener::new(open()?, |header| header.unwrap(identities)),
        Keys::Written(keys) => Opener::new(open()?, |header| {
            let key = keys.get(number).ok_or_else(|| io::Error::other("its key is not known"))?;
            header.prove(key).map(|()| key.clone())
        }),
    };
    contents(sys, kept, Box::new(opened.map_err(|error| error.to_string())?))
}

fn contents(sys: &dyn Sys, kept: &Kept, stored: Box<dyn Read + '_>) -> Result<(), String> {
    let said = |error: &dyn fmt::Display| format!("its content cannot be read: {error}");
    let mut seen = Seen::new(clear(kept, stored));
    if let BackupSource::Paths(source) = &kept.part.source {
        let mut tree = Reader::new(Box::new(&mut seen), &source.paths);
        while tree.next_entry().map_err(|error| said(&error))?.is_some() {}
    }
    io::copy(&mut seen, &mut io::sink()).map_err(|error| said(&error))?;
    let sum = seen.sum();
    compare("its content", sum, kept.clear)?;
    source::look(sys, &kept.part, &seen.head, &seen.tail)
}

/// What a file holds, unpacked; unsealed before.
pub(super) fn clear<'a>(kept: &Kept, stored: Box<dyn Read + 'a>) -> Box<dyn Read + 'a> {
    match is_squeezed(&kept.part.source) {
        true => Box::new(MultiGzDecoder::new(BufReader::with_capacity(64 << 10, stored))),
        false => stored,
    }
}

fn compare(what: &str, found: Sum, wanted: Sum) -> Result<(), String> {
    if found.size != wanted.size {
        return Err(format!("{what} has {} bytes, and had {} when it was made", found.size, wanted.size));
    }
    if found.sha256 != wanted.sha256 {
        return Err(format!(
            "{what} is not what was written: sha256 {} instead of {}",
            found.sha256, wanted.sha256
        ));
    }
    Ok(())
}

/// Counts what is read, and keeps its ends.
pub(super) struct Seen<'a> {
    input: Box<dyn Read + 'a>,
    hash: Sha256,
    size: u64,
    head: Vec<u8>,
    tail: Vec<u8>,
}

impl<'a> Seen<'a> {
    pub(super) fn new(input: Box<dyn Read + 'a>) -> Self {
        Self { input, hash: Sha256::new(), size: 0, head: Vec::new(), tail: Vec::new() }
    }

    pub(super) fn sum(&self) -> Sum {
        let bytes: [u8; 32] = self.hash.clone().finalize().into();
        Sum { sha256: bytes.into(), size: self.size }
    }
}

impl Read for Seen<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        heed()?;
        let count = self.input.read(out)?;
        let bytes = out.get(..count).unwrap_or_default();
        self.hash.update(bytes);
        self.size += count as u64;
        let room = HEAD - self.head.len();
        self.head.extend(bytes.iter().take(room));
        self.tail.extend(bytes.iter().skip(count.saturating_sub(TAIL)));
        let older = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..older);
        Ok(count)
    }
}

/// Ends when a signal has come.
struct Heeding<R>(R);

impl<R: Read> Read for Heeding<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        heed()?;
        self.0.read(out)
    }
}

fn heed() -> io::Result<()> {
    interrupt::check().map_err(|error: SysError| io::Error::other(error.to_string()))
}
