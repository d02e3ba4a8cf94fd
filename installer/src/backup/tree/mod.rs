//! Files and directories as one tar that every tar reads: `tar --xattrs --xattrs-include='*' -xpf`.
//!
//! The writer makes one form and no other: a ustar header, and before it an extended one for what does not fit (long
//! names, fractions of seconds, extended attributes). The reader parses each header, encodes it again and compares the
//! bytes, so that nothing is hidden in a corner of the format; it takes files, directories and links, each path once,
//! each below a directory that came before. Owners are numbers and names: on another host the name counts.

mod entry;
mod header;
mod read;
mod walk;
mod write;

pub use entry::{Entry, Is};
pub use read::{Reader, TreeError};
pub use walk::{Names, Walk, walk};
pub use write::Writer;

const BLOCK: usize = 512;

fn padding(size: u64) -> usize {
    usize::try_from(size.next_multiple_of(BLOCK as u64) - size).unwrap_or(0)
}

#[cfg(test)]
mod tests;
