//! How far the way back leads, told before anybody needs it, and what a host is that has gone back as far as it can: only
//! one that was bare may be called as before.

use std::fmt;

use serde::Serialize;

use super::Session;
use crate::transaction::TransactionRecord;

/// How far the way back leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WayBack {
    /// What can be rolled back, newest first.
    pub transactions: Vec<u64>,
    /// The lowest that `rollback --to` takes.
    pub to: u64,
    /// Transactions that are not kept and would be needed to go further, as a sentence begins: `transactions 1 to 10 are`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
    /// The transaction that took over what was in place before it: no rollback removes that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adopted_by: Option<u64>,
}

impl WayBack {
    /// As it is now; none on a host without a transaction.
    pub(super) fn of(session: &Session) -> Option<Self> {
        let way = session.way();
        if way.back.is_empty() && way.floor == 0 {
            return None;
        }
        let oldest = way.back.last().and_then(|id| session.known.iter().find(|known| known.id == *id));
        let adopted_by = oldest.filter(|known| adopts(known)).map(|known| known.id);
        Some(Self { missing: way.missing(), adopted_by, to: way.floor, transactions: way.back })
    }
}

/// What is told of a host after a rollback that has led to the end of the way; none where it was bare before, and where
/// there is more of the way.
pub(super) fn at_the_end(session: &Session, last: Option<u64>) -> Option<String> {
    let way = session.way();
    let last = session.known.iter().find(|known| Some(known.id) == last)?;
    if !way.back.is_empty() {
        return None;
    }
    let proved = "proved by reading every touched resource again";
    if let Some(missing) = way.missing() {
        let id = way.floor;
        return Some(format!(
            "as transaction {id} left it, {proved}; no way leads further back: {missing} not kept"
        ));
    }
    let id = last.id;
    adopts(last)
        .then(|| format!("as transaction {id} found it, {proved}; what it took over is still in place"))
}

fn adopts(known: &TransactionRecord) -> bool {
    known.state.begin.as_ref().is_some_and(|begin| begin.adopts)
}

impl fmt::Display for WayBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { transactions, to, missing, adopted_by } = self;
        match (missing, adopted_by, transactions.last()) {
            (Some(missing), _, None) => writeln!(f, "no way leads back from here: {missing} not kept"),
            (Some(missing), ..) => {
                writeln!(f, "the way back ends at transaction {to} (rollback --to {to}): {missing} not kept")
            }
            (None, Some(id), _) => {
                writeln!(f, "rollback --to 0 leaves what transaction {id} found in place and took over")
            }
            (None, None, Some(id)) => {
                writeln!(f, "rollback --to 0 leads back to the host before transaction {id}")
            }
            (None, None, None) => Ok(()),
        }
    }
}
