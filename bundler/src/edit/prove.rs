//! The proof that an edited text says what was meant and nothing else.

use serde_json::Value;

use super::error::EditError;
use super::patch::Written;
use crate::yaml::{self, Kind, Node, Place};

/// One value that was meant to be set: the path of its mapping, its key, and itself.
pub type Meant<'m> = (&'m [&'m str], &'m str, &'m Written);

/// Reads both texts with two readers and compares: the new one is the old one with exactly these values set, and no
/// comment came or went.
pub fn prove(file: &str, old: &str, new: &str, meant: &[Meant<'_>]) -> Result<(), EditError> {
    let failed = |reason: String| EditError::Unproven { file: file.to_owned(), reason };
    let read = |text: &str| yaml::read(file, text).map_err(|problem| failed(problem.message.to_string()));
    let (before, after) = (read(old)?, read(new)?);
    compare(before.value(), after.value(), meant).map_err(failed)?;
    let other = |text: &str| {
        serde_saphyr::from_str::<Value>(text).map_err(|error| failed(error.without_snippet().to_string()))
    };
    compare(other(old)?, other(new)?, meant).map_err(failed)?;
    if comments(&before, old) != comments(&after, new) {
        return Err(failed("a comment came, went or changed".to_owned()));
    }
    if old.ends_with('\n') != new.ends_with('\n') || old.contains("\r\n") != new.contains("\r\n") {
        return Err(failed("the line ends changed".to_owned()));
    }
    Ok(())
}

fn compare(mut old: Value, new: Value, meant: &[Meant<'_>]) -> Result<(), String> {
    for (path, key, value) in meant {
        let mut at = &mut old;
        for part in *path {
            let map = at.as_object_mut().ok_or_else(|| format!("`{part}` has nothing to stand in"))?;
            at = map.entry((*part).to_owned()).or_insert(Value::Null);
        }
        if at.is_null() {
            *at = Value::Object(serde_json::Map::new());
        }
        let map = at.as_object_mut().ok_or_else(|| format!("`{key}` has nothing to stand in"))?;
        map.insert((*key).to_owned(), value.value());
    }
    if old == new { Ok(()) } else { Err("it does not say what was meant".to_owned()) }
}

// Everything behind a `#` that stands in no key and no value.
fn comments(tree: &Node, text: &str) -> Vec<Vec<u8>> {
    let mut bytes = text.as_bytes().to_vec();
    cover(tree, &mut bytes);
    let masked = bytes.split(|byte| matches!(byte, b'\n' | b'\r'));
    let behind = |line: &[u8]| {
        line.iter().position(|byte| *byte == b'#').and_then(|at| line.get(at..)).map(<[u8]>::to_vec)
    };
    masked.filter_map(behind).collect()
}

fn cover(node: &Node, bytes: &mut [u8]) {
    let mut hide = |place: Place| {
        let range = bytes.get_mut(place.start..place.end).unwrap_or_default();
        range.iter_mut().filter(|byte| !matches!(**byte, b'\n' | b'\r')).for_each(|byte| *byte = b'.');
    };
    match &node.kind {
        Kind::Scalar(_) => hide(node.place),
        Kind::List(items) => items.iter().for_each(|item| cover(item, bytes)),
        Kind::Map(entries) => entries.iter().for_each(|entry| {
            hide(entry.key_place);
        }),
    }
    node.entries().iter().for_each(|entry| cover(&entry.value, bytes));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_meant_change_is_proven() {
        let four = Written::Number(4);
        let meant: &[Meant<'_>] = &[(&["h", "s"], "cpu", &four)];
        let old = "h:\n  s: {cpu: 1} # c\nk: 1\n";
        for (new, good) in [
            ("h:\n  s: {cpu: 4} # c\nk: 1\n", true),
            ("h:\n  s:\n    cpu: 4 # c\nk: 1\n", true),
            ("h:\n  s: {cpu: 1} # c\nk: 1\n", false),
            ("h:\n  s: {cpu: '4'} # c\nk: 1\n", false),
            ("h:\n  s: {cpu: 4} # c\nk: 2\n", false),
            ("h:\n  s: {cpu: 4} # d\nk: 1\n", false),
            ("h:\n  s: {cpu: 4}\nk: 1\n", false),
            ("h:\n  s: {cpu: 4} # c\nk: 1", false),
            ("h:\n  s: {cpu: 4 # c\nk: 1\n", false),
            ("h:\n  s: {cpu: 4} # c\nk: 1 # d\n", false),
        ] {
            assert_eq!(prove("f", old, new, meant).is_ok(), good, "{new:?}");
        }
        assert!(prove("f", "h: {}\n", "h: {s: {cpu: 4}}\n", meant).is_ok());
        assert!(prove("f", "h:\n  s:\n", "h:\n  s:\n    cpu: 4\n", meant).is_ok());
    }
}
