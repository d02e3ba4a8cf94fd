//! A child process as a value: argv, never a shell string; a deadline; a C locale; no standard input.

use std::collections::BTreeMap;
use std::time::Duration;

use chom_format::HostPath;

use super::view::Layer;

/// What to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Program and arguments. A bare program name is looked up in the host's system path.
    pub argv: Vec<String>,
    /// Added to the clean environment (`PATH`, `LC_ALL=C.UTF-8`, `HOME=/root`), which is all that a child gets.
    pub env: BTreeMap<String, String>,
    /// Run as this user with its groups instead of root.
    pub user: Option<String>,
    /// Bytes for standard input; null otherwise.
    pub stdin: Option<Vec<u8>>,
    /// A file of the host for standard input instead, of any length.
    pub stdin_from: Option<HostPath>,
    /// The process group is ended after this long.
    pub timeout: Duration,
    /// Directories that the child alone sees otherwise, in a private mount namespace: see [`super::view`].
    pub view: Vec<Layer>,
}

/// What came of it. The exit code is data: callers decide which ones are failures.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// Exit code; 128 + n when ended by signal n.
    pub code: i32,
    /// Standard output, at most 4 MiB (head and tail kept).
    pub stdout: Vec<u8>,
    /// Standard error, the same.
    pub stderr: Vec<u8>,
}

impl Command {
    /// A command with the usual deadline of 30 seconds.
    pub fn new<S: Into<String>>(argv: impl IntoIterator<Item = S>) -> Self {
        Self {
            argv: argv.into_iter().map(Into::into).collect(),
            env: BTreeMap::new(),
            user: None,
            stdin: None,
            stdin_from: None,
            timeout: Duration::from_secs(30),
            view: Vec::new(),
        }
    }

    /// The same with another deadline.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The same with one more variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }
}

impl Output {
    /// Whether the exit code is 0.
    pub fn success(&self) -> bool {
        self.code == 0
    }

    /// Standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// The last lines of standard error, for an error message.
    pub fn complaint(&self) -> String {
        let text = String::from_utf8_lossy(&self.stderr);
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        lines.iter().skip(lines.len().saturating_sub(12)).copied().collect::<Vec<_>>().join("\n")
    }
}
