//! The plan: what a run will do, decided by looking, and nothing guessed.
//!
//! Steps decide one after the other, each with what the earlier ones will have done. The plan is a contract:
//! it holds every path that a decision was made from, as it was, and [`Plan::outdated`] names those that
//! changed since. Making a plan writes nothing, and for a host where nothing is to be done it starts one
//! child process (the question to systemd).

mod room;
mod show;
mod summary;

use std::path::Path;

use chom_format::{HostPath, Manifest, StepId, UnitName};
use serde::Serialize;

use crate::step::{self, Context, Decision, Entry, Planned, StepError};
use crate::sys::{Sys, SysError, look};
use crate::systemd::Snapshot;

pub use room::Room;
pub use show::Style;
pub use summary::{Fate, UnitFate};

/// What a run will do.
#[derive(Debug, Serialize)]
pub struct Plan {
    /// Every step with what was decided, in the order in which they run.
    pub steps: Vec<Planned>,
    /// What becomes of each unit of the bundle.
    pub units: Vec<UnitFate>,
    /// What will be written, by file system.
    pub room: Vec<Room>,
    /// Files and releases that are as they should be.
    pub found: usize,
    /// What the steps were told at the start; each one's own context follows from the changes before it.
    #[serde(skip)]
    context: Context,
}

/// The plan could not be made.
#[derive(Debug, thiserror::Error)]
#[error("{}{source}", .step.as_ref().map(|step| format!("{step}: ")).unwrap_or_default())]
pub struct PlanError {
    /// The step that could not decide, when it was one.
    pub step: Option<StepId>,
    /// Why.
    pub source: StepError,
}

impl PlanError {
    fn at(step: &StepId) -> impl FnOnce(StepError) -> Self {
        let step = Some(step.clone());
        move |source| Self { step, source }
    }
}

impl From<StepError> for PlanError {
    fn from(source: StepError) -> Self {
        Self { step: None, source }
    }
}

impl From<SysError> for PlanError {
    fn from(source: SysError) -> Self {
        Self { step: None, source: source.into() }
    }
}

impl Plan {
    /// Makes the plan of a manifest for a host. `bundle` is the opened bundle's folder, `accepted` are the steps
    /// that cannot be undone and that the operator named.
    pub fn make(
        sys: &dyn Sys,
        manifest: &Manifest,
        bundle: &Path,
        accepted: &[StepId],
    ) -> Result<Self, PlanError> {
        let entries = step::all(manifest)?;
        Self::of(sys, &entries, bundle, accepted, || Snapshot::read(sys, &units(&entries)))
    }

    /// The same for steps that are built already. `asked` gives what systemd says of their [`units`]; it is called
    /// when the first of them decides, so that whoever asked beforehand need not wait until then.
    pub fn of(
        sys: &dyn Sys,
        entries: &[Entry],
        bundle: &Path,
        accepted: &[StepId],
        asked: impl FnOnce() -> Result<Snapshot, SysError>,
    ) -> Result<Self, PlanError> {
        let mut asked = Some(asked);
        let mut context =
            Context { bundle: bundle.to_path_buf(), accepted: accepted.to_vec(), ..Context::default() };
        let mut upcoming = context.clone();
        let mut steps = Vec::new();
        for entry in entries {
            if step::stated(&entry.spec).unit.is_some()
                && let Some(asked) = asked.take()
            {
                context.units = asked()?.into();
                upcoming.units = context.units.clone();
            }
            let planned = decide(sys, entry, &upcoming).map_err(PlanError::at(&entry.id))?;
            if let Decision::Change(change) = &planned.decision {
                upcoming.absorb(change);
            }
            steps.push(planned);
        }
        let room = room::measure(sys, &steps)?;
        let units = summary::fates(entries, &steps);
        let found = entries.iter().zip(&steps).filter(|(entry, planned)| is_found(entry, planned)).count();
        Ok(Self { steps, units, room, found, context })
    }

    /// The plan of steps that are no bundle's and were decided already.
    pub fn decided(sys: &dyn Sys, steps: Vec<Planned>) -> Result<Self, SysError> {
        let room = room::measure(sys, &steps)?;
        Ok(Self { steps, units: Vec::new(), room, found: 0, context: Context::default() })
    }

    /// Whether the host is already what the bundle says.
    pub fn is_empty(&self) -> bool {
        !self.steps.iter().any(|step| matches!(step.decision, Decision::Change(_) | Decision::Refuse { .. }))
    }

    /// The steps that change something, each with the context in which it was decided.
    pub fn effects(&self) -> Vec<(&Planned, Context)> {
        let mut context = self.context.clone();
        let mut effects = Vec::new();
        for planned in &self.steps {
            if let Decision::Change(change) = &planned.decision {
                effects.push((planned, context.clone()));
                context.absorb(change);
            }
        }
        effects
    }

    /// What the first step is told.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The steps that must not be done, with what is in the way and what mends it.
    pub fn refusals(&self) -> Vec<(&StepId, &str, &str)> {
        self.steps
            .iter()
            .filter_map(|step| match &step.decision {
                Decision::Refuse { conflict, remedy } => Some((&step.id, conflict.as_str(), remedy.as_str())),
                Decision::Keep { .. } | Decision::Change(_) => None,
            })
            .collect()
    }

    /// Paths that the plan was made from and that are no longer as they were.
    pub fn outdated(&self, sys: &dyn Sys) -> Result<Vec<HostPath>, SysError> {
        let mut changed = Vec::new();
        for (path, seen) in self.steps.iter().flat_map(|step| &step.seen) {
            if look(sys, path)? != *seen && !changed.contains(path) {
                changed.push(path.clone());
            }
        }
        Ok(changed)
    }

    /// The plan for people: see [`Style`].
    pub fn show(&self, style: Style) -> String {
        show::plan(self, style)
    }
}

fn decide(sys: &dyn Sys, entry: &Entry, context: &Context) -> Result<Planned, StepError> {
    let mut seen = Vec::new();
    for path in entry.step.paths() {
        seen.push((path.clone(), look(sys, &path)?));
    }
    let decision = entry.step.decide(sys, context)?;
    Ok(Planned {
        id: entry.id.clone(),
        component: entry.component.clone(),
        phase: entry.phase,
        decision,
        seen,
    })
}

// Directories, packages and accounts may be anybody's; the very bytes of a bundle are nobody else's.
fn is_found(entry: &Entry, planned: &Planned) -> bool {
    step::stated(&entry.spec).brings_bytes && matches!(planned.decision, Decision::Keep { .. })
}

/// The units that steps are about.
pub fn units(entries: &[Entry]) -> Vec<UnitName> {
    entries.iter().filter_map(|entry| step::stated(&entry.spec).unit.cloned()).collect()
}

#[cfg(test)]
mod tests;
