//! Unseals and unpacks parts beside the store, and compares them: no step ever meets a byte that is not the backup's.

use std::io::{self, Write};

use chom_format::backup::BackupSource;
use chom_format::{Digest, HostPath, PartName};

use super::super::age::{Identity, Opener};
use super::super::error::BackupError;
use super::super::label::Kept;
use super::super::shelf::Found;
use super::super::tree::{Entry, Reader};
use super::super::verify::{Seen, clear};
use crate::resource::{below, private, remove_tree};
use crate::sys::{Effect, Make, Source, Sys, SysError};
use crate::transaction::Files;

/// A part in clear on this host.
#[derive(Debug, Clone)]
pub struct Staged {
    /// What it is.
    pub kept: Kept,
    /// The backup that it is of.
    pub backup: u64,
    /// Its bytes.
    pub path: HostPath,
    /// What is in it, when it is a tree: each path with the place and digest of its content.
    pub tree: Vec<(Entry, u64, Digest)>,
}

/// Takes away what a restore that was cut off has left.
pub fn sweep(sys: &mut dyn Sys, files: &Files) -> Result<(), SysError> {
    remove_tree(sys, &below(files.root(), "restore")?)
}

/// Puts the chosen parts of a backup that was verified beside the store.
pub fn stage(
    sys: &mut dyn Sys,
    files: &Files,
    found: &Found,
    only: &[PartName],
    identities: &[Identity],
) -> Result<Vec<Staged>, BackupError> {
    let label = found.label.as_ref().map_err(|why| BackupError::NotNow(vec![why.clone()]))?;
    let missing = only.iter().find(|name| !label.parts.iter().any(|kept| kept.part.name == **name));
    if let Some(name) = missing {
        let parts = label.parts.iter().map(|kept| kept.part.name.to_string()).collect();
        return Err(BackupError::NoPart { id: found.id, name: name.to_string(), parts });
    }
    sweep(sys, files)?;
    let dir = below(files.root(), "restore")?;
    sys.effect(&Effect::MakeDir { path: &dir, attrs: &private(0o700) })?;
    let chosen = label.parts.iter().filter(|kept| only.is_empty() || only.contains(&kept.part.name));
    let mut staged = Vec::new();
    for kept in chosen {
        let path = below(&dir, kept.part.name.as_str())?;
        let stored = below(&found.place, kept.file.as_str())?;
        let unpacking =
            Unpacking { kept, stored, identities: (!label.recipients.is_empty()).then_some(identities) };
        let source = Source::Made(&unpacking);
        sys.effect(&Effect::Write { path: &path, source, attrs: &private(0o600) })?;
        let tree = index(sys, kept, &path)?;
        staged.push(Staged { kept: kept.clone(), backup: found.id, path, tree });
    }
    Ok(staged)
}

fn index(sys: &dyn Sys, kept: &Kept, path: &HostPath) -> Result<Vec<(Entry, u64, Digest)>, SysError> {
    let BackupSource::Paths(source) = &kept.part.source else { return Ok(Vec::new()) };
    let io = |error| SysError::io("read", path)(error);
    let mut reader =
        Reader::new(Box::new(io::BufReader::with_capacity(64 << 10, sys.open(path)?)), &source.paths);
    let mut tree = Vec::new();
    while let Some((entry, offset)) =
        reader.next_entry().map_err(|error| io(io::Error::other(error.to_string())))?
    {
        let (digest, _) = Digest::of_reader(reader.content()).map_err(io)?;
        tree.push((entry, offset, digest));
    }
    Ok(tree)
}

/// Writes a part in clear.
#[derive(Debug)]
struct Unpacking<'a> {
    kept: &'a Kept,
    stored: HostPath,
    /// None when it is not encrypted.
    identities: Option<&'a [Identity]>,
}

impl Make for Unpacking<'_> {
    fn make(&self, sys: &dyn Sys, out: &mut dyn Write) -> Result<(), SysError> {
        let io = |error| SysError::io("unpack", &self.stored)(error);
        let stored = sys.open(&self.stored)?;
        let mut seen = match self.identities {
            None => Seen::new(clear(self.kept, stored)),
            Some(identities) => {
                let opener = Opener::new(stored, |header| header.unwrap(identities)).map_err(io)?;
                Seen::new(clear(self.kept, Box::new(opener)))
            }
        };
        io::copy(&mut seen, out).map_err(io)?;
        let found = seen.sum();
        if found != self.kept.clear {
            let (wanted, found) = (self.kept.clear.sha256, found.sha256);
            return Err(SysError::Digest { object: self.stored.to_string(), wanted, found });
        }
        Ok(())
    }
}
