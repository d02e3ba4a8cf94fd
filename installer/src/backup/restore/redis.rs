//! Exchanges what a Redis holds: it stops, its files become those of the dump, and it starts again.

use chom_format::backup::RedisSource;

use super::super::create::size;
use super::super::error::BackupError;
use super::stage::Staged;
use crate::database::redis::{self, Server};
use crate::resource::{Database, Resource};
use crate::step::{Change, Context, Decision, Detail, Run, Step, StepError, Undo, UnitMove};
use crate::sys::Sys;

/// See the module.
pub(super) struct Data {
    staged: Staged,
    server: Server,
}

impl Data {
    /// It is asked where it keeps its data while it runs.
    pub(super) fn new(sys: &dyn Sys, source: &RedisSource, staged: &Staged) -> Result<Self, BackupError> {
        let server = Server::ask(sys, source).map_err(|error| {
            BackupError::NotNow(vec![format!(
                "{} must run, to say where it keeps its data: {error}",
                source.unit
            )])
        })?;
        Ok(Self { staged: staged.clone(), server })
    }
}

impl Step for Data {
    fn decide(&self, sys: &dyn Sys, _: &Context) -> Result<Decision, StepError> {
        let (bytes, unit) = (self.staged.kept.clear.size, &self.server.source.unit);
        let now = redis::measure(sys, &self.server.source)?;
        Ok(Decision::Change(Change {
            verb: "restore",
            summary: format!("what {unit} holds from backup {} ({})", self.staged.backup, size(bytes)),
            detail: Detail::Unit(UnitMove { run: Some(Run::Restart), ..UnitMove::default() }),
            diff: vec![format!(
                "it is restarted with it; what is in it now ({}) is dumped before",
                size(now)
            )],
            undo: Undo::Copy,
            writes: vec![(self.server.dump.clone(), 2 * bytes), (self.staged.path.clone(), now)],
            changes: Vec::new(),
        }))
    }

    fn touches(&self, _: &dyn Sys, _: &Context, _: &Change) -> Result<Vec<Resource>, StepError> {
        let unit = Resource::unit(self.server.source.unit.clone());
        Ok(vec![unit, Resource::Database { database: Database::Redis(self.server.clone()) }])
    }

    fn apply(&self, sys: &mut dyn Sys, _: &Context, _: &Change) -> Result<(), StepError> {
        Ok(self.server.exchange(sys, &self.staged.path, self.staged.kept.clear.sha256)?)
    }
}
