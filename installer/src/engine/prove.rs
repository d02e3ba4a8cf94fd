//! The proof: everything that a transaction touched is read again and compared with how it was saved.

use std::collections::{BTreeMap, BTreeSet};

use chom_format::HostPath;

use super::report::{Ending, Report};
use super::{Engine, Open, boot};
use crate::resource::{Fingerprint, Resource, Restored, Sought};
use crate::sys::SysError;

/// What reading everything again came to.
#[derive(Debug, Default)]
pub(super) struct Proof {
    /// As before.
    pub(super) equal: Vec<(Resource, Fingerprint)>,
    /// Not as before by the work of others, and named.
    pub(super) exceptions: Vec<String>,
    /// How many resources are not as before by the work of others.
    pub(super) left: usize,
    /// Not as before.
    pub(super) conflicts: Vec<String>,
    /// Those of them that were taken for being back until they were read.
    pub(super) unexpected: Vec<(Resource, String)>,
}

/// Which resources are settled with which others, saved before them.
pub(super) type Covers = BTreeMap<Resource, Vec<Resource>>;

impl Engine<'_> {
    /// What covers what. Without it everything would be proved by itself, which is more than is true.
    pub(super) fn covers(&self, open: &Open) -> Result<Covers, SysError> {
        let mut covers = Covers::new();
        for (index, (resource, saved)) in open.state.saved.iter().enumerate() {
            let later: Vec<&Resource> =
                open.state.saved.iter().skip(index + 1).map(|(later, _)| later).collect();
            let after = open.state.after.get(resource);
            for covered in resource.handler().covered(self.sys, &open.store, saved, after, &later)? {
                covers.entry(covered).or_default().push(resource.clone());
            }
        }
        Ok(covers)
    }

    /// Reads everything again: all but the boot unit, or that alone.
    pub(super) fn prove(&mut self, open: &Open, covers: &Covers, boot_unit: bool) -> Proof {
        let mut proof = Proof::default();
        let asked = |(resource, _): &&(Resource, _)| boot::comes_last(&open.state, resource) == boot_unit;
        for (resource, saved) in open.state.saved.iter().filter(asked) {
            let restored = open.state.restored.get(resource);
            if let Some(Restored::Foreign { kept }) = restored
                && !open.is_stuck_below(resource)
            {
                proof.exceptions.push(resource.handler().changed_by_others(kept));
            }
            if let Some(Restored::Left { told, kept, differs }) = restored {
                // A package and the step of its account may both say why it stays.
                let new: Vec<String> =
                    told.iter().filter(|told| !proof.exceptions.contains(told)).cloned().collect();
                proof.exceptions.extend(new);
                proof
                    .exceptions
                    .extend(kept.iter().map(|kept| format!("what others made or changed is {kept}")));
                proof.left += usize::from(*differs);
                if *differs {
                    continue;
                }
            }
            if let Ok(Some(lost)) = resource.handler().lost(self.sys, saved) {
                proof.exceptions.push(lost);
            }
            if open.is_settled(resource, covers) {
                continue;
            }
            if let Some(Restored::Stuck { reason }) = restored {
                proof.conflicts.push(format!("{resource}: {reason}"));
                continue;
            }
            let after = open.state.after.get(resource);
            match resource.handler().differences(
                self.sys,
                &open.store,
                saved,
                after,
                &open.saved_before(resource),
            ) {
                Ok(differences) if differences.is_empty() => {
                    proof.equal.push((resource.clone(), saved.fingerprint));
                }
                Ok(_) if left_to_others(resource, restored) => {}
                Ok(_) if !open.may_have_touched(resource) => {
                    proof.exceptions.push(resource.handler().changed_by_others(&[]));
                }
                Ok(differences) => {
                    let reason = differences.join("; ");
                    proof.conflicts.push(format!("{resource}: {reason}"));
                    proof.unexpected.push((resource.clone(), reason));
                }
                Err(error) => {
                    proof.conflicts.push(format!("{resource} cannot be read: {error}"));
                    proof.unexpected.push((resource.clone(), error.to_string()));
                }
            }
        }
        proof
    }
}

/// Whether a resource is not as before because others have changed it, which is said as an exception. Where
/// their version was put aside, ours from before must be in place.
fn left_to_others(resource: &Resource, restored: Option<&Restored>) -> bool {
    match restored {
        Some(Restored::Foreign { kept }) => {
            kept.is_empty() || resource.handler().policy().keeps_what_others_made
        }
        Some(
            Restored::Restored | Restored::AlreadyBefore | Restored::Left { .. } | Restored::Stuck { .. },
        )
        | None => false,
    }
}

impl Open {
    /// Whether a resource needs no look of its own: one that was saved before it is back, and has taken it along.
    pub(super) fn is_settled(&self, resource: &Resource, covers: &Covers) -> bool {
        let is_back = |covering: &Resource| {
            self.state
                .restored
                .get(covering)
                .is_some_and(|restored| !matches!(restored, Restored::Stuck { .. }))
        };
        covers.get(resource).is_some_and(|covering| covering.iter().any(is_back))
    }

    /// Whether a step that was begun may have changed it. What was saved for one that was not is nobody's but others'.
    /// A unit may change with every package and every file of its own.
    pub(super) fn may_have_touched(&self, resource: &Resource) -> bool {
        resource.handler().policy().any_step_changes
            || boot::comes_last(&self.state, resource)
            || self.state.touched.contains(resource)
    }

    /// Whether a name in this directory is there because it could not be put back, and not by the work of others.
    fn is_stuck_below(&self, listing: &Resource) -> bool {
        let names = listing.handler().policy().keeps_what_others_made;
        let Some(dir) = listing.path().filter(|_| names) else { return false };
        self.state.restored.iter().any(|(resource, restored)| {
            matches!(restored, Restored::Stuck { .. })
                && resource.path().and_then(HostPath::parent).as_ref() == Some(dir)
        })
    }

    /// Paths that were saved before this resource, which may hold them too.
    fn saved_before(&self, resource: &Resource) -> BTreeSet<HostPath> {
        if !resource.handler().policy().asks_for_earlier {
            return BTreeSet::new();
        }
        let earlier = self.state.saved.iter().take_while(|(known, _)| known != resource);
        earlier.flat_map(|(known, _)| known.handler().own_paths()).collect()
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
            left: 0,
            found: self.state.sought.iter().flat_map(|sought| sought.found.clone()).collect(),
            not_looked_at: self.state.sought.iter().flat_map(Sought::unseen).collect(),
            conflicts: Vec::new(),
            backup: self.state.begin.as_ref().and_then(|begin| begin.backup),
            seconds: 0.0,
        }
    }
}
