//! How much of a complete matrix a run takes. `CHOM_MATRIX=full` is all of it; `CHOM_MATRIX=3/24` is the third of 24
//! parts of about the same size, so that what takes hours can be seen piece by piece. Without it, a suite takes the
//! sample of the usual run.

use std::env;
use std::ops::RangeInclusive;
use std::thread;

/// A part of a complete matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    number: usize,
    of: usize,
}

impl Part {
    /// Whether this part has the case with this number, from 0.
    pub fn has(self, case: usize) -> bool {
        // Mixed, and not each n-th: with five kinds of fault in turn, each of ten parts would have one kind only.
        let mixed = (case as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        mixed % self.of as u64 == self.number as u64 - 1
    }

    fn parse(text: &str) -> Option<Self> {
        if text == "full" {
            return Some(Self { number: 1, of: 1 });
        }
        let (number, of) = text.split_once('/')?;
        let (number, of) = (number.parse().ok()?, of.parse().ok()?);
        (1..=of).contains(&number).then_some(Self { number, of })
    }
}

/// The part that is wanted; none in the usual run.
pub fn part() -> Option<Part> {
    let wanted = env::var("CHOM_MATRIX").ok()?;
    let part = Part::parse(&wanted);
    assert!(part.is_some(), "CHOM_MATRIX is `{wanted}`: `full`, or a part such as `3/24`");
    part
}

/// The effects that are wanted of a part, so that a case can be seen again: `CHOM_EFFECTS=3-8`.
pub fn effects() -> RangeInclusive<u64> {
    let Ok(wanted) = env::var("CHOM_EFFECTS") else { return 1..=u64::MAX };
    range(&wanted)
        .unwrap_or_else(|| panic!("CHOM_EFFECTS is `{wanted}`: the first and the last, such as `3-8`"))
}

fn range(text: &str) -> Option<RangeInclusive<u64>> {
    let (first, last) = text.split_once('-')?;
    let range = first.parse().ok()?..=last.parse().ok()?;
    (!range.is_empty()).then_some(range)
}

/// How many cases of each kind a sample has: `CHOM_CASES`.
pub fn cases(usual: usize) -> usize {
    number("CHOM_CASES", usual)
}

/// Hosts at once: `CHOM_JOBS`. They wait for their services half of the time.
pub fn jobs() -> usize {
    number("CHOM_JOBS", thread::available_parallelism().map_or(1, usize::from))
}

/// A number that a variable of the environment gives, or the usual one.
pub fn number(name: &str, usual: usize) -> usize {
    let Ok(wanted) = env::var(name) else { return usual };
    wanted.parse().unwrap_or_else(|_| panic!("{name} is `{wanted}`: a number"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_parts_are_the_whole_and_none_is_in_two() {
        let parts: Vec<Part> = (1..=7).map(|number| Part::parse(&format!("{number}/7")).unwrap()).collect();
        for case in 0..50 {
            assert_eq!(parts.iter().filter(|part| part.has(case)).count(), 1, "case {case}");
            assert!(Part::parse("full").unwrap().has(case));
        }
        for number in 1..=10 {
            let part = Part { number, of: 10 };
            let kinds: BTreeSet<usize> =
                (0..500).filter(|case| part.has(*case)).map(|case| case % 5).collect();
            assert_eq!(kinds.len(), 5, "part {number} of 10 has {kinds:?} of five kinds");
        }
        assert_eq!(range("3-8"), Some(3..=8));
        for wrong in ["", "3", "8-3", "a-b"] {
            assert_eq!(range(wrong), None, "{wrong}");
        }
        for wrong in ["", "all", "0/3", "4/3", "1/0", "1", "a/b"] {
            assert_eq!(Part::parse(wrong), None, "{wrong}");
        }
    }
}
