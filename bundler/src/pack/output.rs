//! The file that becomes the bundle: written by one thread, hashed by another, so that the digest beside the
//! tarball costs no second pass and hardly any time.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::{self, JoinHandle};

use chom_format::Digest;
use chom_format::archive::Sealing;
use chom_format::digest::Hasher;
use flate2::Crc;
use tempfile::NamedTempFile;

const CHUNK: usize = 1 << 20;
// Chunks on their way to the hasher: what it may lag behind, and the bound of its memory.
const AHEAD: usize = 4;

/// A file that knows its digest when it is finished. As long as its bytes are those of the file that is there under
/// its name already, nothing is written: building again what is built costs no disk.
pub(super) struct Output {
    sink: Sink,
    chunk: Vec<u8>,
    full: Option<SyncSender<Work>>,
    empty: Receiver<Vec<u8>>,
    hasher: Option<JoinHandle<(Digest, u64)>>,
}

/// What the hasher is asked.
enum Work {
    Chunk(Vec<u8>),
    /// The digest of all chunks so far.
    Digest(Sender<Digest>),
}

enum Sink {
    /// The same as the file that is there, so far.
    Same { there: File, bytes: u64, buffer: Vec<u8>, folder: PathBuf },
    /// Another file.
    New(NamedTempFile),
}

/// What became of an output.
pub(super) struct Finished {
    pub(super) sha256: Digest,
    pub(super) size: u64,
    /// What is to take the place of the file that is there; none when that is the same.
    pub(super) new: Option<NamedTempFile>,
}

impl Output {
    /// An output that is to become the file `path`.
    pub(super) fn new(path: &Path) -> io::Result<Self> {
        let folder = path.parent().unwrap_or(path).to_owned();
        let sink = match File::open(path) {
            Ok(there) => Sink::Same { there, bytes: 0, buffer: Vec::new(), folder },
            Err(_) => Sink::New(NamedTempFile::new_in(folder)?),
        };
        let (full, chunks) = sync_channel::<Work>(AHEAD);
        let (give_back, empty) = channel();
        let hasher = Some(thread::spawn(move || hash(&chunks, &give_back)));
        Ok(Self { sink, chunk: Vec::with_capacity(CHUNK), full: Some(full), empty, hasher })
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

    /// Ends the output.
    pub(super) fn finish(mut self) -> io::Result<Finished> {
        self.pass_on()?;
        self.full = None;
        let (sha256, size) = self.hasher.take().ok_or_else(broken)?.join().map_err(|_| broken())?;
        self.sink.end()?;
        let new = match self.sink {
            Sink::Same { .. } => None,
            Sink::New(temp) => Some(temp),
        };
        Ok(Finished { sha256, size, new })
    }

    fn pass_on(&mut self) -> io::Result<()> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        self.sink.write(&self.chunk)?;
        let next = self.empty.try_recv().unwrap_or_else(|_| Vec::with_capacity(CHUNK));
        let full = std::mem::replace(&mut self.chunk, next);
        self.ask(Work::Chunk(full))
    }

    fn ask(&self, work: Work) -> io::Result<()> {
        self.full.as_ref().ok_or_else(broken)?.send(work).map_err(|_| broken())
    }
}

fn broken() -> io::Error {
    io::Error::other("the hasher broke down")
}

impl Sealing for Output {
    fn digest(&mut self) -> io::Result<Digest> {
        self.pass_on()?;
        let (answer, digest) = channel();
        self.ask(Work::Digest(answer))?;
        digest.recv().map_err(|_| broken())
    }
}

impl Sink {
    fn write(&mut self, chunk: &[u8]) -> io::Result<()> {
        if let Self::Same { there, bytes, buffer, .. } = self {
            buffer.resize(chunk.len(), 0);
            let read = there.read_exact(buffer);
            if read.is_ok() && buffer == chunk {
                *bytes += chunk.len() as u64;
                return Ok(());
            }
            self.part()?;
        }
        match self {
            Self::New(temp) => temp.write_all(chunk),
            Self::Same { .. } => Err(io::Error::other("the output is neither the same nor another file")),
        }
    }

    // The file that is there must not be longer.
    fn end(&mut self) -> io::Result<()> {
        let longer = match self {
            Self::Same { there, .. } => there.read(&mut [0])? != 0,
            Self::New(_) => false,
        };
        if longer { self.part() } else { Ok(()) }
    }

    // From here on it is another file, which begins with what was the same.
    fn part(&mut self) -> io::Result<()> {
        let Self::Same { there, bytes, folder, .. } = self else { return Ok(()) };
        let mut temp = NamedTempFile::new_in(folder)?;
        there.rewind()?;
        io::copy(&mut there.take(*bytes), temp.as_file_mut())?;
        *self = Self::New(temp);
        Ok(())
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

fn hash(asked: &Receiver<Work>, give_back: &Sender<Vec<u8>>) -> (Digest, u64) {
    let mut hasher = Hasher::new(io::sink());
    // A sink takes everything; and the writer may be done already, and then wants no answer.
    while let Ok(work) = asked.recv() {
        match work {
            Work::Chunk(mut chunk) => {
                let _ = hasher.write_all(&chunk);
                chunk.clear();
                let _ = give_back.send(chunk);
            }
            Work::Digest(answer) => {
                let _ = answer.send(hasher.so_far());
            }
        }
    }
    let (digest, size, _) = hasher.finish();
    (digest, size)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn finished(output: Output, path: &Path) -> (Digest, u64, bool) {
        let Finished { sha256, size, new } = output.finish().unwrap();
        let is_new = new.is_some();
        new.map(|temp| temp.persist(path).unwrap());
        (sha256, size, is_new)
    }

    #[test]
    fn bytes_digest_and_crc_agree_whatever_the_pieces() {
        let dir = tempfile::tempdir().unwrap();
        let long: Vec<u8> = (0..3 * CHUNK as u32 + 7).map(|n| (n >> 3) as u8).collect();
        let source = dir.path().join("source");
        fs::write(&source, &long).unwrap();
        let path = dir.path().join("out");
        let mut output = Output::new(&path).unwrap();
        output.write_all(b"head").unwrap();
        let crc = output.copy(&mut File::open(&source).unwrap(), long.len() as u64).unwrap();
        assert_eq!(output.digest().unwrap(), Digest::of(&[&b"head"[..], &long].concat()));
        output.write_all(&long).unwrap();
        let whole = [&b"head"[..], &long, &long].concat();
        assert_eq!(finished(output, &path), (Digest::of(&whole), whole.len() as u64, true));
        assert_eq!(fs::read(&path).unwrap(), whole);
        let mut wanted = Crc::new();
        wanted.update(&long);
        assert_eq!(crc, wanted.sum());

        let mut output = Output::new(&path).unwrap();
        let error = output.copy(&mut File::open(&source).unwrap(), long.len() as u64 + 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_file_that_is_the_same_is_left_alone_and_any_other_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        let whole: Vec<u8> = (0..2 * CHUNK as u32 + 99).map(|n| (n >> 5) as u8).collect();
        let late = {
            let mut bytes = whole.clone();
            bytes[CHUNK + 5] ^= 1;
            bytes
        };
        for (there, changes) in [
            (Some(whole.clone()), false),
            (None, true),
            (Some(late), true),
            (Some(Vec::new()), true),
            (Some(whole[..CHUNK + 1].to_vec()), true),
            (Some([&whole[..], b"x"].concat()), true),
        ] {
            let _ = fs::remove_file(&path);
            if let Some(bytes) = &there {
                fs::write(&path, bytes).unwrap();
            }
            let mut output = Output::new(&path).unwrap();
            output.write_all(&whole).unwrap();
            assert_eq!(finished(output, &path), (Digest::of(&whole), whole.len() as u64, changes));
            assert_eq!(fs::read(&path).unwrap(), whole);
        }
    }
}
