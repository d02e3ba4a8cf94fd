//! Hosts over the system's own ssh: the user's agent, configuration, jump hosts and known keys count, and no key is
//! ever read by this program.

pub mod error;
pub mod facts;
mod shell;
pub mod ssh;

pub use error::{CallError, RemoteError};
