//! Brings parts of a backup back, as steps of a transaction like every other.
//!
//! ```text
//! verify -> stage (unsealed, unpacked, compared) -> services that write stop -> each part -> they start -> checks
//!                                                       \___ any failure: the engine puts back what it saved ___/
//! ```
//!
//! A step goes forward only. What it touches it names first: paths one by one, a database as a whole, units. So the
//! engine's journal, its saved originals and its proof are those of an installation, and `rollback` takes it back.

mod database;
mod paths;
mod redis;
mod stage;
mod units;

pub use stage::{Staged, stage, sweep};

use std::collections::BTreeSet;

use chom_format::backup::BackupSource;
use chom_format::step::Phase;
use chom_format::{ComponentName, StepId, UnitName};

use super::error::BackupError;
use crate::step::{Context, Decision, Planned, Step, StepError};
use crate::sys::{Sys, SysError, named};
use crate::systemd;

/// One step of a restore.
pub struct Entry {
    /// Its name.
    pub id: StepId,
    /// Whose part it is about.
    pub component: ComponentName,
    /// When it runs.
    pub phase: Phase,
    /// What it does.
    pub step: Box<dyn Step>,
}

/// The steps that bring the staged parts back, in the order in which they run.
pub fn steps(sys: &dyn Sys, staged: &[Staged]) -> Result<Vec<Entry>, BackupError> {
    let mut entries = Vec::new();
    let mut stopped: Vec<(UnitName, ComponentName)> = Vec::new();
    let mut known = BTreeSet::new();
    let services = staged.iter().flat_map(|part| part.kept.part.stop.iter().map(move |unit| (unit, part)));
    for (unit, part) in services {
        if !known.insert(unit.clone()) || !systemd::read_one(sys, unit)?.is_running() {
            continue;
        }
        let component = part.kept.part.component.clone();
        let step = Box::new(units::Stop { unit: unit.clone() });
        entries.push(entry(&format!("stop/{unit}"), &component, Phase::Prepare, step)?);
        stopped.push((unit.clone(), component));
    }
    for part in staged {
        let (name, component) = (part.kept.part.name.as_str(), &part.kept.part.component);
        let step: Box<dyn Step> = match &part.kept.part.source {
            BackupSource::Paths(source) => Box::new(paths::Paths::new(source.clone(), part.clone())),
            BackupSource::Postgresql(_) | BackupSource::Mariadb(_) => {
                Box::new(database::Data { staged: part.clone() })
            }
            BackupSource::Redis(source) => Box::new(redis::Data::new(sys, source, part)?),
        };
        entries.push(entry(&format!("data/{name}"), component, Phase::Install, step)?);
    }
    for (unit, component) in stopped.into_iter().rev() {
        let step = Box::new(units::Start { unit: unit.clone() });
        entries.push(entry(&format!("start/{unit}"), &component, Phase::Activate, step)?);
    }
    Ok(entries)
}

fn entry(
    what: &str,
    component: &ComponentName,
    phase: Phase,
    step: Box<dyn Step>,
) -> Result<Entry, SysError> {
    let id = named(&format!("restore/{what}"))?;
    Ok(Entry { id, component: component.clone(), phase, step })
}

/// Decides every step. A part that is as in the backup already is kept, and when all are, no service is stopped.
pub fn decide(sys: &dyn Sys, entries: &[Entry]) -> Result<Vec<Planned>, StepError> {
    let mut planned = Vec::new();
    for Entry { id, component, phase, step } in entries {
        let decision = step.decide(sys, &Context::default())?;
        planned.push(Planned {
            id: id.clone(),
            component: component.clone(),
            phase: *phase,
            decision,
            seen: Vec::new(),
        });
    }
    let is_data = |step: &&Planned| step.phase == Phase::Install;
    if planned.iter().filter(is_data).all(|step| matches!(step.decision, Decision::Keep { .. })) {
        for step in planned.iter_mut().filter(|step| step.phase != Phase::Install) {
            step.decision = Decision::Keep { why: "nothing is to be brought back".to_owned() };
        }
    }
    Ok(planned)
}
