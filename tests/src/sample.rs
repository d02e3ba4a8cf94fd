//! What of too many cases a run takes: another part for each number in `CHOM_SAMPLE`, which `make test` makes of the
//! commit. Whoever takes one says how to see the same again.

use crate::{matrix, places};

/// The number of this run's sample.
pub fn number() -> u64 {
    matrix::number("CHOM_SAMPLE", 0) as u64
}

/// A small generator: the suites need positions that can be had again, not good randomness.
#[derive(Debug)]
pub struct Dice(u64);

impl Dice {
    /// That of this sample, for one purpose. Tells how to have it again.
    pub fn of(purpose: &str) -> Self {
        println!("the same again: {}", again(&format!("CHOM_SAMPLE={}", number())));
        Self::new(number(), purpose)
    }

    fn new(sample: u64, purpose: &str) -> Self {
        let mixed = purpose.bytes().fold(sample.wrapping_add(1), |mixed, byte| {
            (mixed ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3).rotate_left(23)
        });
        Self(mixed | 1)
    }

    /// The next number below this one.
    pub fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

/// The command that plays this thread's scene with these variables.
pub fn again(variables: &str) -> String {
    format!("{variables} cargo test -p chom-tests --test suites {} -- --nocapture", places::scene())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thrown(sample: u64, purpose: &str) -> Vec<u64> {
        let mut dice = Dice::new(sample, purpose);
        (0..20).map(|_| dice.next(1000)).collect()
    }

    #[test]
    fn a_sample_can_be_had_again_and_no_two_are_alike() {
        assert_eq!(thrown(7, "dpkg"), thrown(7, "dpkg"));
        assert_ne!(thrown(7, "dpkg"), thrown(8, "dpkg"));
        assert_ne!(thrown(7, "dpkg"), thrown(7, "effects"));
        let spread: std::collections::BTreeSet<u64> =
            (0..100).map(|sample| thrown(sample, "dpkg")[0]).collect();
        assert!(spread.len() > 80, "{spread:?}");
    }
}
