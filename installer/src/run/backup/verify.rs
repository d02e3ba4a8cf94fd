//! Whether a backup is what was written.

use std::fmt;
use std::path::Path;

use serde::Serialize;

use super::super::{RunError, Session};
use super::list::{Listed, taken_before};
use super::{Standing, find};
use crate::backup::BackupError;
use crate::backup::age::Identity;
use crate::backup::verify::{Depth, Keys, verify};
use crate::sys::interrupt;
use crate::ui::{Event, Progress};

/// A backup that is good.
#[derive(Debug, Serialize)]
pub struct Verdict {
    /// Version of this shape.
    pub format: u32,
    /// Which.
    pub backup: Listed,
    /// How far it was read.
    pub depth: Depth,
}

/// Reads a backup back: the one of this number, or the newest. Changes nothing.
pub fn backup_verify(
    id: Option<u64>,
    identity: Option<&Path>,
    progress: &Progress,
) -> Result<Verdict, RunError> {
    let session = Session::for_telling()?;
    interrupt::listen()?;
    let found = find(&session.sys, &Standing::of(&session)?.shelf(), id)?;
    let identities = identity.map(Identity::from_file).transpose().map_err(BackupError::from)?;
    let keys = identities.as_deref().map_or(Keys::None, Keys::Identities);
    let told = |kept: &crate::backup::label::Kept| {
        progress.show(&Event::Note { text: &format!("reading {}", kept.file) });
    };
    let depth = match verify(&session.sys, &found, keys, &told) {
        Ok(depth) => depth,
        Err(damages) => {
            interrupt::check()?;
            return Err(BackupError::Damaged { id: found.id, damages }.into());
        }
    };
    Ok(Verdict { format: 1, backup: Listed::of(&found, &taken_before(&session)), depth })
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (id, files) = (self.backup.id, self.backup.parts.len());
        write!(f, "{}", self.backup)?;
        match self.depth {
            Depth::Contents => {
                writeln!(f, "backup {id} is good: {files} files and what is in them were read")
            }
            Depth::Stored => writeln!(
                f,
                "backup {id}: {files} files are as they were written; what is in them is encrypted, and was not read \
                 without --identity FILE"
            ),
        }
    }
}
