//! The log of a transaction, for people. It is a comfort and not a promise: it is written beside the door,
//! is not synced, and a run goes on without it. While it is open, every record of the process goes there too.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use chom_format::HostPath;
use log::Level;

use super::event::Event;
use crate::logger::{self, EVENTS};
use crate::sys::{Access, open_own};

/// An open log, or none when it could not be opened.
#[derive(Debug)]
pub(super) struct Log(Option<File>);

impl Log {
    /// The log of this transaction at this path, appended to.
    pub(super) fn open(root: &Path, path: &HostPath, id: u64) -> Self {
        let file = open_own(root, path, Access::Append);
        let second = file.as_ref().ok().and_then(|file| file.as_ref()?.try_clone().ok());
        logger::transaction_opened(id, second);
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
        log::log!(target: EVENTS, level(event), "{event}");
        if let Some(file) = &mut self.0 {
            let line = format!("{} {event}\n", jiff::Timestamp::now());
            // A full disk must not stop a rollback for the sake of its log.
            file.write_all(line.as_bytes()).ok();
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        logger::transaction_closed();
    }
}

// What there is one of for each resource is for who looks closer, and in the log alone.
fn level(event: &Event<'_>) -> Level {
    match event {
        Event::Failed { .. } | Event::RollingBack { .. } => Level::Warn,
        Event::Stuck { .. } => Level::Error,
        Event::Begun { .. }
        | Event::StepBegun { .. }
        | Event::Committed { .. }
        | Event::Exposed { .. }
        | Event::Proving
        | Event::Proved { .. }
        | Event::Note { .. } => Level::Info,
        Event::Saving { .. }
        | Event::StepDone { .. }
        | Event::Checking { .. }
        | Event::Checked { .. }
        | Event::Restored { .. } => Level::Debug,
    }
}
