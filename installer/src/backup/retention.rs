//! Which backups go: the oldest beyond the number that is kept, and those beyond their age. Pure.
//!
//! The newest good one never goes, however old it is, and neither does one that belongs to a transaction which is not
//! over. One whose label cannot be read is not counted and not touched: it is a person's to look at.

use std::collections::BTreeSet;

use chom_format::backup::BackupPolicy;
use jiff::Timestamp;

use super::shelf::Found;

/// The numbers of those that go, oldest first, each with the reason.
pub fn condemned(
    found: &[Found],
    policy: &BackupPolicy,
    open: &BTreeSet<u64>,
    now: Timestamp,
) -> Vec<(u64, String)> {
    let good: Vec<_> =
        found.iter().rev().filter_map(|one| Some((one.id, one.label.as_ref().ok()?))).collect();
    let keep = usize::try_from(policy.keep.max(1)).unwrap_or(usize::MAX);
    let mut gone = Vec::new();
    for (newer, (id, label)) in good.into_iter().enumerate().skip(1) {
        if label.transaction.is_some_and(|transaction| open.contains(&transaction)) {
            continue;
        }
        let age = label.at.parse::<Timestamp>().ok().map(|at| now.duration_since(at).as_secs());
        let too_old = policy
            .max_age_s
            .zip(age)
            .is_some_and(|(most, age)| u64::try_from(age).is_ok_and(|age| age > most));
        if newer >= keep {
            gone.push((id, format!("{keep} newer ones are kept")));
        } else if too_old {
            gone.push((id, format!("it is of {}", label.at)));
        }
    }
    gone.reverse();
    gone
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::label::Label;
    use super::*;

    fn found(id: u64, hours_old: i64, transaction: Option<u64>) -> Found {
        let at = Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_hours(1_000_000 - hours_old);
        let label = Label {
            format: 1,
            id,
            at: at.to_string(),
            host: "mentat".parse().unwrap(),
            bundle: String::new(),
            stood: 1,
            transaction,
            by: String::new(),
            tool: String::new(),
            recipients: Vec::new(),
            parts: Vec::new(),
        };
        Found { id, place: format!("/b/{id:06}").parse().unwrap(), label: Ok(label) }
    }

    fn now() -> Timestamp {
        Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_hours(1_000_000)
    }

    fn policy(keep: u32, hours: Option<u64>) -> BackupPolicy {
        BackupPolicy { keep, max_age_s: hours.map(|hours| hours * 3600), ..BackupPolicy::default() }
    }

    fn ids(gone: Vec<(u64, String)>) -> Vec<u64> {
        gone.into_iter().map(|(id, _)| id).collect()
    }

    #[test]
    fn by_count_and_by_age() {
        let all = [found(1, 50, None), found(2, 40, None), found(3, 30, None), found(4, 20, None)];
        let none = BTreeSet::new();
        assert_eq!(ids(condemned(&all, &policy(2, None), &none, now())), [1, 2]);
        assert_eq!(ids(condemned(&all, &policy(9, Some(35)), &none, now())), [1, 2]);
        assert_eq!(ids(condemned(&all, &policy(3, Some(1)), &none, now())), [1, 2, 3], "the newest stays");
        assert_eq!(ids(condemned(&all, &policy(0, None), &none, now())), [1, 2, 3], "the newest stays");
    }

    #[test]
    fn one_of_an_open_transaction_stays_and_a_broken_one_is_not_counted() {
        let mut all = [found(1, 50, Some(7)), found(2, 40, None), found(3, 30, None), found(4, 20, None)];
        all[3].label = Err("damaged".to_owned());
        assert_eq!(ids(condemned(&all, &policy(1, None), &BTreeSet::from([7]), now())), [2]);
        assert_eq!(ids(condemned(&all, &policy(1, None), &BTreeSet::new(), now())), [1, 2]);
    }

    proptest! {
        #[test]
        fn the_newest_good_one_never_goes(
            ages in prop::collection::vec((0_i64..10_000, any::<bool>(), prop::option::of(0_u64..4)), 0..12),
            keep in 0_u32..5, hours in prop::option::of(0_u64..9000), open in prop::collection::btree_set(0_u64..4, 0..4),
        ) {
            let make = |(id, (age, good, transaction)): (u64, &(i64, bool, Option<u64>))| {
                let mut found = found(id, *age, *transaction);
                if !good {
                    found.label = Err("damaged".to_owned());
                }
                found
            };
            let all: Vec<Found> = (1..).zip(&ages).map(make).collect();
            let gone = ids(condemned(&all, &policy(keep, hours), &open, now()));
            let newest = all.iter().rev().find(|found| found.label.is_ok()).map(|found| found.id);
            prop_assert!(newest.is_none_or(|newest| !gone.contains(&newest)));
            for found in all.iter().filter(|found| gone.contains(&found.id)) {
                let label = found.label.as_ref().unwrap();
                prop_assert!(label.transaction.is_none_or(|transaction| !open.contains(&transaction)));
            }
        }
    }
}
