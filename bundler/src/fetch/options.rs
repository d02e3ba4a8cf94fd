//! How patient a fetch is.

use std::time::Duration;

/// Numbers that bound a fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchOptions {
    /// Downloads at the same time.
    pub jobs: usize,
    /// Tries for each address before it is given up.
    pub attempts: u32,
    /// The first pause between two tries; it doubles with each, up to [`FetchOptions::longest_pause`].
    pub pause: Duration,
    /// The longest pause between two tries.
    pub longest_pause: Duration,
    /// For a connection to come about, and for an answer to begin.
    pub connect: Duration,
    /// Without a byte this long, a connection is given up.
    pub stall: Duration,
    /// For the whole fetch.
    pub deadline: Duration,
    /// Use nothing but the cache.
    pub offline: bool,
}

impl Default for FetchOptions {
    fn default() -> Self {
        Self {
            jobs: 6,
            attempts: 4,
            pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(20),
            connect: Duration::from_secs(20),
            stall: Duration::from_secs(30),
            deadline: Duration::from_secs(3600),
            offline: false,
        }
    }
}
