//! Reads an archive and trusts nothing in it: one pass, constant memory, each member checked before it is given out.
//!
//! ```no_run
//! # use chom_format::archive::{ArchiveError, Kind, Limits, Reader};
//! # fn main() -> Result<(), ArchiveError> {
//! let mut reader = Reader::new(std::io::stdin(), Limits::default())?;
//! while let Some(mut entry) = reader.next_entry()? {
//!     if entry.kind == Kind::File {
//!         let digest = entry.copy_to(&mut std::io::sink())?;
//!     }
//! }
//! # Ok(()) }
//! ```
//! The archive is whole only when `next_entry` has given `None`: until then no byte of it is to be used.

use std::io::{self, BufReader, Chain, Cursor, Read, Write};

use super::error::{ArchiveError, Refusal};
use super::gzip::{Members, is_gzip};
use super::header::{Header, Kind, Raw, pax_path};
use super::seen::Seen;
use super::{BLOCK, padding};
use crate::digest::{Digest, Hasher};
use crate::mode::Mode;
use crate::path::RelPath;

const BUFFER: usize = 128 * 1024;

/// How much an archive may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Files and directories. The largest payload known, a dashboard program with its web files, has 12 000.
    pub entries: u64,
    /// Bytes of one file.
    pub member: u64,
    /// Bytes of all files.
    pub total: u64,
}

impl Default for Limits {
    /// 65 536 entries, 4 GiB a file, 16 GiB in all.
    fn default() -> Self {
        Self { entries: 65_536, member: 4 << 30, total: 16 << 30 }
    }
}

// The first two bytes were read to tell gzip from tar, and stand in front again.
type Input<R> = BufReader<Chain<Cursor<[u8; 2]>, R>>;

enum Source<R> {
    Gzip(Box<Members<Input<R>>>),
    Plain(Input<R>),
}

impl<R: Read> Read for Source<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Gzip(members) => members.read(out),
            Self::Plain(plain) => plain.read(out),
        }
    }
}

/// A reader of one archive, gzip or plain tar.
pub struct Reader<R> {
    source: Source<R>,
    limits: Limits,
    seen: Seen,
    top: RelPath,
    mtime: u64,
    entries: u64,
    total: u64,
    // Of the current member: its path, and the content and padding not yet read.
    current: String,
    content_left: u64,
    padding_left: u64,
    ended: bool,
}

impl<R: Read> Reader<R> {
    /// Begins to read: the first entry must be the top folder.
    pub fn new(mut input: R, limits: Limits) -> Result<Self, ArchiveError> {
        let mut start = [0; 2];
        input.read_exact(&mut start).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => ArchiveError::NotAnArchive,
            _ => ArchiveError::Read(error),
        })?;
        let input = BufReader::with_capacity(BUFFER, Cursor::new(start).chain(input));
        let source =
            if is_gzip(&start) { Source::Gzip(Box::new(Members::new(input))) } else { Source::Plain(input) };
        let is_plain = matches!(source, Source::Plain(_));
        let mut reader = Self {
            source,
            limits,
            seen: Seen::default(),
            top: "-".parse().map_err(|_| ArchiveError::NotAnArchive)?,
            mtime: 0,
            entries: 0,
            total: 0,
            current: "its beginning".to_owned(),
            content_left: 0,
            padding_left: 0,
            ended: false,
        };
        match reader.begin() {
            Ok(()) => Ok(reader),
            // Nothing says that a short text was meant to be a tar.
            Err(ArchiveError::Truncated { .. }) if is_plain => Err(ArchiveError::NotAnArchive),
            Err(error) => Err(error),
        }
    }

    /// The one folder that everything lies in.
    pub fn top(&self) -> &RelPath {
        &self.top
    }

    /// The next member, or none when the archive has come to its proper end. What was left unread of the
    /// member before is skipped, and checked all the same.
    pub fn next_entry(&mut self) -> Result<Option<Entry<'_, R>>, ArchiveError> {
        if self.ended {
            return Ok(None);
        }
        io::copy(&mut Content(self), &mut io::sink()).map_err(ArchiveError::from_io)?;
        self.skip_padding()?;
        let Some(header) = self.header()? else {
            self.end()?;
            return Ok(None);
        };
        if header.mtime != self.mtime {
            return Err(self.refuse(Refusal::Form));
        }
        let path = self.inside(&header)?;
        self.account(&header)?;
        self.content_left = header.size;
        self.padding_left = padding(header.size);
        Ok(Some(Entry { path, kind: header.kind, mode: header.mode, size: header.size, reader: self }))
    }

    fn begin(&mut self) -> Result<(), ArchiveError> {
        let header = match self.header() {
            Ok(Some(header)) => header,
            Ok(None) => return Err(ArchiveError::NotAnArchive),
            Err(ArchiveError::Member { reason: Refusal::Checksum, .. }) => {
                return Err(ArchiveError::NotAnArchive);
            }
            Err(error) => return Err(error),
        };
        let top: RelPath = self.path(&header.path)?;
        if header.kind != Kind::Dir || header.path.contains('/') {
            return Err(self.refuse(Refusal::NoParent));
        }
        self.account(&header)?;
        self.top = top;
        self.mtime = header.mtime;
        Ok(())
    }

    // The next header, in the writer's form to the last byte; none at the end mark.
    fn header(&mut self) -> Result<Option<Header>, ArchiveError> {
        let mut block = [0; BLOCK];
        self.exact(&mut block)?;
        if Raw(&block).is_zero() {
            return Ok(None);
        }
        self.current = format!("entry {}", self.entries + 1);
        Raw(&block).verify_sum().map_err(|reason| self.refuse(reason))?;
        let mut bytes = block.to_vec();
        let mut long_path = None;
        if let Some(length) = Raw(&block).pax_length().map_err(|reason| self.refuse(reason))? {
            let mut payload = vec![0; (length + padding(length)) as usize];
            self.exact(&mut payload)?;
            let record = payload.get(..length as usize).unwrap_or_default();
            long_path = Some(pax_path(record).ok_or_else(|| self.refuse(Refusal::Pax))?);
            self.exact(&mut block)?;
            bytes.extend(payload);
            bytes.extend(block);
        }
        if let Some(name) = long_path.clone().or_else(|| Raw(&block).name().ok()) {
            self.current = name.chars().filter(|c| !c.is_control()).take(300).collect();
        }
        let header = Raw(&block).parse(long_path).map_err(|reason| self.refuse(reason))?;
        self.path(&header.path)?;
        match header.encode() {
            Ok(again) if again == bytes => Ok(Some(header)),
            _ => Err(self.refuse(Refusal::Form)),
        }
    }

    fn path(&self, text: &str) -> Result<RelPath, ArchiveError> {
        text.parse().map_err(|error: crate::path::PathError| self.refuse(Refusal::Path(error.to_string())))
    }

    fn inside(&self, header: &Header) -> Result<RelPath, ArchiveError> {
        match header.path.split_once('/') {
            Some((top, rest)) if top == self.top.as_str() => self.path(rest),
            None if header.path == self.top.as_str() => Err(self.refuse(Refusal::Duplicate)),
            _ => Err(self.refuse(Refusal::Outside(self.top.to_string()))),
        }
    }

    fn account(&mut self, header: &Header) -> Result<(), ArchiveError> {
        self.entries += 1;
        self.total = self.total.saturating_add(header.size);
        let Limits { entries, member, total } = self.limits;
        if self.entries > entries {
            return Err(ArchiveError::Limit { what: "entries", limit: entries });
        }
        if header.size > member {
            return Err(ArchiveError::Limit { what: "bytes in one file", limit: member });
        }
        if self.total > total {
            return Err(ArchiveError::Limit { what: "bytes", limit: total });
        }
        self.seen.insert(&header.path, header.kind).map_err(|reason| self.refuse(reason))
    }

    fn skip_padding(&mut self) -> Result<(), ArchiveError> {
        let mut padding = [0; BLOCK];
        let length = self.padding_left as usize;
        let padding = padding.get_mut(..length).unwrap_or_default();
        self.exact(padding)?;
        if padding.iter().any(|byte| *byte != 0) {
            return Err(self.refuse(Refusal::Padding));
        }
        self.padding_left = 0;
        Ok(())
    }

    // Behind the first zero block: a second one, and then nothing but the seal.
    fn end(&mut self) -> Result<(), ArchiveError> {
        self.current = "the end mark".to_owned();
        let mut block = [0; BLOCK];
        self.exact(&mut block)?;
        if !Raw(&block).is_zero() {
            return Err(ArchiveError::Trailing);
        }
        self.current = "the seal".to_owned();
        match self.source.read(&mut block) {
            Ok(0) => {
                self.ended = true;
                Ok(())
            }
            Ok(_) => Err(ArchiveError::Trailing),
            Err(error) => Err(ArchiveError::reading(error, &self.current)),
        }
    }

    fn exact(&mut self, bytes: &mut [u8]) -> Result<(), ArchiveError> {
        self.source.read_exact(bytes).map_err(|error| ArchiveError::reading(error, &self.current))
    }

    fn refuse(&self, reason: Refusal) -> ArchiveError {
        ArchiveError::Member { member: self.current.clone(), reason }
    }
}

// The content of the current member.
struct Content<'a, R>(&'a mut Reader<R>);

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let reader = &mut *self.0;
        let wanted = out.len().min(usize::try_from(reader.content_left).unwrap_or(usize::MAX));
        if wanted == 0 {
            return Ok(0);
        }
        let out = out.get_mut(..wanted).unwrap_or_default();
        match reader.source.read(out) {
            Ok(0) => {
                let member = format!("`{}`", reader.current);
                Err(io::Error::new(io::ErrorKind::InvalidData, ArchiveError::Truncated { member }))
            }
            Ok(n) => {
                reader.content_left -= n as u64;
                Ok(n)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                Err(io::Error::new(io::ErrorKind::InvalidData, ArchiveError::reading(error, &reader.current)))
            }
        }
    }
}

/// One member. Its `Read` gives the content; an error in it holds an [`ArchiveError`] ([`ArchiveError::from_io`]).
pub struct Entry<'a, R> {
    /// Below the top folder.
    pub path: RelPath,
    /// File or directory.
    pub kind: Kind,
    /// Permission bits; never set-id.
    pub mode: Mode,
    /// Length of the content in bytes.
    pub size: u64,
    reader: &'a mut Reader<R>,
}

impl<R: Read> Read for Entry<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        Content(self.reader).read(out)
    }
}

impl<R: Read> Entry<'_, R> {
    /// Streams the content to `out` and gives its digest.
    pub fn copy_to(&mut self, out: &mut impl Write) -> Result<Digest, ArchiveError> {
        let mut hasher = Hasher::new(out);
        let mut buffer = vec![0; BUFFER];
        loop {
            let n = match self.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(ArchiveError::from_io(error)),
            };
            let written = hasher.write_all(buffer.get(..n).unwrap_or_default());
            written.map_err(|source| ArchiveError::Write { what: format!("`{}`", self.path), source })?;
        }
        Ok(hasher.finish().0)
    }

    /// The whole content in memory, refused when it is longer than `at_most`.
    pub fn read_whole(&mut self, at_most: u64) -> Result<Vec<u8>, ArchiveError> {
        if self.size > at_most {
            return Err(ArchiveError::Limit { what: "bytes in a file that is read whole", limit: at_most });
        }
        let mut bytes = Vec::with_capacity(usize::try_from(self.size).unwrap_or(0));
        self.copy_to(&mut bytes)?;
        Ok(bytes)
    }
}
