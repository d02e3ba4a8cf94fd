//! What can go wrong at the door: always with the operation, the object of it and the system's own words.

use std::io;
use std::time::Duration;

use chom_format::Digest;

use super::lack::Lack;

/// A look, question or effect that failed.
#[derive(Debug, thiserror::Error)]
pub enum SysError {
    /// A system call failed.
    #[error("{operation} {object}: {source}")]
    Io {
        /// In the infinitive: `read`, `rename`.
        operation: &'static str,
        /// Path or program.
        object: String,
        /// The system's words.
        source: io::Error,
    },
    /// A file system had no room for it, or cannot be written.
    #[error("{operation} {object}: {source}: {lack}")]
    Room {
        /// In the infinitive.
        operation: &'static str,
        /// Path.
        object: String,
        /// The system's words.
        source: io::Error,
        /// Where, and how much was wanted.
        lack: Box<Lack>,
    },
    /// Bytes were not those expected; nothing of them is visible.
    #[error("content of {object} is {found}, not {wanted}")]
    Digest {
        /// Path.
        object: String,
        /// Announced.
        wanted: Digest,
        /// Read.
        found: Digest,
    },
    /// A child did not end in time; its process group was ended.
    #[error("`{command}` was still running after {} s and was ended{}", .timeout.as_secs(), tail(.complaint))]
    Timeout {
        /// The command line.
        command: String,
        /// Its deadline.
        timeout: Duration,
        /// The end of its standard error.
        complaint: String,
    },
    /// A child ended with an exit code that means failure.
    #[error("`{command}` ended with {code}{}", tail(.complaint))]
    Failed {
        /// The command line.
        command: String,
        /// Its exit code.
        code: i32,
        /// The end of its standard error.
        complaint: String,
    },
    /// A fault that was asked for, by a rehearsal or a test.
    #[error("deliberate fault at {0}")]
    Injected(String),
    /// A signal asked the run to stop.
    #[error("interrupted by {0}")]
    Interrupted(&'static str),
}

impl SysError {
    /// Wraps an I/O error with what was being done, for `map_err`.
    pub fn io(operation: &'static str, object: impl ToString) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { operation, object: object.to_string(), source }
    }

    /// Whether something could not be moved because its new place is on another file system.
    pub fn crosses_devices(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::CrossesDevices)
    }

    /// The act that mends it, where one is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Room { lack, .. } => Some(lack.remedy()),
            _ => None,
        }
    }

    /// An error of our own making, where the system had no objection.
    pub fn other(operation: &'static str, object: impl ToString, why: impl Into<String>) -> Self {
        Self::Io { operation, object: object.to_string(), source: io::Error::other(why.into()) }
    }
}

fn tail(complaint: &str) -> String {
    if complaint.is_empty() { String::new() } else { format!(":\n{complaint}") }
}
