//! Debian packages as files: their control fields, their members, and the index that lets apt install from a
//! folder of them.
//!
//! It never installs and never resolves. `dpkg-deb` takes the outer archive apart; names inside are judged
//! here, and nothing is written to disk under one of them.

mod control;
mod error;
mod index;
mod members;
#[cfg(test)]
mod tests;

pub use control::{Control, control};
pub use error::DebError;
pub use index::index;
pub use members::members;
