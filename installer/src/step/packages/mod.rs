//! Debian packages from the bundle, and nothing but the bundle.
//!
//! apt itself says what it would do, from dpkg's state and the bundle's index alone; the plan shows exactly
//! that, and apply refuses when apt would by then do anything else. The host's sources, lists, caches and
//! pins take no part: apt sees a private directory in memory in the place of its cache, with the index and
//! links to the bundle's archives in it. When all that is asked for is there, no child process is started.
//!
//! No service starts while packages are unpacked: its configuration is not there yet. `policy-rc.d` says so
//! to the maintainer scripts, for the time of the run, and the host's own one is put back.

mod apt;
mod policy;
mod simulation;

use std::thread;
use std::time::{Duration, Instant};

use chom_format::step::{Deb, PackagesSpec};
use chom_format::{Digest, HostPath, PackageName};

use super::kind::Stated;
use super::{Change, Context, Decision, Detail, PackageMove, Step, StepError, Undo};
use crate::dpkg::{self, Status, version};
use crate::resource::Resource;
use crate::sys::{Sys, named};

const LOCK_DEADLINE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(500);
/// Packages have scripts, and those take their time.
const LONGEST: Duration = Duration::from_secs(1800);

/// See [`PackagesSpec`].
pub(super) struct PackagesStep(pub PackagesSpec);

/// See [`Stated`].
pub(super) fn stated(_: &PackagesSpec) -> Stated<'_> {
    Stated {
        deadline: LONGEST,
        owns: Vec::new(),
        writes: Vec::new(),
        unit: None,
        needs: &[],
        brings_bytes: false,
    }
}

impl Step for PackagesStep {
    fn decide(&self, sys: &dyn Sys, context: &Context) -> Result<Decision, StepError> {
        let found = as_found(sys)?;
        let status = Status::read(sys)?;
        if let Some(refusal) = unfinished(&status) {
            return Ok(match dpkg::holder(sys)? {
                None => refusal,
                Some(holder) => Decision::Refuse {
                    conflict: format!("{holder} is working with packages"),
                    remedy: "wait until that is over".to_owned(),
                },
            });
        }
        let wanted = match due(&self.0, &status)? {
            Due::Nothing(why) => return Ok(Decision::Keep { why }),
            Due::Roots(wanted) => wanted,
        };
        let planned = if apt::is_asked(sys) {
            simulation::parse(&apt::simulate(sys, &self.0, &wanted, context)?)
        } else {
            simulation::from_status(&self.0, &status)
        };
        Ok(match simulation::moves(&planned, &self.0, &status) {
            Err(refusal) => *refusal,
            Ok(moves) => Decision::Change(self.change(moves, &wanted, found)),
        })
    }

    fn touches(&self, _: &dyn Sys, _: &Context, change: &Change) -> Result<Vec<Resource>, StepError> {
        let moves = moves(change);
        let named = |new: bool| -> Vec<PackageName> {
            moves.iter().filter(|step| step.from.is_none() == new).map(|step| step.name.clone()).collect()
        };
        let system = Resource::System { replaces: named(false), brings: named(true) };
        Ok(vec![system, Resource::Path { path: policy::path()?, data: false }])
    }

    fn apply(&self, sys: &mut dyn Sys, context: &Context, change: &Change) -> Result<(), StepError> {
        wait_for_lock(sys)?;
        let status = Status::read(sys)?;
        let Due::Roots(wanted) = due(&self.0, &status)? else { return Ok(()) };
        let again = simulation::parse(&apt::simulate(sys, &self.0, &wanted, context)?);
        let now = simulation::moves(&again, &self.0, &status).map_err(|refusal| refused(*refusal))?;
        if now != moves(change) {
            return Err(StepError::Refused {
                what: "apt would no longer do what the plan says: packages changed since it was made"
                    .to_owned(),
                hint: Some("look at a new plan: chom-install plan".to_owned()),
            });
        }
        let Detail::Packages { status, .. } = &change.detail else { return Ok(()) };
        let before = policy::deny(sys)?;
        let installed = apt::install(sys, &self.0, &wanted, status.as_ref(), context);
        policy::put_back(sys, before)?;
        installed?;
        verify(sys, &now)
    }

    /// Whoever works with packages from here on would have their work taken for ours.
    fn ready(&self, sys: &dyn Sys) -> Result<(), StepError> {
        match dpkg::holder(sys)? {
            None => Ok(()),
            Some(holder) => Err(StepError::Refused {
                what: format!("{holder} began to work with packages since the plan was made"),
                hint: Some("wait until that is over, and look at a new plan: chom-install plan".to_owned()),
            }),
        }
    }

    fn paths(&self) -> Vec<HostPath> {
        Status::PATH.parse().into_iter().collect()
    }
}

impl PackagesStep {
    fn change(&self, moves: Vec<PackageMove>, wanted: &[&Deb], status: Option<Digest>) -> Change {
        let kb = |step: &PackageMove| self.deb(step).map_or(0, |deb| deb.installed_kb);
        let bytes = moves.iter().map(kb).sum::<u64>() * 1024;
        let names: Vec<String> = wanted.iter().map(|deb| format!("{} {}", deb.name, deb.version)).collect();
        let line = |step: &PackageMove| match &step.from {
            None => format!("install {} {}", step.name, step.to),
            Some(from) => format!("upgrade {} {from} -> {}", step.name, step.to),
        };
        Change {
            verb: "install",
            summary: format!("{} ({} packages in all)", names.join(", "), moves.len()),
            diff: moves.iter().map(line).collect(),
            detail: Detail::Packages { moves, status },
            undo: Undo::Copy,
            writes: "/usr/lib".parse().map(|path| (path, bytes)).into_iter().collect(),
            changes: Vec::new(),
        }
    }

    fn deb(&self, step: &PackageMove) -> Option<&Deb> {
        self.0.packages.iter().find(|deb| deb.name == step.name && deb.version == step.to)
    }
}

/// Which of the packages asked for are not there yet.
enum Due<'a> {
    Nothing(String),
    Roots(Vec<&'a Deb>),
}

fn due<'a>(spec: &'a PackagesSpec, status: &Status) -> Result<Due<'a>, StepError> {
    let mut roots = Vec::new();
    let mut there = Vec::new();
    for name in &spec.roots {
        let deb = spec.packages.iter().find(|deb| deb.name == *name).ok_or_else(|| StepError::Refused {
            what: format!("the bundle asks for package {name} and does not hold it"),
            hint: Some("build the bundle again".to_owned()),
        })?;
        match status.installed(name.as_str(), &deb.arch) {
            // Newer than ours: somebody keeps this host up to date, and that is left alone.
            Some(found) if version::compare(&found.version, &deb.version).is_ge() => {
                there.push(format!("{name} {}", found.version));
            }
            _ => roots.push(deb),
        }
    }
    Ok(if roots.is_empty() { Due::Nothing(there.join(", ")) } else { Due::Roots(roots) })
}

fn unfinished(status: &Status) -> Option<Decision> {
    let broken = status.broken();
    let first = broken.first()?;
    Some(Decision::Refuse {
        conflict: format!(
            "dpkg was interrupted: {} is {} ({} in all)",
            first.name,
            first.state,
            broken.len()
        ),
        remedy: "dpkg --configure -a".to_owned(),
    })
}

/// What was saved is what the plan was made from, and so is what apt begins with: see [`apt::install`].
fn as_found(sys: &dyn Sys) -> Result<Option<Digest>, StepError> {
    let path: HostPath = named(Status::PATH)?;
    Ok(sys.meta(&path)?.map(|_| sys.digest(&path)).transpose()?)
}

fn moves(change: &Change) -> Vec<PackageMove> {
    if let Detail::Packages { moves, .. } = &change.detail { moves.clone() } else { Vec::new() }
}

fn refused(decision: Decision) -> StepError {
    match decision {
        Decision::Refuse { conflict, remedy } => StepError::Refused { what: conflict, hint: Some(remedy) },
        Decision::Keep { why } => StepError::Refused { what: why, hint: None },
        Decision::Change(change) => StepError::Refused { what: change.summary, hint: None },
    }
}

// Never ended by us: whoever holds the lock is in the middle of changing the system.
fn wait_for_lock(sys: &dyn Sys) -> Result<(), StepError> {
    let deadline = Instant::now() + LOCK_DEADLINE;
    while let Some(holder) = dpkg::holder(sys)? {
        if Instant::now() >= deadline {
            let waited = LOCK_DEADLINE.as_secs();
            return Err(StepError::Refused {
                what: format!("{holder} holds dpkg's lock since {waited} s"),
                hint: Some(format!("wait for it, or look at it: ps -fp {}", holder.pid)),
            });
        }
        thread::sleep(POLL);
    }
    Ok(())
}

fn verify(sys: &dyn Sys, moves: &[PackageMove]) -> Result<(), StepError> {
    let status = Status::read(sys)?;
    if let Some(refusal) = unfinished(&status) {
        return Err(refused(refusal));
    }
    for step in moves {
        let found = status.installed(step.name.as_str(), "all").map(|package| package.version.as_str());
        if found != Some(step.to.as_str()) {
            return Err(StepError::Refused {
                what: format!(
                    "apt says that it is done, and {} is {} instead of {}",
                    step.name,
                    found.unwrap_or("not installed"),
                    step.to
                ),
                hint: None,
            });
        }
    }
    Ok(())
}
