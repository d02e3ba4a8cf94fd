//! What a rehearsal says while it runs. Owns the words' order, never the terminal: the command line gives
//! the sink.

use std::time::{Duration, Instant};

/// Where the lines go, with the time since the start.
pub struct Talk<'a> {
    start: Instant,
    sink: &'a dyn Fn(Duration, &str),
}

impl<'a> Talk<'a> {
    /// Starts the clock.
    pub fn new(sink: &'a dyn Fn(Duration, &str)) -> Self {
        Self { start: Instant::now(), sink }
    }

    /// Says one line.
    pub fn say(&self, line: impl AsRef<str>) {
        (self.sink)(self.start.elapsed(), line.as_ref());
    }

    /// Since the start.
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }
}
