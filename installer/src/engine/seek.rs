//! What is found beside what was declared: see [`Look`]. Asked only of transactions that bring packages or move units,
//! for those run programs of others, and these write where they like.

use super::request::TransactionRequest;
use super::{Engine, Event, Open};
use crate::journal::Record;
use crate::resource::{Declared, Look, Sought};
use crate::step::Detail;
use crate::sys::{Sys, SysError};

/// The look from before the first effect, if this request needs one.
pub(super) fn before(sys: &dyn Sys, request: &TransactionRequest<'_>) -> Result<Option<Look>, SysError> {
    let foreign = |detail: &Detail| matches!(detail, Detail::Packages { .. } | Detail::Unit(_));
    let needed = request.tasks.iter().any(|task| foreign(&task.change.detail));
    needed.then(|| Look::take(sys)).transpose()
}

impl Engine<'_> {
    /// Before the commit: what is there that nobody declared, so that a later rollback can name it.
    pub(super) fn seek(&mut self, open: &mut Open) -> Result<(), super::EngineError> {
        let Some(before) = &open.before else { return Ok(()) };
        let sought = before.sought(self.sys, &declared(self.sys, open)?)?;
        for found in &sought.found {
            let text = format!("found: {found}, and neither a step nor a package nor a unit declares it");
            self.tell(open, &Event::Note { text: &text });
        }
        open.note(self.sys, &Record::Sought { sought })?;
        Ok(())
    }

    /// After all is back: what is not, because nobody declared it.
    pub(super) fn seek_again(&mut self, open: &Open) -> Result<Sought, SysError> {
        match (&open.state.sought, &open.before) {
            (Some(sought), _) => sought.clone().again(self.sys),
            (None, Some(before)) => before.sought(self.sys, &declared(self.sys, open)?),
            (None, None) => Ok(Sought::default()),
        }
    }

    /// How it was before a transaction that was cut off, as far as that was kept.
    pub(super) fn look_from_before(&self, open: &Open) -> Result<Option<Look>, SysError> {
        for (resource, saved) in &open.state.saved {
            if let Some(look) = resource.handler().look(self.sys, &open.store, saved)? {
                return Ok(Some(look));
            }
        }
        Ok(None)
    }
}

fn declared(sys: &dyn Sys, open: &Open) -> Result<Declared, SysError> {
    let mut all = Declared::default();
    for (resource, saved) in &open.state.saved {
        all.paths.extend(resource.handler().own_paths());
        let after = open.state.after.get(resource);
        all.extend(resource.handler().declared(sys, &open.store, saved, after)?);
    }
    Ok(all)
}
