//! The engine's events as a person or a script sees them. The transaction's log has all of them.

use crate::engine::{self, Observer};
use crate::resource::Restored;

use super::{Event, Progress};

/// Shows what the engine tells.
pub struct Watcher<'a> {
    progress: &'a Progress,
    // Of the restore that goes on.
    resources: usize,
    restored: usize,
}

impl<'a> Watcher<'a> {
    /// Shows it there.
    pub fn new(progress: &'a Progress) -> Self {
        Self { progress, resources: 0, restored: 0 }
    }
}

impl Observer for Watcher<'_> {
    fn event(&mut self, event: &engine::Event<'_>) {
        use engine::Event as E;
        let text;
        let shown = match event {
            E::Begun { id, steps, .. } => Event::Begun { transaction: *id, steps: *steps },
            E::StepBegun { number, total, step, phase, summary } => {
                Event::Step { id: step, phase: *phase, number: *number, of: *total, summary }
            }
            E::StepDone { step, took, .. } => {
                Event::Done { id: step, ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX) }
            }
            E::Checking { progress } => {
                Event::Checks { passed: progress.passed, total: progress.total, waiting: &progress.waiting }
            }
            E::Failed { .. } => {
                text = event.to_string();
                Event::Failed { cause: &text }
            }
            E::RollingBack { cause, resources, .. } => {
                (self.resources, self.restored) = (*resources, 0);
                Event::RollingBack { cause }
            }
            E::Restored { resource, restored } => {
                self.restored += 1;
                text = resource.to_string();
                let (number, of) = (self.restored, self.resources.max(self.restored));
                Event::Restored {
                    resource: &text,
                    outcome: &restored.to_string(),
                    number,
                    of,
                    plain: plain(restored),
                }
            }
            E::Exposed { .. } | E::Proving | E::Proved { .. } | E::Note { .. } | E::Stuck { .. } => {
                text = event.to_string();
                Event::Note { text: &text }
            }
            // In the log; the outcome has them too.
            E::Saving { .. } | E::Checked { .. } | E::Committed { .. } => return,
        };
        self.progress.show(&shown);
    }
}

// Worth no line of its own.
fn plain(restored: &Restored) -> bool {
    matches!(restored, Restored::Restored | Restored::AlreadyBefore)
}
