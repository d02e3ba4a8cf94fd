//! Brings a backup back, as a transaction.

use std::path::PathBuf;
use std::time::Duration;

use chom_format::PartName;

use super::super::session::{this_program, who};
use super::super::{Outcome, RunError, Session, figures};
use super::{Standing, find, settled};
use crate::backup::BackupError;
use crate::backup::age::Identity;
use crate::backup::create::size;
use crate::backup::restore::{Entry, decide, stage, steps, sweep};
use crate::backup::shelf::Found;
use crate::backup::verify::{Depth, Keys, verify};
use crate::check::Before;
use crate::engine::{Engine, ManifestChecks, Options, Task, TransactionRequest};
use crate::plan::Plan;
use crate::step::{Context, Decision, Planned};
use crate::sys::{Sys as _, interrupt};
use crate::transaction::{Hold, Installed};
use crate::ui::{Event, Progress, Watcher};

/// A large database takes its time.
const DEADLINE: Duration = Duration::from_secs(6 * 3600);
const RESERVE: u64 = 64 << 20;

/// What `backup restore` is asked to do.
#[derive(Debug, Clone)]
pub struct RestoreAsked {
    /// Which backup.
    pub id: u64,
    /// Only these parts; all when there is none.
    pub only: Vec<PartName>,
    /// Where the private key is, for an encrypted one.
    pub identity: Option<PathBuf>,
    /// It may be another host's.
    pub any_host: bool,
}

/// Brings parts of a backup back: all of them, or nothing.
pub fn backup_restore(
    asked: &RestoreAsked,
    agreed: &dyn Fn(&Plan) -> Result<(), RunError>,
    progress: &Progress,
) -> Result<Outcome, RunError> {
    let mut session = Session::for_change()?;
    Standing::of(&session)?;
    let hold = Hold::establish(&mut session.sys, &session.files, "restoring a backup")?;
    session.look_again()?;
    settled(&session)?;
    let standing = Standing::of(&session)?;
    let found = find(&session.sys, &standing.shelf(), Some(asked.id))?;
    let identities = admit(asked, &session, &standing, &found, progress)?;
    let staged = stage(&mut session.sys, &session.files, &found, &asked.only, &identities);
    let restored = staged.map_err(RunError::from).and_then(|staged| {
        let entries = steps(&session.sys, &staged)?;
        let planned = decide(&session.sys, &entries).map_err(crate::plan::PlanError::from)?;
        carry_out(&mut session, &hold, &standing.installed, &found, &entries, planned, agreed, progress)
    });
    // Clear text of what is encrypted must not stay.
    let swept = sweep(&mut session.sys, &session.files);
    let outcome = restored?;
    if let Err(error) = swept {
        progress.show(&Event::Note { text: &format!("what was unpacked stays behind: {error}") });
    }
    Ok(outcome)
}

/// Whether this backup may be brought back here, read to its last byte; and what opens it.
fn admit(
    asked: &RestoreAsked,
    session: &Session,
    standing: &Standing,
    found: &Found,
    progress: &Progress,
) -> Result<Vec<Identity>, BackupError> {
    let damaged = |damages| BackupError::Damaged { id: found.id, damages };
    let label = match &found.label {
        Ok(label) => label,
        Err(_) => {
            return Err(damaged(verify(&session.sys, found, Keys::None, &|_| {}).err().unwrap_or_default()));
        }
    };
    let here = &standing.installed.manifest.host.name;
    if label.host != *here && !asked.any_host {
        return Err(BackupError::OtherHost {
            id: found.id,
            of: label.host.to_string(),
            here: here.to_string(),
        });
    }
    let identities = asked.identity.as_deref().map(Identity::from_file).transpose()?.unwrap_or_default();
    let keys = if identities.is_empty() { Keys::None } else { Keys::Identities(&identities) };
    let told = |kept: &crate::backup::label::Kept| {
        progress.show(&Event::Note { text: &format!("reading {}", kept.file) });
    };
    match verify(&session.sys, found, keys, &told) {
        Ok(Depth::Contents) => {}
        Ok(Depth::Stored) => return Err(BackupError::Encrypted(found.id)),
        Err(damages) => {
            interrupt::check()?;
            return Err(damaged(damages));
        }
    }
    let chosen =
        label.parts.iter().filter(|kept| asked.only.is_empty() || asked.only.contains(&kept.part.name));
    let needed = chosen.map(|kept| kept.clear.size).sum::<u64>() + RESERVE;
    let free = session.sys.space(session.files.root())?.free_bytes;
    if free < needed {
        let (needed, free, place) = (size(needed), size(free), session.files.root());
        return Err(BackupError::NotNow(vec![format!(
            "unpacking needs {needed} in {place}, and {free} are free"
        )]));
    }
    Ok(identities)
}

#[allow(clippy::too_many_arguments, reason = "each of them is another thing, and there is one caller")]
fn carry_out(
    session: &mut Session,
    hold: &Hold,
    installed: &Installed,
    found: &Found,
    entries: &[Entry],
    planned: Vec<Planned>,
    agreed: &dyn Fn(&Plan) -> Result<(), RunError>,
    progress: &Progress,
) -> Result<Outcome, RunError> {
    let plan = Plan::decided(&session.sys, planned).map_err(crate::plan::PlanError::from)?;
    let name = format!("backup-{:06}", found.id);
    if plan.is_empty() {
        return Ok(Outcome::unchanged(name, &[], 0.0));
    }
    let short = plan.room.iter().find(|room| !room.is_enough());
    if let Some(room) = short {
        let (needed, free) = (size(room.writes + room.rollback), size(room.free_bytes));
        let words =
            format!("{}: up to {needed} are needed with the way back, and {free} are free", room.path);
        return Err(BackupError::NotNow(vec![words]).into());
    }
    progress.pause();
    agreed(&plan)?;
    let before = Before::look(&session.sys, &installed.manifest.checks, &installed.checks());
    let checks = ManifestChecks { specs: &installed.manifest.checks, before };
    // The copy that stays with the transaction is what stands after it: the bundle is the same as before.
    let tasks = plan.steps.iter().filter_map(|planned| {
        let entry = entries.iter().find(|entry| entry.id == planned.id)?;
        let Decision::Change(change) = &planned.decision else { return None };
        Some(Task {
            id: planned.id.clone(),
            phase: planned.phase,
            step: &*entry.step,
            change: change.clone(),
            seen: Vec::new(),
            deadline: DEADLINE,
        })
    });
    let request = TransactionRequest {
        bundle: &name,
        manifest: &installed.bytes,
        by: &who(),
        tasks: tasks.collect(),
        context: Context::default(),
        checks: &checks,
        options: Options { deadline: DEADLINE, ..Options::default() },
        backup: None,
        adopts: false,
    };
    let mut watcher = Watcher::new(progress);
    let mut engine = Engine::new(&mut session.sys, session.files.clone(), hold, &mut watcher);
    engine = engine.kept_as(this_program());
    let report = engine.install(&request)?;
    figures::publish(session, &report, false);
    Ok(Outcome::of(report))
}
