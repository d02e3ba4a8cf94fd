//! A backup made by hand, by the timer, or before an installation.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::time::Instant;

use jiff::Timestamp;
use serde::Serialize;

use super::super::session::who;
use super::super::{RunError, Session, figures};
use super::list::{Listed, taken_before};
use super::{Standing, settled, sweep};
use chom_format::BackupSpec;
use chom_format::exit::Explain as _;

use crate::backup::BackupError;
use crate::backup::create::{About, BackupRequest, Stage, create, measure, size};
use crate::backup::retention::condemned;
use crate::preflight::Finding;
use crate::sys::{Sys as _, interrupt};
use crate::transaction::Hold;
use crate::ui::{Event, Progress};

const CHECK: &str = "backup";
const REMEDY: &str = "mend that, or set `backup.before_install: false` in the inventory";

/// A backup that was made.
#[derive(Debug, Clone, Serialize)]
pub struct Created {
    /// Version of this shape.
    pub format: u32,
    /// What it is.
    pub backup: Listed,
    /// Those that were taken away, oldest first, each with the reason.
    pub removed: Vec<(u64, String)>,
    /// How long it took.
    pub seconds: f64,
}

/// Makes a backup of what stands on this host.
pub fn backup_create(progress: &Progress) -> Result<Created, RunError> {
    let mut session = Session::for_change()?;
    // Before anything is made on a host that never had a transaction.
    Standing::of(&session)?;
    let hold = Hold::establish(&mut session.sys, &session.files, "making a backup")?;
    sweep(&mut session);
    session.look_again()?;
    settled(&session)?;
    let created = make(&mut session, &hold, None, progress)?;
    Ok(created)
}

/// Makes the backup that belongs to a transaction which is about to begin, when what stands wants one.
pub(in super::super) fn before(
    session: &mut Session,
    hold: &Hold,
    progress: &Progress,
) -> Result<Option<Created>, RunError> {
    if wanted(session)?.is_none() {
        return Ok(None);
    }
    hold.say("making a backup");
    let id = session.files.next_id(&session.sys)?;
    make(session, hold, Some(id), progress).map(Some)
}

/// Whether the backup that an installation is to begin with can be made. Nothing when none is wanted.
pub(in super::super) fn finding(session: &Session) -> Option<Finding> {
    // Databases are root's to ask, and a directory that is looked at as if it were a host runs none.
    let here = session.sys.root() == Path::new("/") && nix::unistd::geteuid().is_root();
    if !here {
        return None;
    }
    let measured = wanted(session).transpose()?.and_then(|spec| measure(&session.sys, &spec, &|_| {}));
    Some(match measured {
        Ok(measured) => {
            let bytes = measured.iter().map(|measured| measured.bytes).sum();
            Finding::pass(CHECK, format!("up to {} are backed up before", size(bytes)))
        }
        Err(error) => {
            Finding::fail(CHECK, error.to_string(), error.hint().unwrap_or_else(|| REMEDY.to_owned()))
        }
    })
}

// What is to be backed up before an installation; none when nothing is.
fn wanted(session: &Session) -> Result<Option<BackupSpec>, BackupError> {
    match Standing::of(session) {
        Ok(Standing { spec, .. }) => {
            Ok(Some(spec).filter(|spec| spec.policy.before_install && !spec.parts.is_empty()))
        }
        Err(BackupError::NothingStands | BackupError::NothingNamed) => Ok(None),
        Err(error) => Err(error),
    }
}

fn make(
    session: &mut Session,
    _: &Hold,
    transaction: Option<u64>,
    progress: &Progress,
) -> Result<Created, RunError> {
    let begun = Instant::now();
    let standing = Standing::of(session)?;
    let about = About {
        host: standing.installed.manifest.host.name.clone(),
        bundle: session.bundle_of(standing.installed.id),
        stood: standing.installed.id,
        transaction,
        by: who(),
    };
    let told = |stage: &Stage<'_>| {
        let text = match stage {
            Stage::Measuring(part) => format!("measuring {part}"),
            Stage::Reading(part) => format!("backing up {part}"),
            Stage::Verifying(file) => format!("reading {file} again"),
        };
        progress.show(&Event::Note { text: &text });
    };
    let found = create(&mut session.sys, &BackupRequest { spec: &standing.spec, about }, &told)?;
    let removed = retire(session, &standing, transaction, progress);
    figures::publish_backup(session);
    Ok(Created {
        format: 1,
        backup: Listed::of(&found, &taken_before(session)),
        removed,
        seconds: begun.elapsed().as_secs_f64(),
    })
}

// The backup is made: what cannot be taken away is told, and no failure.
fn retire(
    session: &mut Session,
    standing: &Standing,
    transaction: Option<u64>,
    progress: &Progress,
) -> Vec<(u64, String)> {
    let note = |text: &str| progress.show(&Event::Note { text });
    let shelf = standing.shelf();
    let open = session.known.iter().filter(|known| known.state.is_open()).map(|known| known.id);
    let open: BTreeSet<u64> = open.chain(transaction).collect();
    let found = match shelf.list(&session.sys) {
        Ok(found) => found,
        Err(error) => {
            note(&format!("old backups could not be looked at: {error}"));
            return Vec::new();
        }
    };
    let mut removed = Vec::new();
    for (id, why) in condemned(&found, &standing.spec.policy, &open, Timestamp::now()) {
        if interrupt::pending().is_some() {
            break;
        }
        match shelf.remove(&mut session.sys, id) {
            Ok(()) => removed.push((id, why)),
            Err(error) => note(&format!("backup {id} could not be taken away: {error}")),
        }
    }
    removed
}

impl fmt::Display for Created {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.backup)?;
        for (id, why) in &self.removed {
            writeln!(f, "backup {id} is taken away: {why}")?;
        }
        writeln!(f, "backup {} is made and was read again, in {:.1} s", self.backup.id, self.seconds)
    }
}
