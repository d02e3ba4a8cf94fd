//! Writes a tree.

use std::io::{self, Read, Write};

use super::entry::Entry;
use super::{BLOCK, header, padding};

/// Writes one tree, entry by entry, parents before what is in them.
pub struct Writer<W> {
    out: W,
}

impl<W: Write> Writer<W> {
    /// A tree without entries.
    pub fn new(out: W) -> Self {
        Self { out }
    }

    /// Adds a path. A content that is shorter or longer than announced has changed, and is an error.
    pub fn entry(&mut self, entry: &Entry, content: &mut dyn Read) -> io::Result<()> {
        self.out.write_all(&header::encode(entry))?;
        let size = entry.size();
        let copied = io::copy(&mut content.take(size + 1), &mut Bounded { out: &mut self.out, left: size })?;
        if copied != size {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it became shorter while it was read"));
        }
        self.out.write_all([0; BLOCK].split_at(padding(size)).0)
    }

    /// Writes the end mark.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.write_all(&[0; 2 * BLOCK])?;
        Ok(self.out)
    }
}

/// Takes no byte more than was announced.
struct Bounded<W> {
    out: W,
    left: u64,
}

impl<W: Write> Write for Bounded<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() as u64 > self.left {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it became longer while it was read"));
        }
        let count = self.out.write(bytes)?;
        self.left -= count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
