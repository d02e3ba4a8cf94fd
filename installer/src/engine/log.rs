//! The log of a transaction, for people. It is a comfort and not a promise: it is written beside the door,
//! is not synced, and a run goes on without it.

use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;

use chom_format::HostPath;

use super::event::Event;
use crate::sys::lockable;

/// An open log, or none when it could not be opened.
#[derive(Debug)]
pub(super) struct Log(Option<File>);

impl Log {
    /// The log at this path, appended to.
    pub(super) fn open(root: &Path, path: &HostPath) -> Self {
        let file = lockable(root, path, true);
        if let Err(error) = &file {
            log::warn!("no log is kept at {path}: {error}");
        }
        Self(file.ok().flatten())
    }

    /// One line with the time.
    pub(super) fn write(&mut self, event: &Event<'_>) {
        if let Event::Checking { .. } = event {
            return;
        }
        if let Some(file) = &mut self.0 {
            let line = format!("{} {event}\n", jiff::Timestamp::now());
            // A full disk must not stop a rollback for the sake of its log.
            file.seek(SeekFrom::End(0)).and_then(|_| file.write_all(line.as_bytes())).ok();
        }
    }
}
