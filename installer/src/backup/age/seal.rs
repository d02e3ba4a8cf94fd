//! Writes an age file, chunk by chunk.

use std::io::{self, Write};

use chom_format::backup::Recipient;
use ring::aead::LessSafeKey;

use super::header::Header;
use super::key::{self, FileKey, nonce_of};
use super::{CHUNK, NONCE};

/// A writer whose bytes only the recipients can read. What was not finished is no age file.
pub struct Sealer<W> {
    out: W,
    key: LessSafeKey,
    chunk: Vec<u8>,
    number: u64,
}

impl<W: Write> Sealer<W> {
    /// Writes the header for these recipients.
    pub fn new(mut out: W, key: &FileKey, recipients: &[Recipient]) -> io::Result<Self> {
        let nonce: [u8; NONCE] = key::random()?;
        out.write_all(&Header::write(key, recipients)?)?;
        out.write_all(&nonce)?;
        Ok(Self { out, key: key.for_chunks(&nonce)?, chunk: Vec::with_capacity(CHUNK), number: 0 })
    }

    /// Writes the last chunk.
    pub fn finish(mut self) -> io::Result<W> {
        self.seal(true)?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn seal(&mut self, last: bool) -> io::Result<()> {
        let tag = key::seal(&self.key, nonce_of(self.number, last), &mut self.chunk)?;
        self.out.write_all(&self.chunk)?;
        self.out.write_all(&tag)?;
        self.chunk.clear();
        self.number += 1;
        Ok(())
    }
}

impl<W: Write> Write for Sealer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A full chunk is sealed when it is known that more comes: the last one is sealed otherwise.
        if self.chunk.len() == CHUNK && !bytes.is_empty() {
            self.seal(false)?;
        }
        let (taken, _) = bytes.split_at(bytes.len().min(CHUNK - self.chunk.len()));
        self.chunk.extend_from_slice(taken);
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
