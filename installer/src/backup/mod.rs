//! Backups: what services have written, kept where it can be read without this program, and brought back as a
//! transaction.
//!
//! ```text
//! the manifest of the transaction that stands: what, how large at most, where, for whom
//!    create -> measure -> write out of sight -> read again -> one rename          never seen half
//!    verify -> every byte as stored, and for whoever has the key every byte in it
//!    restore -> verify -> stage -> plan -> the engine, like every other transaction
//! ```
//!
//! What this keeps: a backup that is seen is whole; one that is not good says so when it is made; nothing is left out
//! without a word; the key that opens it is never on the host. Each part is one file that `tar`, `gunzip`, `age` and
//! the database's own program read at three in the morning.

pub mod age;
pub mod create;
mod error;
pub mod label;
mod pack;
pub mod restore;
pub mod retention;
pub mod shelf;
pub mod source;
pub mod tree;
pub mod verify;

pub use error::BackupError;

#[cfg(test)]
mod tests;
