//! Makes a database what it was: dropped, and made anew from the dump.

use std::time::Duration;

use chom_format::backup::{BackupSource, MariadbSource};

use super::super::create::size;
use super::stage::Staged;
use crate::database::{finished, mariadb, postgresql};
use crate::resource::{Database, Resource};
use crate::step::{Change, Context, Decision, Detail, Step, StepError, Undo};
use crate::sys::{Command, Effect, Sys};

/// See the module.
pub(super) struct Data {
    pub(super) staged: Staged,
}

impl Step for Data {
    fn decide(&self, sys: &dyn Sys, _: &Context) -> Result<Decision, StepError> {
        let Some(database) = self.database() else {
            return Ok(Decision::Keep { why: "the backup holds no database".to_owned() });
        };
        let kept = &self.staged.kept;
        let now = match &database {
            Database::Postgresql(source) if postgresql::exists(sys, source)? => {
                postgresql::measure(sys, source)?
            }
            Database::Postgresql(_) | Database::Redis(_) => 0,
            Database::Mariadb(source) => {
                let there = mariadb::databases(sys, source)?;
                let databases =
                    source.databases.iter().filter(|name| there.contains(name)).cloned().collect();
                let there = MariadbSource { databases, ..source.clone() };
                if there.databases.is_empty() { 0 } else { mariadb::measure(sys, &there)?.1 }
            }
        };
        let object = self.staged.path.parent().unwrap_or_else(|| self.staged.path.clone());
        Ok(Decision::Change(Change {
            verb: "restore",
            summary: format!("{database} from backup {} ({})", self.staged.backup, size(kept.clear.size)),
            detail: Detail::None,
            diff: vec![format!(
                "it is dropped and made anew; what is in it now ({}) is dumped before",
                size(now)
            )],
            undo: Undo::Copy,
            writes: vec![(object.clone(), now), (object, kept.clear.size)],
            changes: Vec::new(),
        }))
    }

    fn touches(&self, _: &dyn Sys, _: &Context, _: &Change) -> Result<Vec<Resource>, StepError> {
        Ok(self.database().map(|database| Resource::Database { database }).into_iter().collect())
    }

    fn apply(&self, sys: &mut dyn Sys, _: &Context, _: &Change) -> Result<(), StepError> {
        let command = match &self.staged.kept.part.source {
            BackupSource::Postgresql(source) => postgresql::restore(source),
            BackupSource::Mariadb(source) => mariadb::run_sql(source),
            BackupSource::Paths(_) | BackupSource::Redis(_) => return Ok(()),
        };
        let timeout = Duration::from_secs(u64::from(self.staged.kept.part.timeout_s));
        let command = Command { stdin_from: Some(self.staged.path.clone()), ..command }.timeout(timeout);
        let output = sys.effect(&Effect::Run(&command))?;
        Ok(finished(&command, output)?)
    }
}

impl Data {
    fn database(&self) -> Option<Database> {
        match &self.staged.kept.part.source {
            BackupSource::Postgresql(source) => Some(Database::Postgresql(source.clone())),
            BackupSource::Mariadb(source) if !self.staged.kept.databases.is_empty() => {
                // Those that it holds, whichever there are now.
                let databases = self.staged.kept.databases.clone();
                Some(Database::Mariadb(MariadbSource { databases, ..source.clone() }))
            }
            _ => None,
        }
    }
}
