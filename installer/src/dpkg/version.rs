//! The order of Debian versions, as dpkg has it.

use std::cmp::Ordering;

/// Compares two full versions: `[epoch:]upstream[-revision]`.
pub fn compare(left: &str, right: &str) -> Ordering {
    let ((left_epoch, left), (right_epoch, right)) = (epoch(left), epoch(right));
    let ((left, left_revision), (right, right_revision)) = (revision(left), revision(right));
    left_epoch
        .cmp(&right_epoch)
        .then_with(|| part(left, right))
        .then_with(|| part(left_revision, right_revision))
}

fn epoch(version: &str) -> (u64, &str) {
    match version.split_once(':') {
        Some((epoch, rest)) => (epoch.trim().parse().unwrap_or(0), rest),
        None => (0, version),
    }
}

fn revision(version: &str) -> (&str, &str) {
    version.rsplit_once('-').unwrap_or((version, ""))
}

// Stretches of non-digits and of digits in turn, until one differs.
fn part(mut left: &str, mut right: &str) -> Ordering {
    loop {
        let (left_word, left_rest) =
            left.split_at(left.find(|c: char| c.is_ascii_digit()).unwrap_or(left.len()));
        let (right_word, right_rest) =
            right.split_at(right.find(|c: char| c.is_ascii_digit()).unwrap_or(right.len()));
        let (left_number, left_next) = number(left_rest);
        let (right_number, right_next) = number(right_rest);
        let order = words(left_word, right_word).then_with(|| numbers(left_number, right_number));
        if order != Ordering::Equal {
            return order;
        }
        if left_next.is_empty() && right_next.is_empty() {
            return Ordering::Equal;
        }
        (left, right) = (left_next, right_next);
    }
}

fn number(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

// Of any length: some versions are dates with a time, and longer than any integer type.
fn numbers(left: &str, right: &str) -> Ordering {
    let (left, right) = (left.trim_start_matches('0'), right.trim_start_matches('0'));
    left.len().cmp(&right.len()).then_with(|| left.cmp(right))
}

// A tilde sorts before the end, the end before letters, letters before everything else.
fn words(left: &str, right: &str) -> Ordering {
    let weight = |c: Option<char>| match c {
        Some('~') => -1,
        None => 0,
        Some(c) if c.is_ascii_alphabetic() => c as i64,
        Some(c) => c as i64 + 256,
    };
    let (mut left, mut right) = (left.chars(), right.chars());
    loop {
        let (one, other) = (left.next(), right.next());
        match weight(one).cmp(&weight(other)) {
            Ordering::Equal if one.is_none() && other.is_none() => return Ordering::Equal,
            Ordering::Equal => {}
            order => return order,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAIRS: [(&str, &str, Ordering); 20] = [
        ("1", "1", Ordering::Equal),
        ("1.0", "1.0-0", Ordering::Equal),
        ("1", "2", Ordering::Less),
        ("9", "10", Ordering::Less),
        ("1:1", "2", Ordering::Greater),
        ("0:1", "1", Ordering::Equal),
        ("1.0~rc1", "1.0", Ordering::Less),
        ("1.0~~", "1.0~", Ordering::Less),
        ("1.0", "1.0a", Ordering::Less),
        ("1.0a", "1.0+", Ordering::Less),
        ("1.26.3-3+deb13u1", "1.26.3-3", Ordering::Greater),
        ("1.26.3-3+deb13u2", "1.26.3-3+deb13u11", Ordering::Less),
        ("1.2-3-4", "1.2-3-5", Ordering::Less),
        ("1.01", "1.1", Ordering::Equal),
        ("20260101123456789012345678", "20260101123456789012345679", Ordering::Less),
        ("1.0-1", "1.0-1~bpo12+1", Ordering::Greater),
        ("2.41-12", "2.41-12+deb13u1", Ordering::Less),
        ("a", "1", Ordering::Greater),
        ("1.a", "1.+", Ordering::Less),
        ("7.0.15-1", "5:7.0.15-1", Ordering::Less),
    ];

    #[test]
    fn versions_are_ordered() {
        for (left, right, wanted) in PAIRS {
            assert_eq!(compare(left, right), wanted, "{left} against {right}");
            assert_eq!(compare(right, left), wanted.reverse(), "{right} against {left}");
        }
    }

    #[test]
    fn dpkg_says_the_same() {
        for (left, right, wanted) in PAIRS {
            let operator = match wanted {
                Ordering::Less => "lt",
                Ordering::Equal => "eq",
                Ordering::Greater => "gt",
            };
            let asked = std::process::Command::new("dpkg")
                .args(["--compare-versions", left, operator, right])
                .status();
            assert!(asked.unwrap().success(), "dpkg: {left} is not {operator} {right}");
        }
    }

    proptest::proptest! {
        #[test]
        fn the_order_is_total(a in "[0-9a-c.+~-]{0,6}", b in "[0-9a-c.+~-]{0,6}", c in "[0-9a-c.+~-]{0,6}") {
            proptest::prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
            if compare(&a, &b) != Ordering::Greater && compare(&b, &c) != Ordering::Greater {
                proptest::prop_assert_ne!(compare(&a, &c), Ordering::Greater);
            }
        }
    }
}
