//! Services that write stand still while what they write to is exchanged.

use std::thread;
use std::time::{Duration, Instant};

use chom_format::UnitName;

use crate::database::systemctl;
use crate::resource::Resource;
use crate::step::{Change, Context, Decision, Detail, Run, Step, StepError, Undo, UnitMove};
use crate::sys::{Sys, interrupt};
use crate::systemd;

// Longer than systemd's own patience with a unit that does not stop.
const TIMEOUT: Duration = Duration::from_secs(150);
const POLL: Duration = Duration::from_millis(100);

/// Stops a unit that runs.
pub(super) struct Stop {
    pub(super) unit: UnitName,
}

/// Starts it again.
pub(super) struct Start {
    pub(super) unit: UnitName,
}

impl Step for Stop {
    fn decide(&self, _: &dyn Sys, _: &Context) -> Result<Decision, StepError> {
        Ok(Decision::Change(change("stop", format!("{} while its data is exchanged", self.unit), Run::Stop)))
    }

    fn touches(&self, _: &dyn Sys, _: &Context, _: &Change) -> Result<Vec<Resource>, StepError> {
        Ok(vec![Resource::unit(self.unit.clone())])
    }

    fn apply(&self, sys: &mut dyn Sys, _: &Context, _: &Change) -> Result<(), StepError> {
        Ok(systemctl(sys, "stop", &self.unit, TIMEOUT)?)
    }
}

impl Step for Start {
    fn decide(&self, _: &dyn Sys, _: &Context) -> Result<Decision, StepError> {
        Ok(Decision::Change(change("start", format!("{}, which ran before", self.unit), Run::Start)))
    }

    fn touches(&self, _: &dyn Sys, _: &Context, _: &Change) -> Result<Vec<Resource>, StepError> {
        Ok(vec![Resource::unit(self.unit.clone())])
    }

    fn apply(&self, sys: &mut dyn Sys, _: &Context, _: &Change) -> Result<(), StepError> {
        systemctl(sys, "start", &self.unit, TIMEOUT)?;
        let deadline = Instant::now() + TIMEOUT;
        while Instant::now() < deadline {
            interrupt::check()?;
            let now = systemd::read_one(sys, &self.unit)?;
            if now.is_running() {
                return Ok(());
            }
            if matches!(now.active.as_str(), "failed" | "inactive") {
                break;
            }
            thread::sleep(POLL);
        }
        let what = format!("{} does not run with what was brought back", self.unit);
        Err(StepError::Refused { what, hint: Some(format!("journalctl -u {}", self.unit)) })
    }
}

fn change(verb: &'static str, summary: String, run: Run) -> Change {
    Change {
        verb,
        summary,
        detail: Detail::Unit(UnitMove { run: Some(run), ..UnitMove::default() }),
        diff: Vec::new(),
        undo: Undo::Copy,
        writes: Vec::new(),
        changes: Vec::new(),
    }
}
