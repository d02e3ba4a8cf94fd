//! The way back: the committed transactions that the host is made of, newest first, and where they end.
//!
//! Each transaction notes which one was committed when it began. Followed from the newest, these notes lead down to the
//! host as it was before all of them, or to one that is not kept any more. Below that one there is no way back, whatever
//! else may be kept there: a rollback over a gap would mix two states. Pure: nothing is read.

use chom_format::exit::Explain;
use chom_format::{Exit, HostState};

use super::TransactionRecord;
use crate::journal::{Begin, Standing};

/// The way back of one host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Way {
    /// What can be rolled back, newest first.
    pub back: Vec<u64>,
    /// What is left when all of these are rolled back: a transaction that is not kept, or 0, the host before all of them.
    pub floor: u64,
    /// Every transaction that is kept, for telling which are not.
    kept: Vec<u64>,
}

/// Why there is no such way back. Nothing was touched.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum WayError {
    /// There is nothing to roll back.
    #[error("no transaction is committed on this host")]
    Nothing,
    /// It leads over transactions that are not kept.
    #[error("{missing} not kept, so the way back ends at transaction {lowest}")]
    NotKept {
        /// Which, as a sentence begins: `transactions 1 to 10 are`.
        missing: String,
        /// The state that can still be reached.
        lowest: u64,
        /// Whether the host has that state already.
        reached: bool,
    },
    /// No such transaction.
    #[error("there is no transaction {id} to go back to")]
    NoSuch {
        /// As asked for.
        id: u64,
    },
    /// It failed, or was rolled back, or is not known to have been anything else.
    #[error(
        "transaction {id} is not committed: the host never stayed as it left it, or went back from there"
    )]
    NotCommitted {
        /// As asked for.
        id: u64,
        /// The newest committed one before it; 0 when there is none.
        before: u64,
    },
}

impl Way {
    /// The way back through these transactions, oldest first.
    pub fn of(known: &[TransactionRecord]) -> Self {
        let mut way = Self { kept: known.iter().map(|known| known.id).collect(), ..Self::default() };
        let mut at = known.last();
        while let Some(known_here) = at {
            if is_part(known_here) {
                way.back.push(known_here.id);
            }
            way.floor = built_on(known, known_here);
            at = known.iter().find(|known| known.id == way.floor && known.id > 0);
        }
        way
    }

    /// The newest committed transaction, kept or not, of these that the way was made of; none when there is none. One that
    /// waits to be confirmed is not committed yet.
    pub fn committed(&self, known: &[TransactionRecord]) -> Option<u64> {
        let is_committed = |id: &u64| known.iter().any(|known| known.id == *id && known.state.stands());
        self.back.iter().copied().find(is_committed).or((self.floor > 0).then_some(self.floor))
    }

    /// What is to be rolled back, newest first, so that the host is as `to` left it; without `to` the newest alone.
    /// Nothing when it is so already.
    pub fn to(&self, to: Option<u64>) -> Result<Vec<u64>, WayError> {
        let Some(to) = to else {
            let newest = self.back.first().map(|id| vec![*id]);
            return newest.ok_or_else(|| self.no_further(0));
        };
        if to > self.kept.last().copied().unwrap_or(0).max(self.floor) {
            return Err(WayError::NoSuch { id: to });
        }
        if to < self.floor || (to == 0 && self.back.is_empty()) {
            return Err(self.no_further(to));
        }
        if to != self.floor && !self.back.contains(&to) {
            let before = self.back.iter().copied().find(|id| *id < to).unwrap_or(self.floor);
            return Err(WayError::NotCommitted { id: to, before });
        }
        Ok(self.back.iter().copied().filter(|id| *id > to).collect())
    }

    /// The transactions that are not kept and below which there is no way back; none when it leads to the end.
    pub fn missing(&self) -> Option<String> {
        (self.floor > 0).then(|| missing(&self.kept, 1, self.floor))
    }

    fn no_further(&self, to: u64) -> WayError {
        if self.floor == 0 {
            return WayError::Nothing;
        }
        let missing = missing(&self.kept, to + 1, self.floor);
        WayError::NotKept { missing, lowest: self.floor, reached: self.back.is_empty() }
    }
}

/// Whether the host has what it brought. What waits to be confirmed is rolled back like what is committed: somebody says no.
fn is_part(known: &TransactionRecord) -> bool {
    known.state.stands() || matches!(known.state.standing, Standing::Exposed { .. })
}

/// The transaction that was committed when this one began.
fn built_on(known: &[TransactionRecord], this: &TransactionRecord) -> u64 {
    let just_before = this.id.saturating_sub(1);
    let begin = this.state.begin.as_ref();
    if let Some(noted) = begin.and_then(|begin| begin.upon) {
        return noted.min(just_before);
    }
    // A journal from before this was noted. A number that is missing may have been committed, unless an older one is kept
    // that brought something else: that was kept only together with all that was committed after it.
    let manifest = |begin: &Begin| begin.manifest;
    match known.iter().rev().find(|older| older.id < this.id) {
        Some(older)
            if older.state.stands() && older.state.begin.as_ref().map(manifest) != begin.map(manifest) =>
        {
            older.id
        }
        _ => just_before,
    }
}

/// `transactions 1, 3 to 10 are`: those of `first..=last` that are not among the kept ones, which are in order.
fn missing(kept: &[u64], first: u64, last: u64) -> String {
    let mut ranges = Vec::new();
    let mut next = first;
    let inside = kept.iter().copied().filter(|id| (first..=last).contains(id));
    for id in inside.chain([last.saturating_add(1)]) {
        match id.saturating_sub(next) {
            0 => {}
            1 => ranges.push(next.to_string()),
            _ => ranges.push(format!("{next} to {}", id - 1)),
        }
        next = id.saturating_add(1);
    }
    match ranges.as_slice() {
        [one] if !one.contains(' ') => format!("transaction {one} is"),
        _ => format!("transactions {} are", ranges.join(", ")),
    }
}

impl Explain for WayError {
    fn exit(&self) -> Exit {
        match self {
            Self::NotKept { .. } => Exit::Refused,
            Self::Nothing | Self::NoSuch { .. } | Self::NotCommitted { .. } => Exit::BadInput,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotKept { lowest, reached: false, .. } => format!("chom-install rollback --to {lowest}"),
            Self::NotCommitted { before, .. } => format!("chom-install rollback --to {before}"),
            Self::NotKept { .. } | Self::Nothing | Self::NoSuch { .. } => "chom-install history".to_owned(),
        })
    }

    fn host(&self) -> HostState {
        HostState::Unchanged
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::journal::{Journal, Record, fold};
    use chom_format::Digest;

    /// A transaction as it is kept: what it was built on (none: an old journal), its manifest, and whether it is committed.
    pub(crate) fn known(id: u64, upon: Option<u64>, manifest: &[u8], committed: bool) -> TransactionRecord {
        let begin = Begin {
            format: 1,
            id,
            bundle: String::new(),
            manifest: Digest::of(manifest),
            at: String::new(),
            boot_id: String::new(),
            by: String::new(),
            backup: None,
            token: None,
            upon,
            adopts: false,
        };
        let at = String::new();
        let end = match committed {
            true => Record::Committed { at },
            false => Record::RolledBack { proof: Vec::new(), exceptions: Vec::new(), at },
        };
        let journal = Journal::at("/var/lib/chom/journal".parse().unwrap());
        TransactionRecord { id, state: fold(&[Record::Begin(begin), end]), journal }
    }

    fn not_kept(missing: &str, lowest: u64, reached: bool) -> WayError {
        WayError::NotKept { missing: missing.to_owned(), lowest, reached }
    }

    #[test]
    fn a_way_exists_in_full_or_is_refused() {
        let (yes, no) = (true, false);
        let upgrades: Vec<TransactionRecord> =
            (11..=15).map(|id| known(id, Some(id - 1), b"0", yes)).collect();
        // Attempts that failed and are not kept any more are no gap, one that was rolled back is no state.
        let attempts =
            [known(1, Some(0), b"0", yes), known(6, Some(1), b"1", no), known(7, Some(1), b"1", yes)];
        // The one that brought the bundle is kept without what came between.
        let restores =
            [known(2, Some(1), b"0", yes), known(5, Some(4), b"0", yes), known(6, Some(5), b"0", yes)];
        let by_hand = [known(1, Some(0), b"0", yes), known(3, Some(2), b"2", yes)];
        let gone = [known(11, Some(10), b"0", no), known(12, Some(11), b"0", no)];
        type Case<'a> = (&'a [TransactionRecord], Option<u64>, Result<Vec<u64>, WayError>);
        let cases: Vec<Case<'_>> = vec![
            (&[], None, Err(WayError::Nothing)),
            (&[], Some(0), Err(WayError::Nothing)),
            (&[], Some(1), Err(WayError::NoSuch { id: 1 })),
            (&upgrades, None, Ok(vec![15])),
            (&upgrades, Some(15), Ok(vec![])),
            (&upgrades, Some(13), Ok(vec![15, 14])),
            (&upgrades, Some(10), Ok(vec![15, 14, 13, 12, 11])),
            (&upgrades, Some(9), Err(not_kept("transaction 10 is", 10, no))),
            (&upgrades, Some(0), Err(not_kept("transactions 1 to 10 are", 10, no))),
            (&upgrades, Some(16), Err(WayError::NoSuch { id: 16 })),
            (&attempts, Some(0), Ok(vec![7, 1])),
            (&attempts, Some(1), Ok(vec![7])),
            (&attempts, Some(3), Err(WayError::NotCommitted { id: 3, before: 1 })),
            (&attempts, Some(6), Err(WayError::NotCommitted { id: 6, before: 1 })),
            (&restores, Some(4), Ok(vec![6, 5])),
            (&restores, Some(2), Err(not_kept("transactions 3 to 4 are", 4, no))),
            (&restores, Some(0), Err(not_kept("transactions 1, 3 to 4 are", 4, no))),
            (&by_hand, Some(0), Err(not_kept("transaction 2 is", 2, no))),
            (&by_hand, Some(1), Err(not_kept("transaction 2 is", 2, no))),
            (&gone, None, Err(not_kept("transactions 1 to 10 are", 10, yes))),
            (&gone, Some(10), Ok(vec![])),
            (&gone, Some(0), Err(not_kept("transactions 1 to 10 are", 10, yes))),
        ];
        for (transactions, to, expected) in cases {
            let way = Way::of(transactions);
            let ids: Vec<u64> = transactions.iter().map(|known| known.id).collect();
            assert_eq!(way.to(to), expected, "{ids:?} to {to:?}");
            // What a refusal advises can be done.
            let advised = expected.err().and_then(|error| error.hint());
            if let Some(to) = advised.as_deref().and_then(|hint| hint.rsplit_once("--to ")) {
                assert!(way.to(to.1.parse().ok()).is_ok(), "{ids:?}: {advised:?}");
            }
        }
        let committed = |known: &[TransactionRecord]| Way::of(known).committed(known);
        assert_eq!((committed(&gone), committed(&upgrades), committed(&[])), (Some(10), Some(15), None));
        assert_eq!(Way::of(&attempts).missing(), None);
    }

    #[test]
    fn a_journal_that_notes_nothing_is_believed_where_nothing_can_be_missing() {
        let row = |ids: &[(u64, u8, bool)]| -> Vec<TransactionRecord> {
            ids.iter().map(|(id, manifest, committed)| known(*id, None, &[*manifest], *committed)).collect()
        };
        for (transactions, back, floor) in [
            (row(&[(1, 0, true), (2, 1, true), (3, 2, true)]), vec![3, 2, 1], 0),
            (row(&[(1, 0, true), (2, 1, false), (3, 2, true)]), vec![3, 1], 0),
            // Attempts went, and what was committed before them was kept as the next one down.
            (row(&[(1, 0, true), (5, 1, false), (6, 1, true)]), vec![6, 1], 0),
            (row(&[(2, 1, true), (5, 1, true), (6, 1, true)]), vec![6, 5], 4),
            (row(&[(11, 0, true), (12, 1, true)]), vec![12, 11], 10),
        ] {
            let way = Way::of(&transactions);
            assert_eq!((way.back, way.floor), (back, floor), "{:?}", way.kept);
        }
    }
}
