//! Payload contents as gzip members, made once and kept in the cache by their digest.
//!
//! What a member holds was compared with its digest when the member was made. Behind its bytes stands a CRC of
//! them, which every copy compares again: bytes that a disk changed since then are noticed and made anew.

use std::fs::{self, File, Metadata};
use std::io::{self, BufWriter, Read, Seek, Write};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use chom_format::Digest;
use chom_format::archive::gzip::Packing;
use chom_format::archive::write::write_body;
use chom_format::digest::Hasher;
use flate2::Crc;
use tempfile::NamedTempFile;

use super::output::PIECE;
use super::write::PackError;
use crate::cache::Cache;

/// A payload that is to be packed.
pub(super) enum Payload<'a> {
    /// An object of the cache.
    Object,
    /// Bytes that are no object.
    Bytes(&'a [u8]),
}

/// A member in the cache, ready to be copied.
pub(super) struct Body {
    pub(super) file: File,
    /// Of the member, without the CRC behind it.
    pub(super) length: u64,
    pub(super) crc: u32,
    /// Which file it is, and in which state.
    pub(super) stamp: Stamp,
    pub(super) path: PathBuf,
}

/// What tells one file from another, and from itself after a change: device, inode, size and times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp([i64; 7]);

impl Stamp {
    /// The stamp of a file.
    pub(super) fn of(about: &Metadata) -> Self {
        let [dev, ino, size] = [about.dev(), about.ino(), about.size()].map(u64::cast_signed);
        let (mtime, ctime) = ((about.mtime(), about.mtime_nsec()), (about.ctime(), about.ctime_nsec()));
        Self([dev, ino, size, mtime.0, mtime.1, ctime.0, ctime.1])
    }

    /// The same as bytes.
    pub(super) fn bytes(&self) -> impl Iterator<Item = [u8; 8]> {
        self.0.iter().map(|part| part.to_le_bytes())
    }
}

const CRC_SIZE: u64 = 4;
// Enough of a payload to tell whether squeezing it is worth while.
const PROBE: u64 = 256 << 10;

impl Body {
    /// The member of a content with this digest and size, made when it is not there.
    pub(super) fn of(
        cache: &Cache,
        sha256: &Digest,
        size: u64,
        payload: &Payload<'_>,
    ) -> Result<Self, PackError> {
        let path = cache.packed(sha256);
        if let Some(body) = Self::open(&path) {
            return Ok(body);
        }
        match payload {
            Payload::Bytes(bytes) => make(&path, sha256, size, &mut io::Cursor::new(bytes))?,
            Payload::Object => make(&path, sha256, size, &mut cache.read(sha256)?)?,
        }
        Self::open(&path).ok_or_else(|| PackError::io("read", &path)(io::ErrorKind::UnexpectedEof.into()))
    }

    /// A member that is there. A file that is too short to be one is made anew.
    pub(super) fn open(path: &Path) -> Option<Self> {
        let file = File::open(path).ok()?;
        let about = file.metadata().ok()?;
        let length = about.len().checked_sub(CRC_SIZE)?;
        let mut crc = [0; CRC_SIZE as usize];
        file.read_exact_at(&mut crc, length).ok()?;
        let (crc, stamp) = (u32::from_le_bytes(crc), Stamp::of(&about));
        Some(Self { file, length, crc, stamp, path: path.to_owned() })
    }
}

fn make<R: Read + Seek>(
    path: &PathBuf,
    sha256: &Digest,
    size: u64,
    content: &mut R,
) -> Result<(), PackError> {
    let failed = |action| PackError::io(action, path);
    let packing = packing(content).map_err(failed("read the payload for"))?;
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).map_err(failed("make the folder of"))?;
    let mut temp = NamedTempFile::new_in(folder).map_err(failed("write"))?;
    let mut hashed = Through { inner: content, hasher: Hasher::new(io::sink()) };
    // In large pieces: the kernel keeps a file in memory in pieces of the size in which it was written, and copies it
    // a third faster when they are large.
    let mut out = Checked { inner: BufWriter::with_capacity(PIECE, temp.as_file_mut()), crc: Crc::new() };
    write_body(&mut hashed, size, packing, &mut out)?;
    let found = hashed.hasher.finish().0;
    if found != *sha256 {
        return Err(PackError::Damaged { sha256: *sha256, found });
    }
    let crc = out.crc.sum();
    out.inner.write_all(&crc.to_le_bytes()).and_then(|()| out.inner.flush()).map_err(failed("write"))?;
    drop(out);
    temp.persist(path).map_err(|error| failed("write")(error.error))?;
    Ok(())
}

// Squeezed when a piece of it loses a twentieth or more: .deb, .xz and .zip lose nothing, programs lose half.
fn packing<R: Read + Seek>(content: &mut R) -> io::Result<Packing> {
    let mut piece = Vec::new();
    content.take(PROBE).read_to_end(&mut piece)?;
    content.rewind()?;
    let mut squeezed = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
    squeezed.write_all(&piece)?;
    let squeezed = squeezed.finish()?.len();
    Ok(if squeezed < piece.len() - piece.len() / 20 { Packing::Deflated } else { Packing::Stored })
}

struct Through<'a, R> {
    inner: &'a mut R,
    hasher: Hasher<io::Sink>,
}

impl<R: Read> Read for Through<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(out)?;
        self.hasher.write_all(out.get(..n).unwrap_or_default())?;
        Ok(n)
    }
}

struct Checked<W> {
    inner: W,
    crc: Crc,
}

impl<W: Write> Write for Checked<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(bytes)?;
        self.crc.update(bytes.get(..n).unwrap_or_default());
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_squeezed_is_stored() {
        let noise: Vec<u8> = {
            let mut state = 1_u64;
            (0..100_000)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    (state >> 56) as u8
                })
                .collect()
        };
        assert_eq!(packing(&mut io::Cursor::new(noise)).unwrap(), Packing::Stored);
        assert_eq!(packing(&mut io::Cursor::new(vec![b'x'; 1000])).unwrap(), Packing::Deflated);
        assert_eq!(packing(&mut io::Cursor::new(Vec::new())).unwrap(), Packing::Stored);
    }

    #[test]
    fn a_member_is_made_once_and_a_wrong_object_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        let sha256 = cache.insert(b"hello hello hello").unwrap();
        let first = Body::of(&cache, &sha256, 17, &Payload::Object).unwrap();
        fs::remove_file(cache.object(&sha256)).unwrap();
        let again = Body::of(&cache, &sha256, 17, &Payload::Object).unwrap();
        assert_eq!((first.length, first.crc), (again.length, again.crc));

        let sha256 = cache.insert(b"other").unwrap();
        fs::write(cache.object(&sha256), b"OTHER").unwrap();
        let error = Body::of(&cache, &sha256, 5, &Payload::Object).map(|_| ()).unwrap_err();
        assert!(matches!(error, PackError::Damaged { .. }), "{error}");
    }
}
