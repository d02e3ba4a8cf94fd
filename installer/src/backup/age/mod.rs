//! The age format, version 1, for X25519 keys: what Debian's own `age` program writes and reads.
//!
//! ```text
//! age-encryption.org/v1
//! -> X25519 <ephemeral share>
//! <the file key, wrapped for one recipient>          one stanza a recipient
//! --- <HMAC of all above under a key from the file key>
//! <16 bytes of nonce><chunks of 64 KiB, each sealed; the last one says that it is>
//! ```
//!
//! A host has public keys only. The file key lives as long as the process that writes, so that what was written can
//! be read again right away; afterwards only the identity of a recipient opens it. Nothing is given out before its
//! chunk is proved, and an end that was cut off is an error and never a shorter file.

mod header;
mod identity;
mod key;
mod open;
mod seal;

pub use header::Header;
pub use identity::{Identity, IdentityError};
pub use key::FileKey;
pub use open::Opener;
pub use seal::Sealer;

use std::io;

/// So much is sealed at once.
const CHUNK: usize = 64 << 10;
/// What sealing adds to a chunk.
const TAG: usize = 16;
/// What stands before the chunks.
const NONCE: usize = 16;

fn broken(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.to_owned())
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;
