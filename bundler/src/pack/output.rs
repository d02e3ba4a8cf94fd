//! The file that becomes the bundle.
//!
//! Payloads are copied through a large buffer, and not by `copy_file_range`: where source and target are not aligned
//! to each other, as members of an archive never are, the kernel goes page by page and takes half as long again.
//!
//! To hash the tarball takes longer than to copy it. Its digests follow from its recipe (the bytes that are written
//! from memory, and the content, length and CRC of each payload's member), so they are computed once, by reading what
//! was written, and noted in the cache under the recipe. The CRCs are compared whenever a member is not provably the
//! file whose CRC was compared for that note: another device, inode, size or time, down to the nanosecond.

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, Write};
use std::path::PathBuf;

use chom_format::Digest;
use chom_format::archive::Sealing;
use chom_format::digest::Hasher;
use flate2::Crc;
use tempfile::NamedTempFile;

use super::body::Body;
use super::draft::Draft;
use super::write::PackError;
use crate::cache::Cache;

/// How much is read and written at a time.
pub(super) const PIECE: usize = 1 << 20;

/// A file that knows its digest when it is finished.
pub(super) struct Output<'a> {
    cache: &'a Cache,
    draft: Draft,
    out: BufWriter<File>,
    recipe: Hasher<io::Sink>,
    digests: Digests,
    size: u64,
    members: Vec<Member>,
    stamps: Hasher<io::Sink>,
    piece: Vec<u8>,
}

/// A copied member: where it comes from and went to, and the CRC that it had when it was made.
struct Member {
    path: PathBuf,
    sha256: Digest,
    at: u64,
    length: u64,
    crc: u32,
}

/// Of the tarball.
enum Digests {
    /// The seal was not asked for yet.
    Unasked,
    /// Noted when the same was built before, from members with these stamps.
    Noted { recipe: Digest, before: Digest, whole: Digest, stamps: Digest },
    /// Being made, and to be noted.
    New { recipe: Digest, before: Digest, hasher: Hasher<io::Sink> },
}

/// What became of an output.
pub(super) struct Finished {
    pub(super) sha256: Digest,
    pub(super) size: u64,
    pub(super) temp: NamedTempFile,
}

impl<'a> Output<'a> {
    /// An output to this file.
    pub(super) fn new(draft: Draft, cache: &'a Cache) -> io::Result<Self> {
        let out = BufWriter::new(draft.file().as_file().try_clone()?);
        Ok(Self {
            cache,
            draft,
            out,
            recipe: Hasher::new(io::sink()),
            digests: Digests::Unasked,
            size: 0,
            members: Vec::new(),
            stamps: Hasher::new(io::sink()),
            piece: vec![0; PIECE],
        })
    }

    /// Copies the member of the payload with this digest.
    pub(super) fn copy(&mut self, sha256: &Digest, body: Body) -> io::Result<()> {
        self.out.flush()?;
        body.stamp.bytes().try_for_each(|part| self.stamps.write_all(&part))?;
        let out = self.out.get_mut();
        let copied = if self.draft.has(sha256, self.size, &body.stamp) {
            out.seek_relative(i64::try_from(body.length).map_err(io::Error::other)?)?;
            body.length
        } else {
            pieces((&body.file).take(body.length), &mut self.piece, |piece| out.write_all(piece))?
        };
        if copied != body.length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let (sha256, at) = (*sha256, self.size);
        self.size += copied;
        self.recipe.write_all(sha256.bytes())?;
        self.recipe.write_all(&body.length.to_le_bytes())?;
        self.recipe.write_all(&body.crc.to_le_bytes())?;
        self.members.push(Member { path: body.path, sha256, at, length: body.length, crc: body.crc });
        Ok(())
    }

    /// Ends the output.
    pub(super) fn finish(mut self) -> Result<Finished, PackError> {
        let path = self.draft.file().path().to_owned();
        let failed = PackError::io("write", &path);
        self.out.flush().map_err(&failed)?;
        let now = self.stamps.finish().0;
        let (recipe, before, whole, stamps) = match self.digests {
            Digests::Noted { recipe, before, whole, stamps } => (recipe, before, whole, Some(stamps)),
            Digests::New { recipe, before, hasher } => (recipe, before, hasher.finish().0, None),
            Digests::Unasked => {
                return Err(failed(io::Error::other("the archive was not sealed")));
            }
        };
        if stamps != Some(now) {
            self.members.iter().try_for_each(|member| check(member, &mut self.piece))?;
            self.cache.keep_note(&recipe, &format!("{before} {whole} {now}"));
        }
        let members = self.members.iter().map(|member| (member.sha256, member.at));
        let temp = self.draft.finish(self.size, members, self.cache).map_err(&failed)?;
        Ok(Finished { sha256: whole, size: self.size, temp })
    }

    // Of every byte so far, by reading them again.
    fn read_back(&mut self) -> io::Result<Hasher<io::Sink>> {
        let mut hasher = Hasher::new(io::sink());
        let mut file = self.draft.file().as_file();
        let end = file.stream_position()?;
        file.rewind()?;
        let read = pieces(file.take(end), &mut self.piece, |piece| hasher.write_all(piece))?;
        if read == end { Ok(hasher) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
}

impl Write for Output<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.draft.reach(self.size + bytes.len() as u64);
        self.out.write_all(bytes)?;
        match &mut self.digests {
            Digests::Unasked => self.recipe.write_all(bytes)?,
            Digests::New { hasher, .. } => hasher.write_all(bytes)?,
            Digests::Noted { .. } => {}
        }
        self.size += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Sealing for Output<'_> {
    fn digest(&mut self) -> io::Result<Digest> {
        self.out.flush()?;
        let recipe = self.recipe.so_far();
        if let Some((before, whole, stamps)) = self.cache.note(&recipe).as_deref().and_then(parse) {
            self.digests = Digests::Noted { recipe, before, whole, stamps };
            return Ok(before);
        }
        let hasher = self.read_back()?;
        let before = hasher.so_far();
        self.digests = Digests::New { recipe, before, hasher };
        Ok(before)
    }
}

fn parse(note: &str) -> Option<(Digest, Digest, Digest)> {
    let mut parts = note.split(' ').map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??, parts.next()??))
}

// Finds what a disk changed since it was made.
fn check(member: &Member, piece: &mut [u8]) -> Result<(), PackError> {
    let failed = |source| PackError::io("read", &member.path)(source);
    let file = File::open(&member.path).map_err(failed)?.take(member.length);
    let mut crc = Crc::new();
    pieces(file, piece, |bytes| {
        crc.update(bytes);
        Ok(())
    })
    .map_err(failed)?;
    if crc.sum() == member.crc { Ok(()) } else { Err(PackError::Stale(member.path.clone())) }
}

// Reads to the end, and says how far that was.
fn pieces(
    mut from: impl Read,
    piece: &mut [u8],
    mut take: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<u64> {
    let mut all = 0;
    loop {
        match from.read(piece) {
            Ok(0) => return Ok(all),
            Ok(n) => {
                take(piece.get(..n).unwrap_or_default())?;
                all += n as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::body::Stamp;
    use super::*;

    struct Bench {
        dir: tempfile::TempDir,
        cache: Cache,
    }

    impl Bench {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let cache = Cache::open(dir.path().join("cache")).unwrap();
            Self { dir, cache }
        }

        fn draft(&self) -> Draft {
            Draft::empty(self.dir.path(), &"mentat".parse().unwrap()).unwrap()
        }

        fn body(&self, bytes: &[u8]) -> Body {
            let path = self.dir.path().join("body");
            fs::write(&path, bytes).unwrap();
            let mut crc = Crc::new();
            crc.update(bytes);
            let file = File::open(&path).unwrap();
            let stamp = Stamp::of(&file.metadata().unwrap());
            Body { file, length: bytes.len() as u64, crc: crc.sum(), stamp, path }
        }

        fn write(&self, head: &[u8], body: Body) -> Result<(Digest, Finished), PackError> {
            let mut output = Output::new(self.draft(), &self.cache).unwrap();
            output.write_all(head).unwrap();
            output.copy(&Digest::of(b"the content"), body).unwrap();
            output.write_all(b"end").unwrap();
            let before = output.digest().unwrap();
            output.write_all(before.bytes()).unwrap();
            Ok((before, output.finish()?))
        }
    }

    #[test]
    fn bytes_size_and_digests_agree_the_first_time_and_from_the_note() {
        let bench = Bench::new();
        let long: Vec<u8> = (0..3 * PIECE as u32 + 7).map(|n| (n >> 3) as u8).collect();
        for (head, turns) in [(&b"head"[..], 2), (b"HEAD", 1)] {
            let wanted = [head, &long, b"end"].concat();
            let whole = [&wanted[..], Digest::of(&wanted).bytes()].concat();
            for turn in 0..turns {
                let (before, finished) = bench.write(head, bench.body(&long)).unwrap();
                assert_eq!(before, Digest::of(&wanted), "turn {turn}");
                assert_eq!((finished.sha256, finished.size), (Digest::of(&whole), whole.len() as u64));
                assert_eq!(fs::read(finished.temp.path()).unwrap(), whole);
            }
        }
    }

    #[test]
    fn a_member_that_a_disk_changed_is_found_also_when_all_is_noted() {
        let bench = Bench::new();
        let long = vec![7; 2 * PIECE + 1];
        for noted in [false, true] {
            let mut body = bench.body(&long);
            if noted {
                bench.write(b"head", bench.body(&long)).unwrap();
                body = bench.body(&long);
            }
            let mut changed = long.clone();
            changed[PIECE + 3] ^= 1;
            fs::write(&body.path, changed).unwrap();
            let error = bench.write(b"head", body).err().unwrap();
            assert!(matches!(error, PackError::Stale(_)), "{error}");
        }
        let mut short = bench.body(&long);
        short.length += 1;
        let mut output = Output::new(bench.draft(), &bench.cache).unwrap();
        let error = output.copy(&Digest::of(b"x"), short).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
