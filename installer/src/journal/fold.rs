//! What records amount to. Pure and total: any sequence of records gives a state, and every prefix of a
//! journal is a journal that a cut off run may have left.

use std::collections::{BTreeMap, BTreeSet};

use chom_format::{HostPath, StepId};
use serde::Serialize;
use serde_json::Value;

use super::expected::Expected;
use super::exposure::{BootTime, Exposure};
use super::record::{Begin, Record};
use crate::resource::{Fingerprint, Resource, Restored, Saved, Sought};
use crate::sys::PathState;

/// A transaction as its journal tells it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    /// How it began; none when not even that became durable.
    pub begin: Option<Begin>,
    /// What was saved, in this order. Restoring goes backwards.
    pub saved: Vec<(Resource, Saved)>,
    /// What is remembered of resources whose step is done. A resource that a step cut off may have touched
    /// again is not here: what is found there is that step's work.
    pub after: BTreeMap<Resource, Value>,
    /// Of paths that a step cut off was about to change, what may be there by our own work. A path that is not here may
    /// have become anything.
    pub expected: BTreeMap<Resource, Vec<Expected>>,
    /// Steps that may have had effects.
    pub begun: Vec<StepId>,
    /// Steps that had them all.
    pub done: Vec<StepId>,
    /// Resources of the steps that were begun.
    pub touched: BTreeSet<Resource>,
    /// The first error, with the step that it came from.
    pub failed: Option<(Option<StepId>, String)>,
    /// The window in which it was or is to be confirmed.
    pub exposure: Option<Exposure>,
    /// Who confirmed it, and from where, and when.
    pub confirmed: Option<Confirmer>,
    /// Resources that are back.
    pub restored: BTreeMap<Resource, Restored>,
    /// What had changed although nobody declared it; none when it was not asked.
    pub sought: Option<Sought>,
    /// What was proved at the end of a rollback.
    pub proof: Vec<(Resource, Fingerprint)>,
    /// What others had changed meanwhile.
    pub exceptions: Vec<String>,
    /// How temporary names of this transaction begin, the newest last.
    pub tokens: Vec<String>,
    /// Where it stands.
    pub standing: Standing,
}

/// Who confirmed a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Confirmer {
    /// When, by the wall clock.
    pub at: String,
    /// Who, and from where.
    pub by: String,
}

/// Where a transaction stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "standing")]
pub enum Standing {
    /// It did not begin: no effect took place.
    #[default]
    Empty,
    /// It runs, or was cut off.
    Open,
    /// It is applied and healthy, and is taken back unless somebody confirms it.
    Exposed {
        /// Until then, by the wall clock.
        until: String,
    },
    /// It stands.
    Committed {
        /// Since when.
        at: String,
    },
    /// It is being taken back, or that was cut off.
    RollingBack {
        /// Why.
        cause: String,
    },
    /// It was taken back, with proof.
    RolledBack {
        /// When.
        at: String,
    },
    /// It could not be taken back in all.
    Stuck {
        /// What needs a person.
        conflicts: Vec<String>,
    },
}

impl State {
    /// Whether something is left to do before another transaction may begin.
    pub fn is_open(&self) -> bool {
        match self.standing {
            Standing::Open
            | Standing::Exposed { .. }
            | Standing::RollingBack { .. }
            | Standing::Stuck { .. } => true,
            Standing::Empty | Standing::Committed { .. } | Standing::RolledBack { .. } => false,
        }
    }

    /// Milliseconds in which it can still be confirmed; none when it does not wait for that, or no longer.
    pub fn awaits_ms(&self, now: &BootTime) -> Option<u64> {
        match (&self.standing, &self.exposure) {
            (Standing::Exposed { .. }, Some(exposure)) => exposure.left_ms(now),
            _ => None,
        }
    }

    /// Whether the host has what this transaction brought.
    pub fn stands(&self) -> bool {
        matches!(self.standing, Standing::Committed { .. })
    }

    /// How a resource was, if it was saved.
    pub fn saved(&self, resource: &Resource) -> Option<&Saved> {
        self.saved.iter().find(|(known, _)| known == resource).map(|(_, saved)| saved)
    }

    /// What could not be put back is tried again. So is all that was saved before it, for it comes back after
    /// it: what is tried again may undo it. And so is every listing, which may have been wrong because of it.
    fn try_again(&mut self) {
        let is_stuck =
            |resource: &Resource| matches!(self.restored.get(resource), Some(Restored::Stuck { .. }));
        let stuck = self.saved.iter().rposition(|(resource, _)| is_stuck(resource));
        let again: BTreeSet<Resource> = self
            .saved
            .iter()
            .take(stuck.map_or(0, |at| at + 1))
            .map(|(resource, _)| resource.clone())
            .collect();
        self.restored.retain(|resource, restored| {
            let stays =
                !matches!(restored, Restored::Stuck { .. }) && !matches!(resource, Resource::Listing { .. });
            stays && !again.contains(resource)
        });
    }

    /// Of a path that a step is about to change either is ours: what there was by then, and what there will be.
    fn expect(&mut self, resource: &Resource, until_now: Option<Value>, expects: &[(HostPath, Expected)]) {
        let coming = match resource {
            Resource::Path { path, .. } => expects.iter().find(|(known, _)| known == path),
            _ => None,
        };
        let Some((_, coming)) = coming else {
            self.expected.remove(resource);
            return;
        };
        let until_now = until_now.and_then(|state| serde_json::from_value::<PathState>(state).ok());
        let ours = self.expected.entry(resource.clone()).or_default();
        ours.extend(until_now.as_ref().map(Expected::from));
        ours.push(coming.clone());
    }

    /// The same state after one more record.
    pub fn apply(&mut self, record: &Record) {
        match record {
            Record::Begin(begin) => {
                self.begin = Some(begin.clone());
                self.tokens.extend(begin.token.clone());
                self.standing = Standing::Open;
            }
            Record::Saved { resource, saved } => {
                // The first original is the one from before the transaction.
                if self.saved(resource).is_none() {
                    self.saved.push((resource.clone(), saved.clone()));
                }
            }
            Record::Intent { step, touches, expects, token } => {
                self.begun.push(step.clone());
                self.tokens.extend(token.clone());
                for resource in touches {
                    let until_now = self.after.remove(resource);
                    self.touched.insert(resource.clone());
                    self.expect(resource, until_now, expects);
                }
            }
            Record::Done { step, after } => {
                self.done.push(step.clone());
                after.iter().for_each(|(resource, _)| drop(self.expected.remove(resource)));
                self.after.extend(after.iter().cloned());
            }
            Record::Failed { step, cause } => {
                self.failed.get_or_insert_with(|| (step.clone(), cause.clone()));
            }
            Record::Sought { sought } => self.sought = Some(sought.clone()),
            Record::Healthy => {}
            Record::Exposed { exposure } => {
                self.standing = Standing::Exposed { until: exposure.until.clone() };
                self.exposure = Some(exposure.clone());
            }
            // What is being taken back cannot be confirmed any more: the first append has decided.
            Record::Confirmed { at, by } => {
                if let Standing::Exposed { .. } = self.standing {
                    self.confirmed = Some(Confirmer { at: at.clone(), by: by.clone() });
                    self.standing = Standing::Committed { at: at.clone() };
                }
            }
            Record::Committed { at } => self.standing = Standing::Committed { at: at.clone() },
            Record::RollingBack { cause } => {
                self.try_again();
                self.standing = Standing::RollingBack { cause: cause.clone() };
            }
            Record::Restored { resource, restored } => {
                self.restored.insert(resource.clone(), restored.clone());
            }
            Record::RolledBack { proof, exceptions, at } => {
                self.proof.clone_from(proof);
                self.exceptions.clone_from(exceptions);
                self.standing = Standing::RolledBack { at: at.clone() };
            }
            Record::Stuck { conflicts } => self.standing = Standing::Stuck { conflicts: conflicts.clone() },
        }
    }
}

/// What these records amount to.
pub fn fold(records: &[Record]) -> State {
    let mut state = State::default();
    records.iter().for_each(|record| state.apply(record));
    state
}

#[cfg(test)]
mod tests {
    use chom_format::Digest;
    use proptest::prelude::*;

    use super::super::arbitrary::record;
    use super::*;

    proptest! {
        #[test]
        fn any_records_give_a_state_that_agrees_with_itself(records in prop::collection::vec(record(), 0..40)) {
            let mut state = State::default();
            for (number, record) in records.iter().enumerate() {
                let before = state.clone();
                state.apply(record);
                prop_assert!(!(state.is_open() && state.stands()));
                prop_assert_eq!(&state, &fold(&records[..=number]), "record by record or at once");
                // Originals stay the first ones, and what was begun is never forgotten.
                prop_assert_eq!(&state.saved[..before.saved.len()], &before.saved[..]);
                prop_assert!(state.begun.starts_with(&before.begun) && state.touched.is_superset(&before.touched));
                // Nothing but its own record makes a transaction stand or proves that it was taken back.
                let proved = matches!(record, Record::RolledBack { .. });
                let decided = matches!(record, Record::Committed { .. } | Record::Confirmed { .. });
                prop_assert!(before.stands() || !state.stands() || decided);
                let is_back = |state: &State| matches!(state.standing, Standing::RolledBack { .. });
                prop_assert!(is_back(&before) || !is_back(&state) || proved);
                // What a step that is not done touched is nobody's known work.
                if let Record::Intent { touches, .. } = record {
                    prop_assert!(touches.iter().all(|resource| !state.after.contains_key(resource)));
                }
            }
        }
    }

    fn path(text: &str) -> Resource {
        Resource::Path { path: text.parse().unwrap(), data: false }
    }

    fn begin() -> Record {
        Record::Begin(Begin {
            format: 1,
            id: 1,
            bundle: "b".into(),
            manifest: Digest::of(b""),
            at: "t".into(),
            boot_id: String::new(),
            by: String::new(),
            backup: None,
            token: None,
            upon: None,
            adopts: false,
        })
    }

    fn saved(text: &str, mark: &str) -> Record {
        let fingerprint = Fingerprint(Digest::of(mark.as_bytes()));
        let saved = Saved { state: Value::String(mark.to_owned()), objects: Vec::new(), fingerprint };
        Record::Saved { resource: path(text), saved }
    }

    fn intent(step: &str, text: &str) -> Record {
        Record::Intent {
            step: step.parse().unwrap(),
            touches: vec![path(text)],
            expects: Vec::new(),
            token: None,
        }
    }

    fn done(step: &str, text: &str) -> Record {
        Record::Done { step: step.parse().unwrap(), after: vec![(path(text), Value::Bool(true))] }
    }

    #[test]
    fn nothing_has_happened_before_begin() {
        assert_eq!(fold(&[]).standing, Standing::Empty);
        assert!(!fold(&[]).is_open());
        assert!(fold(&[begin()]).is_open());
    }

    #[test]
    fn the_first_original_counts() {
        let state = fold(&[begin(), saved("/a", "first"), saved("/a", "second")]);
        assert_eq!(state.saved.len(), 1);
        assert_eq!(state.saved(&path("/a")).unwrap().state, "first");
    }

    #[test]
    fn what_a_step_cut_off_touched_again_is_not_remembered() {
        let mut records = vec![begin(), saved("/a", "x"), intent("one", "/a"), done("one", "/a")];
        assert!(fold(&records).after.contains_key(&path("/a")));
        records.push(intent("two", "/a"));
        assert!(!fold(&records).after.contains_key(&path("/a")));
        records.push(done("two", "/a"));
        assert!(fold(&records).after.contains_key(&path("/a")));
    }

    #[test]
    fn what_was_stuck_is_tried_again() {
        let stuck = Restored::Stuck { reason: "r".into() };
        let records = [
            begin(),
            saved("/first", "x"),
            saved("/b", "x"),
            saved("/a", "x"),
            Record::RollingBack { cause: "c".into() },
            Record::Restored { resource: path("/a"), restored: Restored::Restored },
            Record::Restored { resource: path("/b"), restored: stuck },
            Record::Restored { resource: path("/first"), restored: Restored::Restored },
            Record::Stuck { conflicts: vec!["b".into()] },
        ];
        assert!(fold(&records).is_open());
        let mut state = fold(&records);
        state.apply(&Record::RollingBack { cause: "again".into() });
        assert_eq!(state.restored.keys().collect::<Vec<_>>(), [&path("/a")]);
    }

    fn exposed() -> Record {
        let exposure = Exposure {
            boot_id: "boot".into(),
            at_ms: 1,
            deadline_ms: 100,
            until: "u".into(),
            nonce: Digest::of(b"word"),
            connection: None,
        };
        Record::Exposed { exposure }
    }

    #[test]
    fn of_a_confirmation_and_a_way_back_the_first_decides() {
        let now = |ms| BootTime { boot_id: "boot".into(), ms };
        let (confirmed, back) = (
            Record::Confirmed { at: "t".into(), by: "b".into() },
            Record::RollingBack { cause: "nobody confirmed".into() },
        );
        let state = fold(&[begin(), Record::Healthy, exposed()]);
        assert!(state.is_open() && !state.stands());
        assert_eq!((state.awaits_ms(&now(60)), state.awaits_ms(&now(100))), (Some(40), None));
        let state = fold(&[begin(), Record::Healthy, exposed(), confirmed.clone()]);
        assert!(state.stands() && !state.is_open() && state.awaits_ms(&now(60)).is_none());
        let state = fold(&[begin(), Record::Healthy, exposed(), back, confirmed.clone()]);
        assert!(!state.stands() && state.is_open());
        assert!(!fold(&[begin(), confirmed]).stands(), "it was not exposed");
    }

    #[test]
    fn a_commit_stands_until_it_is_taken_back() {
        let mut state = fold(&[begin(), Record::Healthy, Record::Committed { at: "t".into() }]);
        assert!(state.stands() && !state.is_open());
        state.apply(&Record::RollingBack { cause: "asked".into() });
        assert!(!state.stands() && state.is_open());
        state.apply(&Record::RolledBack { proof: Vec::new(), exceptions: Vec::new(), at: "u".into() });
        assert!(!state.stands() && !state.is_open());
    }
}
