//! The way back: the same for an error, a signal, a failed check, a rollback asked for and a run cut off.
//!
//! Everything it needs is in the transaction's state, which is folded from the journal. Every resource that
//! is back is noted, so that a way back that is cut off goes on where it was: a resource must not be
//! restored again after one that was saved before it, for that one may have taken its directory away.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::prove::{Covers, Proof};
use super::report::{Ending, Failure, Report};
use super::{Engine, Event, Open, boot};
use crate::dpkg;
use crate::journal::Record;
use crate::resource::{Pass, Resource, Restored, Saved};
use crate::sys::{Command, Effect, SysError, interrupt, state_of};
use crate::transaction::release;

/// How long an apt that goes on without us may take, and a script that goes on without its dpkg.
const LONGEST_RUN: Duration = Duration::from_secs(900);
const LONGEST_SCRIPT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(100);

impl Engine<'_> {
    /// Turns a run back that has failed.
    pub(super) fn turn_back(&mut self, open: &mut Open, failure: Failure) -> Report {
        // First of all the first error is told, before anything can hide it.
        self.tell(open, &Event::Failed { step: failure.step.as_ref(), cause: &failure.message });
        let record = Record::Failed { step: failure.step.clone(), cause: failure.message.clone() };
        self.note_if_possible(open, &record);
        let untouched = open.state.begun.is_empty();
        let mut report = self.take_back(open, &failure.message);
        if untouched && report.ending == Ending::Restored {
            report.ending = Ending::Untouched;
        }
        report.failure = Some(failure);
        report
    }

    /// Puts back all that the transaction may have touched, and proves it.
    pub(super) fn take_back(&mut self, open: &mut Open, cause: &str) -> Report {
        interrupt::shield();
        open.journal.keep_free(0);
        self.hold.say(&format!("taking back transaction {}", open.id));
        open.announce(self.sys);
        let (id, resources) = (open.id, open.state.saved.len());
        self.tell(open, &Event::RollingBack { id, cause, resources });
        let rolling_back = Record::RollingBack { cause: cause.to_owned() };
        let refused = self.note_if_possible(open, &rolling_back);
        self.release_reserve(open);
        // Under a quota that is used up not even the journal's own space can be written before some is given up.
        let mut broken = refused.and_then(|_| self.note_if_possible(open, &rolling_back));
        self.outlive(open);
        if self.paths_are_due(open) {
            self.quiesce(open);
        }
        let mut proof = self.round(open, &mut broken);
        if !proof.conflicts.is_empty() {
            // What was in the way of one resource may be gone now that the others are back.
            let text = format!("once more: {}", proof.conflicts.join("; "));
            self.tell(open, &Event::Note { text: &text });
            for (resource, reason) in proof.unexpected {
                let restored = Restored::Stuck { reason };
                broken = broken.or(self.note_if_possible(open, &Record::Restored { resource, restored }));
            }
            broken = broken.or(self.note_if_possible(open, &Record::RollingBack { cause: cause.to_owned() }));
            proof = self.round(open, &mut broken);
        }
        if let Err(error) = self.sys.effect(&Effect::Sync) {
            proof.conflicts.push(format!("what was put back may not be on the disk: {error}"));
        }
        proof.conflicts.extend(broken.map(|error| format!("the journal could not be written: {error}")));
        self.conclude(open, proof)
    }

    /// Puts back whatever is not back, and reads everything.
    fn round(&mut self, open: &mut Open, broken: &mut Option<String>) -> Proof {
        let covers = self.covers(open);
        let known = covers.as_ref().ok().cloned().unwrap_or_default();
        for pass in [Pass::Paths, Pass::Units, Pass::Listings] {
            if pass == Pass::Units {
                self.reload_manager(open);
            }
            let error = self.restore_all(open, Turn::Of(pass), &known);
            *broken = broken.take().or(error);
        }
        self.tell(open, &Event::Proving);
        let mut proof = self.prove(open, &known, false);
        if let Err(error) = covers {
            proof.conflicts.push(format!("what was put back could not be compared: {error}"));
        }
        if proof.conflicts.is_empty() && boot::is_armed(&open.state) {
            self.round_off(open, &known, broken, &mut proof);
        }
        proof
    }

    /// All is back but the boot unit: now it goes as well.
    fn round_off(
        &mut self,
        open: &mut Open,
        covers: &Covers,
        broken: &mut Option<String>,
        proof: &mut Proof,
    ) {
        if let Err(error) = self.unload(&open.state) {
            let text = format!("the boot unit goes piece by piece: {error}");
            self.tell(open, &Event::Note { text: &text });
        }
        let error = self.restore_all(open, Turn::BootUnit, covers);
        *broken = broken.take().or(error);
        if let Err(error) = self.forget_boot_unit() {
            let text = format!("the manager still knows the boot unit: {error}");
            self.tell(open, &Event::Note { text: &text });
        }
        let last = self.prove(open, covers, true);
        proof.equal.extend(last.equal);
        proof.exceptions.extend(last.exceptions);
        proof.left += last.left;
        proof.conflicts.extend(last.conflicts);
        proof.unexpected.extend(last.unexpected);
    }

    /// Whether anything on the disk is still to be put back: services that came up after it was need not stop.
    fn paths_are_due(&self, open: &Open) -> bool {
        if open.state.restored.is_empty() {
            return true;
        }
        let Ok(covers) = self.covers(open) else { return true };
        let lasting = |(resource, _): &(Resource, Saved)| resource.handler().policy().services_stop;
        in_reverse(open, Turn::Of(Pass::Paths), &covers).iter().any(lasting)
    }

    fn conclude(&mut self, open: &mut Open, mut proof: Proof) -> Report {
        if proof.conflicts.is_empty() {
            let sought = self.seek_again(open);
            let at = jiff::Timestamp::now().to_string();
            let (equal, exceptions) = (proof.equal.clone(), proof.exceptions.clone());
            match open.note(self.sys, &Record::RolledBack { proof: equal, exceptions, at }) {
                Ok(()) => {
                    self.tell(open, &Event::Proved { resources: proof.equal.len() });
                    self.all_is_well();
                    let ending = Ending::Restored;
                    let Proof { equal: proof, exceptions, left, .. } = proof;
                    return Report { ending, proof, exceptions, left, ..open.report() }.beside(sought);
                }
                Err(error) => proof.conflicts.push(format!("the journal could not be written: {error}")),
            }
        }
        let conflicts = proof.conflicts;
        self.note_if_possible(open, &Record::Stuck { conflicts: conflicts.clone() });
        self.tell(open, &Event::Stuck { conflicts: &conflicts });
        self.a_person_is_needed(open);
        let (ending, exceptions) = (Ending::Stuck, proof.exceptions);
        Report { ending, proof: proof.equal, exceptions, conflicts, ..open.report() }
    }

    /// Restores one kind after the other in the reverse order of saving. The error of the journal, if there was one.
    fn restore_all(&mut self, open: &mut Open, turn: Turn, covers: &Covers) -> Option<String> {
        let mut broken = None;
        for (resource, saved) in in_reverse(open, turn, covers) {
            let restored = self
                .known_after(open, &resource, &saved)
                .and_then(|after| resource.handler().restore(self.sys, &open.store, &saved, after.as_ref()))
                .unwrap_or_else(|error| Restored::Stuck { reason: error.to_string() });
            self.tell(open, &Event::Restored { resource: &resource, restored: &restored });
            let record = Record::Restored { resource, restored };
            broken = broken.or(self.note_if_possible(open, &record));
        }
        broken
    }

    /// What is to be taken for ours: what was noted when the step was done. When it was cut off, the host is looked at:
    /// what is neither as before nor what the step was about to make is somebody else's, and so nothing of it is ours.
    pub(super) fn known_after(
        &self,
        open: &Open,
        resource: &Resource,
        saved: &Saved,
    ) -> Result<Option<Value>, SysError> {
        if let Some(after) = open.state.after.get(resource) {
            return Ok(Some(after.clone()));
        }
        let (Some(ours), Some(path)) = (open.state.expected.get(resource), resource.path()) else {
            return Ok(None);
        };
        let now = state_of(self.sys, path)?;
        Ok((!ours.iter().any(|ours| ours.is(&now))).then(|| saved.state.clone()))
    }

    /// Waits for what the run has left behind, and ends it when that takes too long: a package's script whose dpkg was
    /// killed holds no lock, and would go on to change what is put back, and to start what is stopped.
    fn outlive(&mut self, open: &mut Open) {
        let packages = |resource: &Resource| resource.handler().policy().outlived_by_children;
        if self.sys.root() != Path::new("/") || !open.state.touched.iter().any(packages) {
            return;
        }
        let begun = Instant::now();
        loop {
            let left = dpkg::left_behind();
            let Some(first) = left.first() else { return };
            let whole = left.iter().any(|left| ["apt-get", "dpkg"].contains(&left.program.as_str()));
            if begun.elapsed() > if whole { LONGEST_RUN } else { LONGEST_SCRIPT } {
                let text = format!("{first} was left behind by the run and does not end: it is ended");
                self.tell(open, &Event::Note { text: &text });
                dpkg::end(&left);
            }
            sleep(POLL);
        }
    }

    /// Stops units that this transaction may have started, so that no service writes into what is put back.
    pub(super) fn quiesce(&mut self, open: &mut Open) {
        for (resource, saved) in open.state.saved.clone() {
            if !open.state.touched.contains(&resource) || open.state.restored.contains_key(&resource) {
                continue;
            }
            let after = open.state.after.get(&resource);
            if let Err(error) = resource.handler().quiesce(self.sys, &open.store, &saved, after) {
                let text = format!("{resource} could not be stopped: {error}");
                self.tell(open, &Event::Note { text: &text });
            }
        }
    }

    /// The unit files are those of before: the manager must know before units are started.
    pub(super) fn reload_manager(&mut self, open: &mut Open) {
        let concerned =
            open.state.saved.iter().any(|(resource, _)| resource.handler().policy().manager_reloads);
        if !concerned || open.state.begun.is_empty() || self.sys.root() != Path::new("/") {
            return;
        }
        let command = Command::new(["systemctl", "daemon-reload"]).timeout(super::MANAGER);
        let problem = match self.sys.effect(&Effect::Run(&command)) {
            Ok(output) if output.success() => return,
            Ok(output) => output.complaint(),
            Err(error) => error.to_string(),
        };
        let text = format!("the unit files could not be read again: {problem}");
        self.tell(open, &Event::Note { text: &text });
    }

    pub(super) fn release_reserve(&mut self, open: &mut Open) {
        if let Err(error) = release(self.sys, &self.files, open.id) {
            let text = format!("the space kept for this could not be released: {error}");
            self.tell(open, &Event::Note { text: &text });
        }
    }

    /// Notes a record. A journal that cannot be written does not keep anything from being put back; it keeps
    /// the run from being called proved.
    pub(super) fn note_if_possible(&mut self, open: &mut Open, record: &Record) -> Option<String> {
        let error = open.note(self.sys, record).err()?;
        // What this process knows stays true for this process.
        open.state.apply(record);
        Some(error.to_string())
    }
}

/// What is left to be put back, last saved first. What went with another resource that is back already is
/// not: its directory may be gone. The listings come when everything else is back, so that only those are
/// left that nothing else has put back.
pub(super) fn in_reverse(open: &Open, turn: Turn, covers: &Covers) -> Vec<(Resource, Saved)> {
    let due = |(resource, _): &&(Resource, Saved)| {
        if boot::comes_last(&open.state, resource) {
            // Every way back begins with it in place again.
            return turn == Turn::BootUnit;
        }
        turn == Turn::Of(resource.handler().policy().pass)
            && open.may_have_touched(resource)
            && !open.state.restored.contains_key(resource)
            && !open.is_settled(resource, covers)
    };
    open.state.saved.iter().rev().filter(due).cloned().collect()
}

/// What comes back together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// The resources of the kinds that say so.
    Of(Pass),
    /// The boot unit with its directories, whatever kind of resource they are.
    BootUnit,
}
