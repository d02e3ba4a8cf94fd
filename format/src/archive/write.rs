//! Writes the archive. The same calls give the same bytes on any machine, any path, any day.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};

use super::error::{ArchiveError, Refusal};
use super::gzip::{Packing, Squeezer, write_member};
use super::header::{Header, Kind};
use super::seal::{Sealing, seal};
use super::{BLOCK, padding};
use crate::mode::Mode;
use crate::path::RelPath;

/// The time of every entry when the builder names none: 2000-01-01. Zero would make GNU tar complain.
pub const DEFAULT_MTIME: u64 = 946_684_800;

/// The largest time that [`Writer::new`] takes.
pub const LARGEST_MTIME: u64 = super::header::LARGEST;

const DIR_MODE: u32 = 0o755;

/// Writes one archive, entry by entry, in the caller's order; directories are added by themselves.
pub struct Writer<W> {
    out: W,
    top: RelPath,
    mtime: u64,
    dirs: BTreeSet<String>,
    squeezer: Squeezer,
}

impl<W: Sealing> Writer<W> {
    /// Begins an archive with one top folder; `mtime` is in seconds since 1970.
    pub fn new(out: W, top: &RelPath, mtime: u64) -> Result<Self, ArchiveError> {
        let squeezer = Squeezer::new();
        let mut writer = Self { out, top: top.clone(), mtime, dirs: BTreeSet::new(), squeezer };
        if top.as_str().contains('/') {
            let reason = Refusal::Path("the top folder is one name".to_owned());
            return Err(ArchiveError::Member { member: top.to_string(), reason });
        }
        writer.dir(top.as_str())?;
        Ok(writer)
    }

    /// Adds a small file: header and content in one squeezed member.
    pub fn file(&mut self, path: &RelPath, mode: Mode, bytes: &[u8]) -> Result<(), ArchiveError> {
        let size = bytes.len() as u64;
        let mut entry = self.header(path, mode, size)?;
        entry.extend(bytes);
        entry.resize(entry.len() + padding(size) as usize, 0);
        self.member(path.as_str(), &entry)
    }

    /// Adds a payload whose content is a gzip member already, made by [`write_body`]; copied as it is.
    pub fn payload(
        &mut self,
        path: &RelPath,
        mode: Mode,
        size: u64,
        copy: impl FnOnce(&mut W) -> io::Result<()>,
    ) -> Result<(), ArchiveError> {
        let header = self.header(path, mode, size)?;
        // Stored: squeezing ten thousand headers would save three megabytes and cost more than all copying.
        write_member(&header[..], Packing::Stored, &mut self.out)
            .map_err(|source| ArchiveError::Write { what: format!("`{path}`"), source })?;
        if size == 0 {
            return Ok(());
        }
        copy(&mut self.out).map_err(|source| ArchiveError::Write { what: format!("`{path}`"), source })
    }

    /// Writes the end mark and the seal, and gives the output back.
    pub fn finish(mut self) -> Result<W, ArchiveError> {
        self.member("the end mark", &[0; 2 * BLOCK])?;
        let sealed = self.out.digest().and_then(|digest| self.out.write_all(&seal(&digest)));
        sealed
            .and_then(|()| self.out.flush())
            .map_err(|source| ArchiveError::Write { what: "the archive".to_owned(), source })?;
        Ok(self.out)
    }

    fn header(&mut self, path: &RelPath, mode: Mode, size: u64) -> Result<Vec<u8>, ArchiveError> {
        let full = self.top.join(path);
        let parents: Vec<&str> =
            full.as_str().match_indices('/').filter_map(|(at, _)| full.as_str().get(..at)).collect();
        for parent in parents {
            if !self.dirs.contains(parent) {
                self.dir(parent)?;
            }
        }
        self.encode(Header {
            path: full.to_string(),
            kind: Kind::File,
            mode: Mode::from_bits(mode.bits() & 0o777),
            size,
            mtime: self.mtime,
        })
    }

    fn dir(&mut self, path: &str) -> Result<(), ArchiveError> {
        let mode = Mode::from_bits(DIR_MODE);
        let header = Header { path: path.to_owned(), kind: Kind::Dir, mode, size: 0, mtime: self.mtime };
        let bytes = self.encode(header)?;
        self.dirs.insert(path.to_owned());
        self.member(path, &bytes)
    }

    fn encode(&self, header: Header) -> Result<Vec<u8>, ArchiveError> {
        header.encode().map_err(|reason| ArchiveError::Member { member: header.path.clone(), reason })
    }

    fn member(&mut self, what: &str, bytes: &[u8]) -> Result<(), ArchiveError> {
        let written = self.squeezer.write(bytes, &mut self.out);
        written.map_err(|source| ArchiveError::Write { what: format!("`{what}`"), source })
    }
}

/// Writes the gzip member of a payload's content: the bytes and the zeros up to the next block. It depends on
/// nothing but them, so one member serves every bundle. Fails when `content` has another length than `size`.
pub fn write_body(
    content: impl Read,
    size: u64,
    packing: Packing,
    out: &mut impl Write,
) -> Result<(), ArchiveError> {
    if size == 0 {
        return Ok(());
    }
    let whole = size + padding(size);
    // One byte more than wanted is let through, so that a content that grew is noticed.
    let padded = content.take(size + 1).chain(io::repeat(0).take(padding(size)));
    let found = write_member(padded, packing, out)
        .map_err(|source| ArchiveError::Write { what: "a payload".to_owned(), source })?;
    if found == whole {
        return Ok(());
    }
    let found = found.saturating_sub(padding(size));
    Err(ArchiveError::Member {
        member: "payload".to_owned(),
        reason: Refusal::Length { wanted: size, found },
    })
}
