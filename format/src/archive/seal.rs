//! The last gzip member: empty, with the digest of every byte before it in its extra field.
//!
//! The digests inside a bundle speak of what is unpacked. Deflate has bits that say nothing (before a stored block,
//! behind the last one), and a changed one unpacks to the same bytes. The seal speaks of the tarball itself, so a
//! reader needs no file beside it to know that each bit is as it was written; to every other gzip it is an empty
//! member. It is no signature: who changes a bundle on purpose can seal it again.

use std::io::{self, Write};

use crate::digest::{Digest, Hasher};

/// Length of a seal in bytes.
pub(super) const SIZE: usize = 61;

/// The first ten bytes of a seal; like those of every other member, but for the flag of the extra field.
pub(super) const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 255];

// The extra field is 36 bytes: the subfield `CH`, which has 32.
const EXTRA: [u8; 6] = [36, 0, b'C', b'H', 32, 0];
// One stored block of no bytes, the CRC of nothing, and its length.
const NOTHING: [u8; 13] = [1, 0, 0, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0];

/// What an archive is written to: it knows the digest of all that it was given.
pub trait Sealing: Write {
    /// The digest of every byte so far.
    fn digest(&mut self) -> io::Result<Digest>;
}

impl<W: Write> Sealing for Hasher<W> {
    fn digest(&mut self) -> io::Result<Digest> {
        Ok(self.so_far())
    }
}

/// The seal of a tarball whose bytes before it have this digest.
pub(super) fn seal(digest: &Digest) -> [u8; SIZE] {
    let mut seal = [0; SIZE];
    let parts = [&HEADER[..], &EXTRA, digest.bytes(), &NOTHING];
    for (byte, from) in seal.iter_mut().zip(parts.into_iter().flatten()) {
        *byte = *from;
    }
    seal
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn a_seal_is_an_empty_member_to_everybody_else() {
        let seal = seal(&Digest::of(b"x"));
        let mut text = Vec::new();
        let mut decoder = flate2::bufread::GzDecoder::new(&seal[..]);
        decoder.read_to_end(&mut text).unwrap();
        assert_eq!(text, b"");
        assert_eq!(decoder.header().unwrap().extra().unwrap()[4..], Digest::of(b"x").bytes()[..]);
        assert_eq!(decoder.into_inner(), b"", "not one byte is left over");
    }
}
