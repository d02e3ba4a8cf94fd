//! Exit codes of both programs, and what a failure says of the host.

use std::error::Error;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The exit codes. Their numbers are a contract with scripts and do not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Exit {
    /// Done, or nothing to do.
    Done = 0,
    /// Failed; nothing was changed.
    Failed = 1,
    /// Bad arguments, inventory or bundle.
    BadInput = 2,
    /// Preflight refused.
    Refused = 3,
    /// Failed or interrupted; the host is proved restored.
    Restored = 4,
    /// Mixed state that needs a person; named resource by resource.
    NeedsPerson = 5,
    /// Another run holds the host.
    Busy = 6,
    /// Applied and healthy, waiting for confirmation.
    AwaitingConfirm = 7,
}

impl Exit {
    /// The number for the operating system.
    pub fn code(self) -> u8 {
        self as u8
    }
}

/// The state that the host is in now, as the line `host is now: ...` says it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostState {
    /// No effect took place.
    Unchanged,
    /// What the bundle says, with the checks passed.
    Installed,
    /// What the bundle says, with the checks passed, and taken back unless somebody confirms in time.
    Exposed,
    /// As before the transaction; every touched resource was read again and compared.
    Restored,
    /// Taken back, but for what others have changed since and what stays because of them.
    LeftToOthers,
    /// Neither: the conflicts are named.
    Mixed(Vec<String>),
    /// In the words of the program on the host.
    Told(String),
    /// This program does not run on the host that it speaks of, or no host is concerned.
    NotConcerned,
}

impl fmt::Display for HostState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unchanged => f.write_str("unchanged"),
            Self::Installed => f.write_str("installed and healthy"),
            Self::Exposed => {
                f.write_str("installed and healthy, and taken back unless it is confirmed in time")
            }
            Self::Restored => f.write_str("as before, proved by reading every touched resource again"),
            Self::LeftToOthers => {
                f.write_str("taken back; what others have changed since stays theirs, and is named")
            }
            Self::Mixed(conflicts) => {
                write!(f, "mixed, {} conflict(s) need a person: {}", conflicts.len(), conflicts.join("; "))
            }
            Self::Told(words) => f.write_str(words),
            Self::NotConcerned => f.write_str("not concerned"),
        }
    }
}

/// What every error of both programs can say about itself.
pub trait Explain: Error {
    /// The exit code that it leads to.
    fn exit(&self) -> Exit;

    /// The command or act that mends it.
    fn hint(&self) -> Option<String> {
        None
    }

    /// The state that the host is in now.
    fn host(&self) -> HostState;
}
