//! Step ids: readable, stable, and made of nothing but what a step id may hold.

use std::fmt::Debug;
use std::str::FromStr;

use chom_format::{ComponentName, Digest, PartName, RelPath, StepId};

const LONGEST: usize = 200;

/// `component/what`. What cannot stand in an id is replaced, and a digest then keeps two such ids apart.
pub(super) fn of(component: &ComponentName, what: &str) -> StepId {
    let whole = format!("{component}/{}", what.trim_start_matches('/'));
    if let Ok(id) = whole.parse() {
        return id;
    }
    let fit = |c: char| c.is_ascii_alphanumeric() || "/._-+@:".contains(c);
    let tame: String = whole.chars().map(|c| if fit(c) { c } else { '_' }).take(LONGEST - 9).collect();
    let tame = format!("{tame}-{}", Digest::of(whole.as_bytes()).short());
    parsed(&tame)
}

/// The id of a step of the host itself.
pub(super) fn host(what: &str) -> StepId {
    parsed(&format!("host/{what}"))
}

/// Where an object lies in a bundle.
pub(super) fn object(sha256: &Digest) -> RelPath {
    parsed(&format!("objects/{sha256}"))
}

/// Where a release lies below its stack's root.
pub(super) fn release(id: &str) -> RelPath {
    parsed(&format!("releases/{id}"))
}

/// The name of a part of every backup. It has the characters that both names have.
pub(super) fn part(component: &ComponentName, id: &ComponentName) -> PartName {
    parsed(&format!("{component}.{id}"))
}

/// A name or path that this program itself writes.
pub(super) fn fixed<T: FromStr<Err: Debug>>(text: &'static str) -> T {
    parsed(text)
}

#[allow(clippy::expect_used, reason = "made here, of nothing but the characters that the type takes")]
fn parsed<T: FromStr<Err: Debug>>(text: &str) -> T {
    text.parse().expect("a text of fitting characters")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_readable_and_always_possible() {
        let component: ComponentName = "app".parse().unwrap();
        assert_eq!(of(&component, "/etc/app/x.yml").as_str(), "app/etc/app/x.yml");
        let (one, other) = (of(&component, "/etc/a b"), of(&component, "/etc/a_b"));
        assert_ne!(one, other);
        assert!(one.as_str().starts_with("app/etc/a_b-"), "{one}");
        let long = "/x".repeat(300);
        assert!(of(&component, &long).as_str().len() <= LONGEST);
        assert_ne!(of(&component, &long), of(&component, &format!("{long}y")));
        assert_eq!(host("packages").as_str(), "host/packages");
    }
}
