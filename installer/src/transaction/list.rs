//! The transactions that the host knows.

use std::collections::BTreeMap;

use chom_format::Digest;

use super::Files;
use crate::journal::{Journal, JournalError, State, fold};
use crate::resource::Resource;
use crate::sys::{Sys, SysError};

/// A transaction with what its journal says.
#[derive(Debug, Clone)]
pub struct TransactionRecord {
    /// Its number.
    pub id: u64,
    /// What its records amount to.
    pub state: State,
    /// The journal, ready to be gone on with.
    pub journal: Journal,
}

impl TransactionRecord {
    /// What it has in the store, with what each object is for.
    pub fn objects(&self) -> Result<BTreeMap<Digest, &Resource>, SysError> {
        let mut objects = BTreeMap::new();
        for (resource, saved) in &self.state.saved {
            objects.extend(saved.objects.iter().map(|object| (*object, resource)));
        }
        for (resource, after) in &self.state.after {
            objects.extend(
                resource.handler().objects_of_after(after)?.into_iter().map(|object| (object, resource)),
            );
        }
        Ok(objects)
    }
}

/// All transactions, oldest first. One whose journal never came to hold a record did not begin and is left out.
pub fn list(sys: &dyn Sys, files: &Files) -> Result<Vec<TransactionRecord>, JournalError> {
    let mut known = Vec::new();
    for id in ids(sys, files)? {
        known.extend(load(sys, files, id)?);
    }
    Ok(known)
}

/// One transaction; none when it did not begin.
pub fn load(sys: &dyn Sys, files: &Files, id: u64) -> Result<Option<TransactionRecord>, JournalError> {
    let path = files.of(id, "journal")?;
    if sys.meta(&path)?.is_none() {
        return Ok(None);
    }
    let (journal, records) = Journal::open(sys, path)?;
    let state = fold(&records);
    Ok(state.begin.is_some().then_some(TransactionRecord { id, state, journal }))
}

/// The numbers that were given out, also to what did not begin.
pub(super) fn ids(sys: &dyn Sys, files: &Files) -> Result<Vec<u64>, SysError> {
    let names = sys.list(&files.transactions()?)?;
    let mut ids: Vec<u64> = names.iter().filter_map(|name| name.parse().ok()).collect();
    ids.sort_unstable();
    Ok(ids)
}

impl Files {
    /// The number for the next transaction.
    pub fn next_id(&self, sys: &dyn Sys) -> Result<u64, SysError> {
        Ok(ids(sys, self)?.last().map_or(1, |last| last + 1))
    }
}
