//! Reads an age file, chunk by chunk, each proved before a byte of it is given out.

use std::io::{self, BufReader, Read};

use ring::aead::LessSafeKey;

use super::header::Header;
use super::key::{self, FileKey, nonce_of};
use super::{CHUNK, NONCE, TAG, broken};

/// A reader of the clear bytes. Its end is the file's proper end, or an error.
pub struct Opener<R> {
    input: R,
    key: LessSafeKey,
    /// What was read of the next chunk.
    sealed: Vec<u8>,
    clear: Vec<u8>,
    given: usize,
    number: u64,
    ended: bool,
}

impl<R: Read> Opener<BufReader<R>> {
    /// Reads the header; `key` finds the file key that it wraps.
    pub fn new(input: R, key: impl FnOnce(&Header) -> io::Result<FileKey>) -> io::Result<Self> {
        let mut input = BufReader::with_capacity(CHUNK + TAG, input);
        let header = Header::read(&mut input)?;
        let key = key(&header)?;
        let mut nonce = [0; NONCE];
        input.read_exact(&mut nonce).map_err(|_| broken("it ends in its header"))?;
        let key = key.for_chunks(&nonce)?;
        let (sealed, clear) = (Vec::new(), Vec::new());
        Ok(Self { input, key, sealed, clear, given: 0, number: 0, ended: false })
    }

    fn next(&mut self) -> io::Result<()> {
        // One byte more than a chunk tells whether it is the last.
        let wanted = CHUNK + TAG + 1 - self.sealed.len();
        (&mut self.input).take(wanted as u64).read_to_end(&mut self.sealed)?;
        let last = self.sealed.len() <= CHUNK + TAG;
        let rest = self.sealed.split_off(self.sealed.len().min(CHUNK + TAG));
        let mut chunk = std::mem::replace(&mut self.sealed, rest);
        let clear = key::unseal(&self.key, nonce_of(self.number, last), &mut chunk);
        let clear =
            clear.ok_or_else(|| broken(if last { "it is damaged or cut off" } else { "it is damaged" }))?;
        // Only a file without content ends with an empty chunk.
        if clear.is_empty() && self.number > 0 {
            return Err(broken("it is damaged"));
        }
        let length = clear.len();
        chunk.truncate(length);
        (self.clear, self.given, self.ended) = (chunk, 0, last);
        self.number += 1;
        Ok(())
    }
}

impl<R: Read> Read for Opener<BufReader<R>> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.given == self.clear.len() && !self.ended {
            self.next()?;
        }
        let count = self.clear.get(self.given..).unwrap_or_default().read(out)?;
        self.given += count;
        Ok(count)
    }
}
