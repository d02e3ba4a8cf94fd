//! Why something could not be fetched. All that failed is named, not only the first.

use std::fmt;

use chom_format::{Digest, Exit, HostName, HostState, exit::Explain};

use crate::cache::CacheError;
use crate::lock::LockError;

/// Why a fetch did not bring all that it should.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// A host is asked for that the lock does not know.
    #[error("host {0} is not in chom.lock")]
    UnknownHost(HostName),
    /// Nothing may be downloaded, and this is not in the cache.
    #[error("{} not in the cache, and --offline forbids to fetch:{}", count(.0.len()), Lines(.0))]
    Offline(Vec<String>),
    /// Downloads failed.
    #[error("{} not fetched:{}", count(.0.len()), Lines(.0))]
    Failed(Vec<FetchProblem>),
    /// The cache failed.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The mirrors are not known.
    #[error(transparent)]
    Mirrors(Box<LockError>),
}

/// Why one object could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchProblem {
    /// No mirror has it any more.
    #[error("{name}: gone from {}", .urls.join(" and "))]
    Gone {
        /// What it is.
        name: String,
        /// Whether it is a Debian package: those leave their mirrors when a newer version comes.
        package: bool,
        /// Where it was looked for.
        urls: Vec<String>,
    },
    /// What is there is something else.
    #[error("{name}: {url} has sha256 {found}, but {wanted} is locked; nothing was kept")]
    WrongDigest {
        /// What it is.
        name: String,
        /// Where it came from.
        url: String,
        /// In the lock.
        wanted: Digest,
        /// Of what came.
        found: Digest,
    },
    /// What is there is far too long to be it.
    #[error("{name}: {url} has more than {limit} bytes, but {wanted} are locked; nothing was kept")]
    TooLong {
        /// What it is.
        name: String,
        /// Where it came from.
        url: String,
        /// In the lock.
        wanted: u64,
        /// Where reading stopped.
        limit: u64,
    },
    /// No mirror gave it.
    #[error("{name}: {url}: {reason}")]
    Unreachable {
        /// What it is.
        name: String,
        /// The last address that was tried.
        url: String,
        /// Why it failed, the last time.
        reason: String,
    },
    /// The time was up.
    #[error("{name}: the time for the whole fetch is up; what came is kept for the next run")]
    Deadline {
        /// What it is.
        name: String,
    },
    /// The cache failed.
    #[error("{name}: {reason}")]
    Cache {
        /// What it is.
        name: String,
        /// Why.
        reason: String,
    },
}

/// An error with all its causes in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

struct Lines<'a, T>(&'a [T]);

impl<T: fmt::Display> fmt::Display for Lines<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

fn count(objects: usize) -> String {
    if objects == 1 { "1 object is".to_owned() } else { format!("{objects} objects are") }
}

impl Explain for FetchError {
    fn exit(&self) -> Exit {
        match self {
            Self::UnknownHost(_) => Exit::BadInput,
            Self::Mirrors(error) => error.exit(),
            _ => Exit::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::UnknownHost(_) => Some("run `chom-bundle lock`".to_owned()),
            Self::Offline(_) => Some("run `chom-bundle fetch` once with a network".to_owned()),
            Self::Failed(problems) => hint(problems),
            Self::Cache(error) => error.hint(),
            Self::Mirrors(error) => error.hint(),
        }
    }

    fn host(&self) -> HostState {
        HostState::NotConcerned
    }
}

// The gravest first: other bytes under a known address, then what is gone, then what was out of reach.
fn hint(problems: &[FetchProblem]) -> Option<String> {
    let any = |test: fn(&FetchProblem) -> bool| problems.iter().any(test);
    let hint = if any(|problem| {
        matches!(problem, FetchProblem::WrongDigest { .. } | FetchProblem::TooLong { .. })
    }) {
        "the address serves other bytes than the lock was made with: find out why before you run `chom-bundle lock --update`"
    } else if any(|problem| matches!(problem, FetchProblem::Gone { package: true, .. })) {
        "mirrors drop a package when a newer version comes: run `chom-bundle lock --update`, or set mirrors.snapshot in the inventory to a snapshot archive that still has it"
    } else if any(|problem| matches!(problem, FetchProblem::Gone { .. })) {
        "check the address and the version of the component, then run `chom-bundle lock --update`"
    } else {
        "run it again: what has come so far is kept, and a download is resumed where it broke off"
    };
    Some(hint.to_owned())
}
