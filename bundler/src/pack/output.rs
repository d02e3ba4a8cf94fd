//! The file that becomes the bundle: written by one thread, hashed by another, so that the digest beside the
//! tarball costs no second pass and hardly any time.

use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::{self, JoinHandle};

use chom_format::Digest;
use chom_format::digest::Hasher;
use flate2::Crc;

const CHUNK: usize = 1 << 20;
// Chunks on their way to the hasher: what it may lag behind, and the bound of its memory.
const AHEAD: usize = 4;

/// A file that knows its digest when it is finished.
pub(super) struct Output {
    file: File,
    chunk: Vec<u8>,
    full: Option<SyncSender<Vec<u8>>>,
    empty: Receiver<Vec<u8>>,
    hasher: Option<JoinHandle<(Digest, u64)>>,
}

impl Output {
    pub(super) fn new(file: File) -> Self {
        let (full, chunks) = sync_channel::<Vec<u8>>(AHEAD);
        let (give_back, empty) = channel();
        let hasher = Some(thread::spawn(move || hash(&chunks, &give_back)));
        Self { file, chunk: Vec::with_capacity(CHUNK), full: Some(full), empty, hasher }
    }

    /// Copies so many bytes and gives their CRC.
    pub(super) fn copy(&mut self, from: &mut File, length: u64) -> io::Result<u32> {
        let mut crc = Crc::new();
        let mut left = length;
        while left > 0 {
            if self.chunk.len() >= CHUNK {
                self.pass_on()?;
            }
            let start = self.chunk.len();
            let room = (CHUNK - start) as u64;
            let n = from.take(left.min(room)).read_to_end(&mut self.chunk)?;
            if n == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            crc.update(self.chunk.get(start..).unwrap_or_default());
            left -= n as u64;
        }
        Ok(crc.sum())
    }

    /// The digest and size of all that was written.
    pub(super) fn finish(mut self) -> io::Result<(Digest, u64)> {
        self.pass_on()?;
        self.full = None;
        let broken = || io::Error::other("the hasher broke down");
        self.hasher.take().ok_or_else(broken)?.join().map_err(|_| broken())
    }

    fn pass_on(&mut self) -> io::Result<()> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        self.file.write_all(&self.chunk)?;
        let next = self.empty.try_recv().unwrap_or_else(|_| Vec::with_capacity(CHUNK));
        let full = std::mem::replace(&mut self.chunk, next);
        let gone = || io::Error::other("the hasher broke down");
        self.full.as_ref().ok_or_else(gone)?.send(full).map_err(|_| gone())
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.chunk.len() >= CHUNK {
            self.pass_on()?;
        }
        let n = bytes.len().min(CHUNK - self.chunk.len());
        self.chunk.extend_from_slice(bytes.get(..n).unwrap_or_default());
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn hash(chunks: &Receiver<Vec<u8>>, give_back: &Sender<Vec<u8>>) -> (Digest, u64) {
    let mut hasher = Hasher::new(io::sink());
    while let Ok(mut chunk) = chunks.recv() {
        // A sink takes everything.
        let _ = hasher.write_all(&chunk);
        chunk.clear();
        // The writer may be done already, and then wants no chunk back.
        let _ = give_back.send(chunk);
    }
    let (digest, size, _) = hasher.finish();
    (digest, size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_digest_and_crc_agree_whatever_the_pieces() {
        let dir = tempfile::tempdir().unwrap();
        let long: Vec<u8> = (0..3 * CHUNK as u32 + 7).map(|n| (n >> 3) as u8).collect();
        let source = dir.path().join("source");
        std::fs::write(&source, &long).unwrap();
        let path = dir.path().join("out");
        let mut output = Output::new(File::create(&path).unwrap());
        output.write_all(b"head").unwrap();
        let crc = output.copy(&mut File::open(&source).unwrap(), long.len() as u64).unwrap();
        output.write_all(&long).unwrap();
        let (digest, size) = output.finish().unwrap();
        let whole = [&b"head"[..], &long, &long].concat();
        assert_eq!(std::fs::read(&path).unwrap(), whole);
        assert_eq!((digest, size), (Digest::of(&whole), whole.len() as u64));
        let mut wanted = Crc::new();
        wanted.update(&long);
        assert_eq!(crc, wanted.sum());

        let mut output = Output::new(File::create(&path).unwrap());
        let error = output.copy(&mut File::open(&source).unwrap(), long.len() as u64 + 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
