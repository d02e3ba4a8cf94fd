//! The proof: everything that a transaction touched is read again and compared with how it was saved.

use std::collections::BTreeSet;

use super::report::{Ending, Report};
use super::{Engine, Open};
use crate::resource::{Fingerprint, Resource, Restored};
use crate::sys::SysError;

/// What reading everything again came to.
#[derive(Debug, Default)]
pub(super) struct Proof {
    /// As before.
    pub(super) equal: Vec<(Resource, Fingerprint)>,
    /// Not as before by the work of others, and named.
    pub(super) exceptions: Vec<String>,
    /// Not as before.
    pub(super) conflicts: Vec<String>,
}

impl Engine<'_> {
    pub(super) fn prove(&mut self, open: &Open) -> Proof {
        let mut proof = Proof::default();
        let covered = self.covered(open).unwrap_or_else(|error| {
            proof.conflicts.push(format!("what was put back could not be compared: {error}"));
            BTreeSet::new()
        });
        for (resource, saved) in &open.state.saved {
            let restored = open.state.restored.get(resource);
            if let Some(Restored::Stuck { reason }) = restored {
                proof.conflicts.push(format!("{resource}: {reason}"));
                continue;
            }
            if let Some(Restored::Foreign { kept }) = restored
                && !open.is_stuck_below(resource)
            {
                proof.exceptions.push(exception(resource, kept));
            }
            if covered.contains(resource) {
                continue;
            }
            let after = open.state.after.get(resource);
            match resource.restore().differences(self.sys, &open.store, saved, after) {
                Ok(differences) if differences.is_empty() => {
                    proof.equal.push((resource.clone(), saved.fingerprint));
                }
                // Others have been at work there, which is said already.
                Ok(_) if matches!(restored, Some(Restored::Foreign { .. })) => {}
                Ok(differences) => {
                    let named = differences.iter().map(|difference| format!("{resource}: {difference}"));
                    proof.conflicts.extend(named);
                }
                Err(error) => proof.conflicts.push(format!("{resource} cannot be read: {error}")),
            }
        }
        proof
    }

    /// The resources that are settled with one that was saved before them.
    pub(super) fn covered(&self, open: &Open) -> Result<BTreeSet<Resource>, SysError> {
        let mut covered = BTreeSet::new();
        for (index, (resource, saved)) in open.state.saved.iter().enumerate() {
            let later: Vec<&Resource> =
                open.state.saved.iter().skip(index + 1).map(|(later, _)| later).collect();
            let after = open.state.after.get(resource);
            covered.extend(resource.restore().covered(self.sys, &open.store, saved, after, &later)?);
        }
        Ok(covered)
    }
}

impl Open {
    /// Whether a name in this directory is there because it could not be put back, and not by the work of others.
    fn is_stuck_below(&self, listing: &Resource) -> bool {
        let Resource::Listing { path: dir } = listing else { return false };
        self.state.restored.iter().any(|(resource, restored)| {
            matches!(restored, Restored::Stuck { .. })
                && resource.path().and_then(chom_format::HostPath::parent).as_ref() == Some(dir)
        })
    }

    /// A report of this transaction, to be filled in.
    pub(super) fn report(&self) -> Report {
        Report {
            id: self.id,
            bundle: self.state.begin.as_ref().map(|begin| begin.bundle.clone()).unwrap_or_default(),
            ending: Ending::Stuck,
            wanted_back: false,
            failure: None,
            changed: self.state.done.clone(),
            effects: 0,
            checks: Vec::new(),
            proof: Vec::new(),
            exceptions: Vec::new(),
            conflicts: Vec::new(),
            seconds: 0.0,
        }
    }
}

fn exception(resource: &Resource, kept: &[chom_format::HostPath]) -> String {
    let places: Vec<&str> = kept.iter().map(chom_format::HostPath::as_str).collect();
    match (resource, places.is_empty()) {
        (Resource::Listing { path }, true) => format!("others removed names from {path}"),
        (Resource::Listing { .. }, false) => format!("others made {}", places.join(", ")),
        (_, true) => format!("{resource} was changed by others, and was left as it is"),
        (_, false) => format!("{resource} was changed by others: their version is {}", places.join(", ")),
    }
}
