//! The key of one file, what is derived from it, and how a chunk is sealed.

use std::fmt;
use std::io;

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ring::{hkdf, hmac};

use super::broken;

/// Sixteen bytes that open one file and no other.
#[derive(Clone)]
pub struct FileKey(pub(super) [u8; 16]);

impl FileKey {
    /// One that was never used.
    pub fn fresh() -> io::Result<Self> {
        random().map(Self)
    }

    /// The key of the header's HMAC.
    pub(super) fn for_header(&self) -> io::Result<hmac::Key> {
        Ok(hmac::Key::new(hmac::HMAC_SHA256, &derive(&self.0, &[], b"header")?))
    }

    /// The key of the chunks that come behind this nonce.
    pub(super) fn for_chunks(&self, nonce: &[u8]) -> io::Result<LessSafeKey> {
        cipher(&derive(&self.0, nonce, b"payload")?)
    }
}

// A key must not be found in a log.
impl fmt::Debug for FileKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileKey")
    }
}

/// Bytes that nobody knows.
pub(super) fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0_u8; N];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(bytes)
}

/// HKDF with SHA-256.
pub(super) fn derive(secret: &[u8], salt: &[u8], purpose: &[u8]) -> io::Result<[u8; 32]> {
    let mut key = [0; 32];
    let derived = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(secret);
    let purpose = [purpose];
    derived
        .expand(&purpose, hkdf::HKDF_SHA256)
        .and_then(|output| output.fill(&mut key))
        .map_err(|_| broken("a key could not be derived"))?;
    Ok(key)
}

/// ChaCha20-Poly1305 under a key.
pub(super) fn cipher(key: &[u8]) -> io::Result<LessSafeKey> {
    let key = UnboundKey::new(&CHACHA20_POLY1305, key).map_err(|_| broken("a key has another length"))?;
    Ok(LessSafeKey::new(key))
}

/// Seals in place, and gives the tag.
pub(super) fn seal(key: &LessSafeKey, nonce: [u8; 12], bytes: &mut [u8]) -> io::Result<[u8; 16]> {
    let nonce = Nonce::assume_unique_for_key(nonce);
    let tag =
        key.seal_in_place_separate_tag(nonce, Aad::empty(), bytes).map_err(|_| broken("sealing failed"))?;
    tag.as_ref().try_into().map_err(|_| broken("a tag has another length"))
}

/// Opens in place what ends with its tag; the clear bytes, if the tag is right.
pub(super) fn unseal<'a>(key: &LessSafeKey, nonce: [u8; 12], bytes: &'a mut [u8]) -> Option<&'a mut [u8]> {
    key.open_in_place(Nonce::assume_unique_for_key(nonce), Aad::empty(), bytes).ok()
}

/// The nonce of a chunk: its number, and whether it is the last.
pub(super) fn nonce_of(number: u64, last: bool) -> [u8; 12] {
    let mut nonce = [0; 12];
    for (place, byte) in nonce.iter_mut().skip(3).zip(number.to_be_bytes()) {
        *place = byte;
    }
    if let Some(end) = nonce.last_mut() {
        *end = u8::from(last);
    }
    nonce
}
