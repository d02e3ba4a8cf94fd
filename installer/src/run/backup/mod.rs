//! What the backup commands do. What is to be backed up, the manifest of the transaction that stands says: no bundle
//! is needed.

mod create;
mod list;
mod restore;
mod verify;

pub use create::{Created, backup_create};
pub(super) use create::{before, finding};
pub use list::{Listed, Listing, backup_list};
pub use restore::{RestoreAsked, backup_restore};
pub use verify::{Verdict, backup_verify};

use chom_format::BackupSpec;

use super::{RunError, Session};
use crate::backup::BackupError;
use crate::backup::shelf::{Found, Shelf};
use crate::engine::EngineError;
use crate::sys::{Sys, SysError};
use crate::transaction::Installed;

/// What stands on the host, with what it says of backups.
pub(super) struct Standing {
    pub(super) installed: Installed,
    pub(super) spec: BackupSpec,
}

impl Standing {
    pub(super) fn of(session: &Session) -> Result<Self, BackupError> {
        let installed = session.installed()?.ok_or(BackupError::NothingStands)?;
        let spec = installed.manifest.backup.clone().ok_or(BackupError::NothingNamed)?;
        Ok(Self { installed, spec })
    }

    pub(super) fn shelf(&self) -> Shelf {
        Shelf { dir: self.spec.policy.dir.clone() }
    }
}

/// Refuses while a transaction is half done, or waits to be confirmed: whoever settles that needs the host.
pub(super) fn settled(session: &Session) -> Result<(), RunError> {
    if let Some((known, seconds)) = session.awaiting()? {
        return Err(EngineError::Awaiting { id: known.id, seconds }.into());
    }
    match session.unfinished()?.first() {
        Some(id) => Err(EngineError::Unfinished { id: *id }.into()),
        None => Ok(()),
    }
}

/// One backup by its number, or the newest.
pub(super) fn find(sys: &dyn Sys, shelf: &Shelf, id: Option<u64>) -> Result<Found, BackupError> {
    let all = shelf.list(sys)?;
    let dir = shelf.dir.clone();
    match id {
        Some(id) => all.into_iter().find(|found| found.id == id).ok_or(BackupError::NoSuch { id, dir }),
        None => all.into_iter().next_back().ok_or(BackupError::None(dir)),
    }
}

/// When the newest backup that can be read was made; none when there is none, or nothing is backed up here.
pub(super) fn newest(session: &Session) -> Result<Option<jiff::Timestamp>, SysError> {
    let standing = match Standing::of(session) {
        Ok(standing) => standing,
        Err(BackupError::NothingStands | BackupError::NothingNamed) => return Ok(None),
        Err(error) => return Err(SysError::other("read", "what is installed", error.to_string())),
    };
    let found = standing.shelf().list(&session.sys)?;
    Ok(found.iter().rev().find_map(|found| found.label.as_ref().ok()?.at.parse().ok()))
}

/// Takes away what a restore that was killed has left in clear. Whoever holds the host may.
pub(super) fn sweep(session: &mut Session) {
    if let Err(error) = crate::backup::restore::sweep(&mut session.sys, &session.files) {
        let dir = session.files.root();
        log::warn!(
            "what a restore has unpacked in clear stays in {dir}/restore, and is to be removed by hand: {error}"
        );
    }
}
