//! The bundle's archive: a plain `tar.gz` that every tar reads, and a reader that trusts nothing.
//!
//! [`mod@write`] makes one form and no other: one top folder, directories before what is in them, owner 0 and no
//! names, one time for all entries, and gzip members with a fixed header. [`read`] takes exactly that form.
//! It parses each header into typed values, refuses what they may not be, then encodes them again and
//! compares the bytes: whatever a hostile tar hides in a corner of the format (a second size, a sparse map,
//! a global PAX record, a name behind a NUL) is a difference, and so a refusal. The invariant: a reader that
//! came to its end has seen the whole archive, and nothing in it can leave the folder that it is unpacked in.
//!
//! gzip allows members to be joined. A payload's content is a member of its own that depends on nothing but
//! its bytes, so it is squeezed once, cached, and copied into each bundle that carries it ([`gzip`]). The last
//! member holds nothing but the digest of all bytes before it ([`seal`]), so no bit of a tarball is free.

mod error;
pub mod gzip;
mod header;
pub mod read;
mod seal;
mod seen;
pub mod write;

pub use error::{ArchiveError, Refusal};
pub use header::Kind;
pub use read::{Entry, Limits, Reader};
pub use seal::Sealing;
pub use write::Writer;

/// The unit of tar: headers, and contents rounded up.
const BLOCK: usize = 512;

/// How many zero bytes follow a content of this size, up to the next block.
fn padding(size: u64) -> u64 {
    size.next_multiple_of(BLOCK as u64) - size
}

#[cfg(test)]
mod tests;
