//! Steps: forward only. A step says what it touches, decides by looking, and applies. It never undoes
//! itself: the engine restores the resources that it named.

// A kind that is new must be thought of wherever kinds are told apart.
#![cfg_attr(not(test), deny(clippy::wildcard_enum_match_arm))]

mod absent;
mod account;
mod command;
mod detail;
mod dir;
mod file;
mod firewall;
mod kind;
mod link;
mod owners;
mod packages;
mod place;
mod release;
mod unit;
mod validate;

pub use detail::{Detail, FirewallMove, PackageMove, Run, UnitMove};
pub(crate) use firewall::{SshPorts, list_ports};
pub(crate) use kind::stated;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use chom_format::step::{Content, Phase};
use chom_format::{AccountName, ComponentName, HostPath, Manifest, PackageName, StepId, StepSpec};
use serde::Serialize;

use crate::resource::Resource;
use crate::sys::{PathState, Sys, SysError};
use owners::LastOwners;

/// One kind of step.
pub trait Step: Send + Sync {
    /// Looks at the host and decides. Changes nothing. `context` holds what earlier steps of this run will have done.
    fn decide(&self, sys: &dyn Sys, context: &Context) -> Result<Decision, StepError>;

    /// Every resource that `apply` may change. The engine saves each before the step's first effect.
    fn touches(&self, sys: &dyn Sys, context: &Context, change: &Change) -> Result<Vec<Resource>, StepError>;

    /// The paths that `decide` looks at: they must be the same when `apply` begins.
    fn paths(&self) -> Vec<HostPath> {
        Vec::new()
    }

    /// Whether it may begin right now: asked when all is saved, and before anything is announced or done.
    fn ready(&self, sys: &dyn Sys) -> Result<(), StepError> {
        let _ = sys;
        Ok(())
    }

    /// Does exactly `change`, which `decide` made with the same context.
    fn apply(&self, sys: &mut dyn Sys, context: &Context, change: &Change) -> Result<(), StepError>;
}

/// One step of a manifest, ready to decide and to be applied.
pub struct Entry {
    /// Its name.
    pub id: StepId,
    /// Whose it is.
    pub component: ComponentName,
    /// When it runs.
    pub phase: Phase,
    /// What it wants.
    pub spec: StepSpec,
    /// What it does.
    pub step: Box<dyn Step>,
}

/// The steps of a manifest in the order in which they run.
pub fn all(manifest: &Manifest) -> Result<Vec<Entry>, StepError> {
    build(&manifest.steps())
}

/// Steps ready to decide, from what they want. A step that guards others knows those.
pub fn build(steps: &[(Phase, chom_format::Step<StepSpec>)]) -> Result<Vec<Entry>, StepError> {
    let specs: BTreeMap<&StepId, &StepSpec> = steps.iter().map(|(_, step)| (&step.id, &step.spec)).collect();
    let mut entries = Vec::new();
    for (phase, step) in steps {
        entries.push(Entry {
            id: step.id.clone(),
            component: step.component.clone(),
            phase: *phase,
            spec: step.spec.clone(),
            step: of(&step.id, &step.spec, &specs)?,
        });
    }
    Ok(entries)
}

fn of(id: &StepId, spec: &StepSpec, all: &BTreeMap<&StepId, &StepSpec>) -> Result<Box<dyn Step>, StepError> {
    Ok(match spec.clone() {
        StepSpec::Packages(spec) => Box::new(packages::PackagesStep(spec)),
        StepSpec::Account(spec) => Box::new(account::AccountStep(spec)),
        StepSpec::Dir(spec) => Box::new(dir::DirStep(spec)),
        StepSpec::Release(spec) => Box::new(release::ReleaseStep(spec)),
        StepSpec::File(spec) => Box::new(file::FileStep(spec)),
        StepSpec::Link(spec) => Box::new(link::LinkStep(spec)),
        StepSpec::Absent(spec) => Box::new(absent::AbsentStep(spec)),
        StepSpec::Unit(spec) => Box::new(unit::UnitStep(spec)),
        StepSpec::Command(spec) => Box::new(command::CommandStep { id: id.clone(), spec }),
        StepSpec::Firewall(spec) => Box::new(firewall::FirewallStep(spec)),
        StepSpec::Validate(spec) => {
            let mut guarded = Vec::new();
            for guard in &spec.guards {
                let found = all.get(guard).filter(|found| !matches!(found, StepSpec::Validate(_)));
                let found = found.ok_or_else(|| StepError::Refused {
                    what: format!("{id} guards {guard}, which is no step of this bundle that can be checked"),
                    hint: Some("build the bundle again".to_owned()),
                })?;
                guarded.push((guard.clone(), (*found).clone(), of(guard, found, all)?));
            }
            Box::new(validate::ValidateStep { spec, guarded })
        }
    })
}

/// What a step is told of the run that it is part of.
#[derive(Debug, Clone, Default)]
pub struct Context {
    /// The opened bundle's folder; contents are read from it and checked again while they are copied.
    pub bundle: PathBuf,
    /// Paths that earlier steps of this run change, with what will be there.
    pub changed: BTreeMap<HostPath, Upcoming>,
    /// Where a transaction may keep its staged copies: `/var/lib/chom/transactions/NNNNNN/stage`.
    pub stage: Option<HostPath>,
    /// Steps that cannot be undone and that the operator named.
    pub accepted: Vec<StepId>,
    /// Accounts that earlier steps of this run bring.
    pub accounts: Vec<AccountName>,
    /// Packages that earlier steps of this run bring or replace.
    pub packages: Vec<PackageName>,
    /// The units of the manifest as they were when the plan was made, read in one go.
    pub units: Arc<crate::systemd::Snapshot>,
    /// The account files as they were read last.
    pub owners: Arc<LastOwners>,
}

impl Context {
    /// Adds what a planned change will have done, for the steps after it.
    pub fn absorb(&mut self, change: &Change) {
        self.changed.extend(change.changes.iter().cloned());
        match &change.detail {
            Detail::Packages { moves, .. } => {
                self.packages.extend(moves.iter().map(|step| step.name.clone()))
            }
            Detail::Account { name } => self.accounts.push(name.clone()),
            Detail::None | Detail::Unit(_) | Detail::Firewall(_) => {}
        }
    }
}

/// What will be at a path once the earlier steps have run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upcoming {
    /// A file with this content.
    File(Content),
    /// A link with this text.
    Link(String),
    /// A directory.
    Dir,
    /// Nothing.
    Absent,
}

impl Upcoming {
    /// Whether nothing will be there.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }
}

/// What a step decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "decision", rename_all = "lowercase")]
pub enum Decision {
    /// The host is already so.
    Keep {
        /// In which respect.
        why: String,
    },
    /// This is to be done.
    Change(Change),
    /// It must not be done.
    Refuse {
        /// What is in the way.
        conflict: String,
        /// What mends it.
        remedy: String,
    },
}

/// A change, as the plan shows it and as apply does it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// `create`, `replace`, `remove`, `install`, `start`, `restart`, `reload`, `enable`, `run`, `open`.
    pub verb: &'static str,
    /// One line: what, with the decisive facts.
    pub summary: String,
    /// The same as data, for the kinds whose apply needs more than the step itself.
    #[serde(skip_serializing_if = "Detail::is_none")]
    pub detail: Detail,
    /// Lines of a unified diff, or one line for each package, rule or attribute that changes.
    pub diff: Vec<String>,
    /// How far it can be undone.
    pub undo: Undo,
    /// Bytes that it will put on the disk, for preflight, by path.
    pub writes: Vec<(HostPath, u64)>,
    /// Paths that it changes, for the steps after it.
    #[serde(skip)]
    pub changes: Vec<(HostPath, Upcoming)>,
}

/// How far a change can be undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Undo {
    /// Bit by bit, by putting the saved original back.
    Exactly,
    /// From a copy, with effects outside the file system (a service stopped and started) that leave traces in logs.
    Copy,
    /// Not at all.
    Never,
}

/// Why a step could not decide or apply.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The door said no.
    #[error(transparent)]
    Sys(#[from] SysError),
    /// A program that the step relies on refused, or the host is not as the plan saw it.
    #[error("{what}")]
    Refused {
        /// What happened, in the words of the program that refused.
        what: String,
        /// What mends it.
        hint: Option<String>,
    },
}

/// One step's part of the plan. The plan is a contract: `seen` must still hold when the run begins.
#[derive(Debug, Clone, Serialize)]
pub struct Planned {
    /// Which step.
    pub id: StepId,
    /// Whose it is.
    pub component: ComponentName,
    /// In which phase.
    pub phase: Phase,
    /// What was decided.
    #[serde(flatten)]
    pub decision: Decision,
    /// The paths that it looked at, as they were when it was decided.
    #[serde(skip)]
    pub seen: Vec<(HostPath, PathState)>,
}
