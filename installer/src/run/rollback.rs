//! Taking back: a transaction that stands, because somebody asks, or one that was cut off.

use super::session::this_program;
use super::way_back::at_the_end;
use super::{Outcome, RunError, Session, backup, figures};
use crate::engine::{Engine, EngineError, Report, ask_for_obstacles, prove_originals, tell_at_login};
use crate::sys::RealSys;
use crate::transaction::{Hold, TransactionRecord, WayError};
use crate::ui::{Progress, Watcher};

/// Rolls back the newest committed transaction, or all that are newer than `to` (0: all there are); when one was
/// interrupted, that. A way that does not exist in full is refused before
/// anything is touched. `agreed` is given those, newest first. `partly`: although originals are lost.
pub fn rollback(
    to: Option<u64>,
    partly: bool,
    agreed: &dyn Fn(&[&TransactionRecord]) -> Result<(), RunError>,
    progress: &Progress,
) -> Result<Outcome, RunError> {
    let mut session = Session::for_change()?;
    let hold = Hold::take(&mut session.sys, &session.files, "rolling back")?;
    // What was cut off comes first, and is all that is taken back then: whoever sees a half done host and wants
    // it back does not mean the transaction before it as well.
    let unfinished = session.unfinished()?;
    let cut_off = !unfinished.is_empty();
    let ids = if cut_off { unfinished } else { session.way().to(to).map_err(EngineError::from)? };
    let wanted: Vec<&TransactionRecord> =
        session.known.iter().rev().filter(|known| ids.contains(&known.id)).collect();
    if !cut_off && !partly {
        wanted.iter().try_for_each(|known| prove_originals(&session.sys, &session.files, known))?;
    }
    if !cut_off {
        wanted.iter().try_for_each(|known| ask_for_obstacles(&session.sys, &session.files, known))?;
    }
    if !wanted.is_empty() {
        agreed(&wanted)?;
    }
    let Some(hold) = hold else { return Err(EngineError::from(WayError::Nothing).into()) };
    backup::sweep(&mut session);
    if !cut_off {
        figures::withdraw(&mut session);
    }
    let mut watcher = Watcher::new(progress);
    let mut engine = Engine::new(&mut session.sys, session.files.clone(), &hold, &mut watcher);
    engine = engine.kept_as(this_program());
    let reports = if cut_off { engine.recover()? } else { engine.rollback(to)? };
    publish(&mut session, &reports, !cut_off);
    // The figures have read again what is known.
    let end = at_the_end(&session, reports.last().map(|report| report.id));
    Ok(Outcome::of_all(reports).told_as(end))
}

fn publish(session: &mut Session, reports: &[Report], asked_for: bool) {
    if let Some(last) = reports.last() {
        figures::publish(session, last, asked_for);
    }
}

/// Takes back what a run that was cut off left half done.
pub fn recover(progress: &Progress) -> Result<Outcome, RunError> {
    let mut session = Session::for_change()?;
    let Some(hold) = Hold::take(&mut session.sys, &session.files, "recovering")? else {
        return Ok(Outcome::nothing());
    };
    backup::sweep(&mut session);
    let mut watcher = Watcher::new(progress);
    let mut engine = Engine::new(&mut session.sys, session.files.clone(), &hold, &mut watcher);
    engine = engine.kept_as(this_program());
    let reports = engine.recover()?;
    publish(&mut session, &reports, false);
    Ok(if reports.is_empty() { Outcome::nothing() } else { Outcome::of_all(reports) })
}

/// The same while the host comes up, as the boot unit calls it: what lies on the disk comes back before anything
/// reads it, and the rest follows by itself.
pub fn recover_at_boot(progress: &Progress) -> Result<Outcome, RunError> {
    let recovered = at_boot(progress);
    if recovered.is_err() {
        // Whatever it was, a person has to know before the next command says so.
        let mut sys = RealSys::new("/");
        tell_at_login(&mut sys, "this host may be half done, and could not be put back when it came up");
    }
    recovered
}

fn at_boot(progress: &Progress) -> Result<Outcome, RunError> {
    let mut session = Session::for_change()?;
    let Some(hold) = Hold::take(&mut session.sys, &session.files, "recovering at boot")? else {
        return Ok(Outcome::nothing());
    };
    backup::sweep(&mut session);
    let mut watcher = Watcher::new(progress);
    let mut engine = Engine::new(&mut session.sys, session.files.clone(), &hold, &mut watcher);
    let ids = engine.recover_early()?;
    if ids.is_empty() {
        return Ok(Outcome::nothing());
    }
    engine.recover_later()?;
    Ok(Outcome::half_way(ids.first().copied()))
}
