//! The paragraphs of dpkg's status file and of a package index: `Key: value` lines, blank line between.

/// One paragraph.
#[derive(Debug, Clone, Copy)]
pub struct Stanza<'a>(&'a str);

/// The paragraphs of a text.
pub fn stanzas(text: &str) -> impl Iterator<Item = Stanza<'_>> {
    text.split("\n\n").filter(|part| !part.trim().is_empty()).map(Stanza)
}

impl<'a> Stanza<'a> {
    /// The first line of a field's value.
    pub fn get(&self, key: &str) -> Option<&'a str> {
        self.0.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case(key).then(|| value.trim())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found() {
        let text = "Package: a\nDescription: x\n Version: no\nVersion: 1:2\n\n\nPackage: b\n";
        let found: Vec<_> =
            stanzas(text).map(|stanza| (stanza.get("package"), stanza.get("Version"))).collect();
        assert_eq!(found, [(Some("a"), Some("1:2")), (Some("b"), None)]);
    }
}
