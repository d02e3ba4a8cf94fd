//! The log of a transaction, for people. It is a comfort and not a promise: it is written beside the door,
//! is not synced, and a run goes on without it.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::event::Event;

/// An open log, or none when it could not be opened.
#[derive(Debug)]
pub(super) struct Log(Option<File>);

impl Log {
    /// The log at this path, appended to.
    pub(super) fn open(path: &Path) -> Self {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
        if let Err(error) = &file {
            log::warn!("no log is kept at {}: {error}", path.display());
        }
        Self(file.ok())
    }

    /// One line with the time.
    pub(super) fn write(&mut self, event: &Event<'_>) {
        if let Event::Checking { .. } = event {
            return;
        }
        if let Some(file) = &mut self.0 {
            let line = format!("{} {event}\n", jiff::Timestamp::now());
            // A full disk must not stop a rollback for the sake of its log.
            file.write_all(line.as_bytes()).ok();
        }
    }
}
