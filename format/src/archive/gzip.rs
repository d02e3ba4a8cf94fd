//! gzip members: written in one fixed form, and read only in that form.
//!
//! The ten header bytes are always the same (no name, no time, system 255), so no byte of a bundle is free
//! to be anything. A stored member is framed here by hand and owes nothing to a compression library's
//! version or buffer sizes; a deflated one is fed in pieces of one fixed size for the same reason.

use std::io::{self, BufRead, Read, Write};

use flate2::{
    Compress, Compression, Crc, Decompress, FlushCompress, FlushDecompress, Status, write::DeflateEncoder,
};

use super::seal;
use crate::digest::Hasher;

const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
// The longest stored block of deflate, and the piece size for the compressor.
const PIECE: usize = 65_535;
const LEVEL: u32 = 6;

/// What is wrong with the gzip layer.
#[derive(Debug, thiserror::Error)]
#[error("{reason} (gzip, at byte {offset})")]
pub struct GzipError {
    offset: u64,
    reason: &'static str,
}

/// How the content of a member is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// As it is: for what is compressed already.
    Stored,
    /// Squeezed.
    Deflated,
}

/// Whether the reader stands at a gzip member (the first two bytes tell).
pub fn is_gzip(start: &[u8]) -> bool {
    start.starts_with(&[0x1f, 0x8b])
}

/// Writes one gzip member that holds all that `content` gives; returns how many bytes that were.
pub fn write_member(mut content: impl Read, packing: Packing, out: &mut impl Write) -> io::Result<u64> {
    out.write_all(&HEADER)?;
    let mut crc = Crc::new();
    let mut piece = vec![0; PIECE];
    let mut total = 0;
    match packing {
        Packing::Stored => {
            pieces(&mut content, &mut piece, |bytes| {
                crc.update(bytes);
                total += bytes.len() as u64;
                out.write_all(&stored_header(false, bytes.len()))?;
                out.write_all(bytes)
            })?;
            out.write_all(&stored_header(true, 0))?;
        }
        Packing::Deflated => {
            let mut encoder = DeflateEncoder::new(&mut *out, Compression::new(LEVEL));
            pieces(&mut content, &mut piece, |bytes| {
                crc.update(bytes);
                total += bytes.len() as u64;
                encoder.write_all(bytes)
            })?;
            encoder.finish()?;
        }
    }
    out.write_all(&crc.sum().to_le_bytes())?;
    out.write_all(&low_half(total).to_le_bytes())?;
    Ok(total)
}

/// Squeezes one small content after the other. A compressor is large and slow to make: a bundle with ten thousand
/// files would spend a second on making one for each header.
pub(super) struct Squeezer {
    deflate: Compress,
    squeezed: Vec<u8>,
}

impl Squeezer {
    pub(super) fn new() -> Self {
        Self { deflate: Compress::new(Compression::new(LEVEL), false), squeezed: Vec::new() }
    }

    /// Writes the gzip member of a content.
    pub(super) fn write(&mut self, content: &[u8], out: &mut impl Write) -> io::Result<()> {
        self.deflate.reset();
        self.squeezed.clear();
        loop {
            // Room for what cannot be squeezed; the compressor says when it was not enough.
            self.squeezed.reserve(content.len() + 1024);
            let taken = usize::try_from(self.deflate.total_in()).unwrap_or(usize::MAX);
            let rest = content.get(taken..).unwrap_or_default();
            let status = self.deflate.compress_vec(rest, &mut self.squeezed, FlushCompress::Finish)?;
            if status == Status::StreamEnd {
                break;
            }
        }
        let mut crc = Crc::new();
        crc.update(content);
        out.write_all(&HEADER)?;
        out.write_all(&self.squeezed)?;
        out.write_all(&crc.sum().to_le_bytes())?;
        out.write_all(&low_half(content.len() as u64).to_le_bytes())
    }
}

// gzip keeps the length modulo 2^32.
fn low_half(size: u64) -> u32 {
    (size & u64::from(u32::MAX)) as u32
}

fn stored_header(last: bool, length: usize) -> [u8; 5] {
    let [low, high] = u16::try_from(length).unwrap_or(u16::MAX).to_le_bytes();
    [u8::from(last), low, high, !low, !high]
}

// Full pieces whatever the source's own read sizes are, so that the output depends on the bytes alone.
fn pieces(
    content: &mut impl Read,
    piece: &mut [u8],
    mut each: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    loop {
        let mut filled = 0;
        while let Some(rest) = piece.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match content.read(rest) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let Some(bytes) = piece.get(..filled).filter(|bytes| !bytes.is_empty()) else { return Ok(()) };
        each(bytes)?;
        if filled < piece.len() {
            return Ok(());
        }
    }
}

/// The joined contents of gzip members, each in the form of [`write_member`] and none empty, and sealed at the end.
pub struct Members<R> {
    input: R,
    inflate: Decompress,
    crc: Crc,
    inside: bool,
    sealed: bool,
    size: u64,
    offset: u64,
    // Of the compressed bytes, for the seal.
    raw: Hasher<io::Sink>,
}

impl<R: BufRead> Members<R> {
    /// A reader of all members of `input`, to its end.
    pub fn new(input: R) -> Self {
        Self {
            input,
            inflate: Decompress::new(false),
            crc: Crc::new(),
            inside: false,
            sealed: false,
            size: 0,
            offset: 0,
            raw: Hasher::new(io::sink()),
        }
    }

    fn open(&mut self) -> io::Result<()> {
        let mut header = [0; HEADER.len()];
        self.exact(&mut header)?;
        if header == seal::HEADER {
            return self.unseal();
        }
        self.raw.write_all(&header)?;
        if header != HEADER {
            return Err(self.wrong("a member's header is not as chom-bundle writes it"));
        }
        self.inflate.reset(false);
        self.crc.reset();
        self.size = 0;
        self.inside = true;
        Ok(())
    }

    fn unseal(&mut self) -> io::Result<()> {
        let mut rest = [0; seal::SIZE - seal::HEADER.len()];
        self.exact(&mut rest)?;
        if !seal::seal(&self.raw.so_far()).ends_with(&rest) {
            return Err(self.wrong("the seal does not fit the bytes before it"));
        }
        self.sealed = true;
        Ok(())
    }

    fn close(&mut self) -> io::Result<()> {
        let mut trailer = [0; 8];
        self.exact(&mut trailer)?;
        self.raw.write_all(&trailer)?;
        let [a, b, c, d, e, f, g, h] = trailer;
        if u32::from_le_bytes([a, b, c, d]) != self.crc.sum() {
            return Err(self.wrong("a member's checksum is wrong"));
        }
        if u32::from_le_bytes([e, f, g, h]) != low_half(self.size) {
            return Err(self.wrong("a member's length is wrong"));
        }
        if self.size == 0 {
            return Err(self.wrong("a member is empty"));
        }
        self.inside = false;
        Ok(())
    }

    fn exact(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        self.input.read_exact(bytes)?;
        self.offset += bytes.len() as u64;
        Ok(())
    }

    fn wrong(&self, reason: &'static str) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, GzipError { offset: self.offset, reason })
    }

    // One step of inflating: what was written to `out`, and whether the member ended.
    fn inflate(&mut self, out: &mut [u8]) -> io::Result<(usize, bool)> {
        let input = self.input.fill_buf()?;
        let at_end = input.is_empty();
        let (before_in, before_out) = (self.inflate.total_in(), self.inflate.total_out());
        let status = self.inflate.decompress(input, out, FlushDecompress::None);
        let taken = (self.inflate.total_in() - before_in) as usize;
        let given = (self.inflate.total_out() - before_out) as usize;
        self.raw.write_all(input.get(..taken).unwrap_or_default())?;
        self.input.consume(taken);
        self.offset += taken as u64;
        match status {
            Ok(Status::StreamEnd) => Ok((given, true)),
            Ok(_) if at_end && given == 0 => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) if taken == 0 && given == 0 => Err(self.wrong("the compressed bytes are damaged")),
            Ok(_) => Ok((given, false)),
            Err(_) => Err(self.wrong("the compressed bytes are damaged")),
        }
    }
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        loop {
            if !self.inside {
                let at_end = self.input.fill_buf()?.is_empty();
                match (self.sealed, at_end) {
                    (true, true) => return Ok(0),
                    (true, false) => return Err(self.wrong("bytes follow the seal")),
                    (false, true) => return Err(io::ErrorKind::UnexpectedEof.into()),
                    (false, false) => self.open()?,
                }
                continue;
            }
            let (given, ended) = self.inflate(out)?;
            self.crc.update(out.get(..given).unwrap_or_default());
            self.size += given as u64;
            if ended {
                self.close()?;
            }
            if given > 0 {
                return Ok(given);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;

    fn member(content: &[u8], packing: Packing) -> Vec<u8> {
        let mut out = Vec::new();
        assert_eq!(write_member(content, packing, &mut out).unwrap(), content.len() as u64);
        out
    }

    fn sealed(members: &[u8]) -> Vec<u8> {
        [members, &seal::seal(&Digest::of(members))].concat()
    }

    fn read(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        Members::new(bytes).read_to_end(&mut out).map(|_| out)
    }

    // Gives its bytes three at a time: the output must not depend on it.
    struct Dribble<'a>(&'a [u8]);
    impl Read for Dribble<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let n = out.len().min(3).min(self.0.len());
            out[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }

    #[test]
    fn members_join_and_read_back() {
        let long: Vec<u8> = (0..200_000_u32).flat_map(|n| n.wrapping_mul(n).to_le_bytes()).collect();
        for packing in [Packing::Stored, Packing::Deflated] {
            let mut joined = member(&long, packing);
            joined.extend(member(b"second", packing));
            assert_eq!(read(&sealed(&joined)).unwrap(), [&long[..], b"second"].concat());
            let mut dribbled = Vec::new();
            write_member(Dribble(&long), packing, &mut dribbled).unwrap();
            assert_eq!(dribbled, member(&long, packing), "{packing:?} depends on the read sizes");
        }
    }

    #[test]
    fn a_squeezer_forgets_what_came_before() {
        let noise: Vec<u8> = (0..70_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 15) as u8).collect();
        let mut used = Squeezer::new();
        for content in [&noise[..], b"short", &[0; 1024], &noise[..100]] {
            let (mut fresh, mut again) = (Vec::new(), Vec::new());
            Squeezer::new().write(content, &mut fresh).unwrap();
            used.write(content, &mut again).unwrap();
            assert_eq!(fresh, again);
            assert_eq!(read(&sealed(&again)).unwrap(), content);
        }
    }

    #[test]
    fn another_implementation_reads_them() {
        for packing in [Packing::Stored, Packing::Deflated] {
            let joined = [member(b"one, ", packing), member(&[7; 70_000], packing)].concat();
            let mut text = Vec::new();
            flate2::read::MultiGzDecoder::new(&joined[..]).read_to_end(&mut text).unwrap();
            assert_eq!(text, [&b"one, "[..], &[7; 70_000]].concat());
        }
    }

    #[test]
    fn each_bit_counts_and_so_does_each_end() {
        let noise: Vec<u8> = (0..300_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 15) as u8).collect();
        let members = [
            member(b"hello hello hello", Packing::Stored),
            member(b"hello hello hello", Packing::Deflated),
            member(&noise, Packing::Deflated),
        ];
        let good = sealed(&members.concat());
        assert!(read(&good).is_ok());
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&bad).is_err(), "bit {bit}");
        }
        for end in 0..good.len() {
            let error = read(&good[..end]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "cut at {end}");
        }
        assert!(read(&sealed(&member(b"", Packing::Stored))).is_err(), "an empty member");
        assert!(read(&[&good[..], &[0; 4]].concat()).is_err(), "zeros behind");
        assert!(read(&[&good[..], &good].concat()).is_err(), "another one behind");
        assert!(read(&sealed(&good)).is_err(), "sealed twice");
    }
}
