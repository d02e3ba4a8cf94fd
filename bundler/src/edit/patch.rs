//! One value in a text of YAML, set in place: every other byte stays.

use super::error::EditError;
use crate::yaml::scalar::Scalar;
use crate::yaml::{self, Entry, Kind, Node, Place};

/// A value to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// A whole number.
    Number(u64),
    /// A text, always in quotes, for `2026-01-01` is a date to some readers.
    Text(String),
}

impl Written {
    /// The value as the readers see it.
    pub fn value(&self) -> serde_json::Value {
        match self {
            Self::Number(number) => (*number).into(),
            Self::Text(text) => text.as_str().into(),
        }
    }

    fn yaml(&self, single: bool) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) if single && !text.chars().any(char::is_control) => {
                format!("'{}'", text.replace('\'', "''"))
            }
            Self::Text(text) => serde_json::Value::from(text.as_str()).to_string(),
        }
    }
}

/// Sets `key` in the mapping at `path` (all of whose parts but the last must be there) and gives the new text. A
/// value that is there already and is the same stays as it is written.
pub fn set(file: &str, text: &str, path: &[&str], key: &str, value: &Written) -> Result<String, EditError> {
    let patch = Patch { file, text, key: format!("{}.{key}", path.join(".")) };
    let tree = yaml::read(file, text).map_err(|problem| EditError::Read(problem.into()))?;
    let Some((last, above)) = path.split_last() else {
        return Err(patch.style(1, "it has no mapping above it"));
    };
    let mut parent = &*tree;
    for part in above {
        let entry = patch
            .entry(parent, part)?
            .ok_or_else(|| patch.style(parent.place.line, "there is no such key"))?;
        parent = &entry.value;
    }
    let Some(entry) = patch.entry(parent, last)? else { return patch.new_mapping(parent, last, key, value) };
    match &entry.value.kind {
        Kind::Map(_) => patch.in_mapping(entry, key, value),
        Kind::Scalar(scalar) if scalar.value().is_null() => patch.fill_mapping(parent, entry, key, value),
        Kind::Scalar(_) | Kind::List(_) => Err(patch.style(entry.key_place.line, "it is no mapping")),
    }
}

struct Patch<'t> {
    file: &'t str,
    text: &'t str,
    key: String,
}

impl Patch<'_> {
    // A key of a mapping, unless it or its value is written elsewhere too.
    fn entry<'n>(&self, node: &'n Node, key: &str) -> Result<Option<&'n Entry>, EditError> {
        match node.entry(key) {
            Some(entry) if entry.borrowed || entry.value.anchored => {
                let line = entry.key_place.line;
                Err(EditError::Shared { file: self.file.to_owned(), line, key: self.key.clone() })
            }
            other => Ok(other),
        }
    }

    fn in_mapping(&self, mapping: &Entry, key: &str, value: &Written) -> Result<String, EditError> {
        if let Some(entry) = self.entry(&mapping.value, key)? {
            return self.replace(entry, value);
        }
        self.add(mapping, key, &value.yaml(false))
    }

    fn replace(&self, entry: &Entry, value: &Written) -> Result<String, EditError> {
        let Some(scalar) = entry.value.scalar() else {
            return Err(self.style(entry.key_place.line, "it is no single value"));
        };
        if scalar.value() == value.value() {
            return Ok(self.text.to_owned());
        }
        let place = entry.value.place;
        if entry.value.block {
            return self.replace_block(entry, value);
        }
        if place.start == place.end {
            let (at, before) = self.behind_key(entry);
            return self.splice(at, at, &format!("{before} {}", value.yaml(false)));
        }
        let single = self.slice(place).starts_with('\'');
        self.splice(place.start, place.end, &value.yaml(single))
    }

    // `key: >-  # why` and the lines below it: the sign gives way to the value, the lines go, the comment stays.
    fn replace_block(&self, entry: &Entry, value: &Written) -> Result<String, EditError> {
        let unusual = || self.style(entry.key_place.line, "its block style is unusual");
        let (colon, _) = self.behind_key(entry);
        let head = self.text.get(colon..entry.value.place.start).ok_or_else(unusual)?;
        let line_end = colon + head.find(['\r', '\n']).ok_or_else(unusual)?;
        let sign = colon + head.find(['|', '>']).ok_or_else(unusual)?;
        let rest = self.text.get(sign..line_end).ok_or_else(unusual)?;
        let sign_end = sign + rest.find(char::is_whitespace).unwrap_or(rest.len());
        let content = self.slice(entry.value.place).trim_end();
        let end = entry.value.place.start + content.len();
        let cut = self.splice(line_end, end, "")?;
        Patch { text: &cut, file: self.file, key: self.key.clone() }.splice(
            sign,
            sign_end,
            &value.yaml(false),
        )
    }

    fn add(&self, mapping: &Entry, key: &str, written: &str) -> Result<String, EditError> {
        let line = format!("{key}: {written}");
        let node = &mapping.value;
        let last = node
            .entries()
            .iter()
            .filter(|entry| self.is_own(node, entry))
            .max_by_key(|entry| entry.key_place.start);
        match (node.flow, last) {
            (true, Some(last)) => {
                let at = self.end_of(last);
                self.splice(at, at, &format!(", {line}"))
            }
            (true, None) => self.add_to_empty(node, &line),
            (false, Some(_)) => {
                let indent = self.indent_of(node).ok_or_else(|| {
                    self.style(node.place.line, "no key of it stands at the beginning of a line")
                })?;
                let last = last.unwrap_or(mapping);
                self.add_line(self.end_of(last), &format!("{indent}{line}"))
            }
            (false, None) => Err(self.style(node.place.line, "all that it holds is merged into it")),
        }
    }

    fn add_to_empty(&self, node: &Node, line: &str) -> Result<String, EditError> {
        let at = node.place.start + 1;
        let merged = !node.entries().is_empty();
        let spaced = self.text.get(at..).is_some_and(|rest| rest.starts_with(' '));
        match (merged, spaced) {
            (true, true) => self.splice(at, at, &format!(" {line},")),
            (true, false) => self.splice(at, at, &format!("{line}, ")),
            (false, true) => self.splice(at, at, &format!(" {line}")),
            (false, false) => self.splice(at, at, line),
        }
    }

    // `specs:` with nothing behind it, `specs: ~`, or `specs:` inside braces.
    fn fill_mapping(
        &self,
        parent: &Node,
        entry: &Entry,
        key: &str,
        value: &Written,
    ) -> Result<String, EditError> {
        let line = format!("{key}: {}", value.yaml(false));
        let place = entry.value.place;
        if place.start != place.end {
            return self.splice(place.start, place.end, &format!("{{ {line} }}"));
        }
        let (at, before) = self.behind_key(entry);
        match self.indent_of(parent) {
            Some(indent) if !parent.flow => {
                self.add_line(at, &format!("{indent}{}{line}", self.step(&indent)))
            }
            _ => self.splice(at, at, &format!("{before} {{ {line} }}")),
        }
    }

    fn new_mapping(
        &self,
        parent: &Node,
        name: &str,
        key: &str,
        value: &Written,
    ) -> Result<String, EditError> {
        let line = format!("{key}: {}", value.yaml(false));
        let own = parent.entries().iter().filter(|entry| self.is_own(parent, entry));
        let Some(last) = own.max_by_key(|entry| entry.key_place.start) else {
            return Err(self.style(parent.place.line, "the host holds nothing of its own"));
        };
        if parent.flow {
            let at = self.end_of(last);
            return self.splice(at, at, &format!(", {name}: {{ {line} }}"));
        }
        let indent = self
            .indent_of(parent)
            .ok_or_else(|| self.style(parent.place.line, "no key of it stands at the beginning of a line"))?;
        let eol = self.eol();
        self.add_line(self.end_of(last), &format!("{indent}{name}:{eol}{indent}{}{line}", self.step(&indent)))
    }

    // Merged entries stand in another mapping; aliases stand here.
    fn is_own(&self, node: &Node, entry: &Entry) -> bool {
        let key = entry.key_place.start;
        node.place.start <= key && (key < node.place.end || node.place.end == node.place.start)
    }

    /// Where an entry ends: behind the last byte of its value, comments not included.
    fn end_of(&self, entry: &Entry) -> usize {
        let place = entry.value_place;
        let alias = entry.borrowed;
        let node = &entry.value;
        match &node.kind {
            _ if alias || node.flow => place.end,
            Kind::Map(entries) if !entries.is_empty() => entries
                .iter()
                .filter(|one| self.is_own(node, one))
                .map(|one| self.end_of(one))
                .max()
                .unwrap_or(place.end),
            Kind::List(items) if !items.is_empty() => {
                items.iter().map(|item| self.end_of_item(item)).max().unwrap_or(place.end)
            }
            Kind::Scalar(scalar) if node.block => self.end_of_block(place, scalar),
            Kind::Scalar(_) if place.start == place.end => self.behind_key(entry).0,
            Kind::Scalar(_) | Kind::Map(_) | Kind::List(_) => place.end,
        }
    }

    fn end_of_item(&self, item: &Node) -> usize {
        match &item.kind {
            _ if item.flow => item.place.end,
            Kind::Map(entries) => entries.iter().map(|one| self.end_of(one)).max().unwrap_or(item.place.end),
            Kind::List(items) => {
                items.iter().map(|one| self.end_of_item(one)).max().unwrap_or(item.place.end)
            }
            Kind::Scalar(scalar) if item.block => self.end_of_block(item.place, scalar),
            Kind::Scalar(_) => item.place.end,
        }
    }

    // With `|+` the blank lines below belong to the text, but not the blanks of the line after them.
    fn end_of_block(&self, place: Place, scalar: &Scalar) -> usize {
        let content = self.slice(place);
        let kept =
            if scalar.text.ends_with("\n\n") { content.trim_end_matches(' ') } else { content.trim_end() };
        place.start + kept.len()
    }

    /// Where a value begins that is not there yet, and what must come before it: behind the key's colon.
    fn behind_key(&self, entry: &Entry) -> (usize, &'static str) {
        let end = entry.key_place.end;
        let rest = self.text.get(end..).unwrap_or_default();
        let blanks = rest.len() - rest.trim_start_matches([' ', '\t']).len();
        match rest.get(blanks..) {
            Some(rest) if rest.starts_with(':') => (end + blanks + 1, ""),
            _ => (end, ":"),
        }
    }

    /// The blanks before a key of this mapping that begins its line.
    fn indent_of(&self, node: &Node) -> Option<String> {
        let own = node.entries().iter().filter(|entry| self.is_own(node, entry));
        own.map(|entry| self.line_before(entry.key_place.start))
            .find(|before| before.chars().all(|c| c == ' '))
    }

    // The byte order mark is no indentation.
    fn line_before(&self, at: usize) -> String {
        let before = self.text.get(..at).unwrap_or_default();
        let line = before.rsplit(['\n', '\r']).next().unwrap_or_default();
        line.trim_start_matches('\u{feff}').to_owned()
    }

    // The indentation of one level, as wide as the level above has it.
    fn step(&self, indent: &str) -> String {
        let narrower = self.text.lines().filter_map(|line| {
            let blanks = line.len() - line.trim_start_matches(' ').len();
            (!line.trim().is_empty() && blanks > 0).then_some(blanks)
        });
        let unit = narrower.filter(|blanks| *blanks <= indent.len()).min().unwrap_or(2);
        " ".repeat(unit.clamp(1, 8))
    }

    // A line of its own below the line in which `at` lies.
    fn add_line(&self, at: usize, line: &str) -> Result<String, EditError> {
        let eol = self.eol();
        let starts_line = self.text.get(..at).is_some_and(|before| before.ends_with('\n'));
        if starts_line {
            return self.splice(at, at, &format!("{line}{eol}"));
        }
        let rest = self.text.get(at..).unwrap_or_default();
        let end = at + rest.find(['\r', '\n']).unwrap_or(rest.len());
        self.splice(end, end, &format!("{eol}{line}"))
    }

    fn eol(&self) -> &'static str {
        let first = self.text.find('\n').and_then(|at| self.text.get(..at));
        if first.is_some_and(|line| line.ends_with('\r')) { "\r\n" } else { "\n" }
    }

    fn slice(&self, place: Place) -> &str {
        self.text.get(place.start..place.end).unwrap_or_default()
    }

    fn splice(&self, start: usize, end: usize, new: &str) -> Result<String, EditError> {
        match (self.text.get(..start), self.text.get(end..)) {
            (Some(before), Some(after)) if start <= end => Ok(format!("{before}{new}{after}")),
            _ => Err(self.style(1, "its place in the file is unclear")),
        }
    }

    fn style(&self, line: usize, reason: &'static str) -> EditError {
        EditError::Style { file: self.file.to_owned(), line, key: self.key.clone(), reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Result<String, EditError> {
        set("f", text, &["h", "s"], "cpu", &Written::Number(4))
    }

    #[test]
    fn a_number_is_set_in_every_style() {
        for (before, after) in [
            // There already.
            ("h:\n  s:\n    cpu: 1\n", "h:\n  s:\n    cpu: 4\n"),
            ("h:\n  s:\n    cpu:   1   # vCPU\n    x: 1\n", "h:\n  s:\n    cpu:   4   # vCPU\n    x: 1\n"),
            ("h:\n  s:\n    cpu: '1' # q\n", "h:\n  s:\n    cpu: 4 # q\n"),
            ("h:\n  s:\n    'cpu' : 1\n", "h:\n  s:\n    'cpu' : 4\n"),
            ("h:\n  s:\n    cpu:\n", "h:\n  s:\n    cpu: 4\n"),
            ("h:\n  s:\n    cpu:   # why\n    x: 1\n", "h:\n  s:\n    cpu: 4   # why\n    x: 1\n"),
            ("h:\n  s:\n    cpu: ~\n", "h:\n  s:\n    cpu: 4\n"),
            ("h:\n  s:\n    cpu:", "h:\n  s:\n    cpu: 4"),
            ("h:\n  s:\n    ? cpu\n    : 1\n", "h:\n  s:\n    ? cpu\n    : 4\n"),
            ("h: {s: {cpu: 1, x: 2}}", "h: {s: {cpu: 4, x: 2}}"),
            ("h: {s: {cpu: , x: 2}}\n", "h: {s: {cpu: 4 , x: 2}}\n"),
            ("h: {s: {cpu, x: 2}}\n", "h: {s: {cpu: 4, x: 2}}\n"),
            (
                "h:\n  s:\n    cpu: |  # b\n      1\n      2\n\n  # c\n  z: 1\n",
                "h:\n  s:\n    cpu: 4  # b\n\n  # c\n  z: 1\n",
            ),
            ("h:\n  s:\n    cpu: 0x04 # same\n", "h:\n  s:\n    cpu: 0x04 # same\n"),
            // Not there yet.
            ("h:\n  s:\n    x: 1\n", "h:\n  s:\n    x: 1\n    cpu: 4\n"),
            ("h:\n  s:\n    x: 1", "h:\n  s:\n    x: 1\n    cpu: 4"),
            (
                "h:\r\n  s:\r\n    x: 1 # c\r\n  # d\r\n",
                "h:\r\n  s:\r\n    x: 1 # c\r\n    cpu: 4\r\n  # d\r\n",
            ),
            (
                "h:\n  s:\n    x: >\n      a\n      b\n\n\n  z: 1\n",
                "h:\n  s:\n    x: >\n      a\n      b\n    cpu: 4\n\n\n  z: 1\n",
            ),
            (
                "h:\n  s:\n    x: |+\n      a\n\n  z: 1\n",
                "h:\n  s:\n    x: |+\n      a\n\n    cpu: 4\n  z: 1\n",
            ),
            (
                "h:\n  s:\n    x:\n      - a: 1 # c\n    # after\n  z: 1\n",
                "h:\n  s:\n    x:\n      - a: 1 # c\n    cpu: 4\n    # after\n  z: 1\n",
            ),
            (
                "h:\n  s:\n    x: \"a\n      b\" # c\n  z: 1\n",
                "h:\n  s:\n    x: \"a\n      b\" # c\n    cpu: 4\n  z: 1\n",
            ),
            ("a: &a 1\nh:\n  s:\n    x: *a\n", "a: &a 1\nh:\n  s:\n    x: *a\n    cpu: 4\n"),
            (
                "a: &a {y: 1}\nh:\n  s:\n    x: 1\n    <<: *a\n",
                "a: &a {y: 1}\nh:\n  s:\n    x: 1\n    cpu: 4\n    <<: *a\n",
            ),
            ("h: {s: {x: 1}}", "h: {s: {x: 1, cpu: 4}}"),
            ("h: {s: {x: 1,}}", "h: {s: {x: 1, cpu: 4,}}"),
            (
                "h:\n  s: {\n    x: 1, # one\n    y: 2 # two\n  }\n",
                "h:\n  s: {\n    x: 1, # one\n    y: 2, cpu: 4 # two\n  }\n",
            ),
            ("h: {s: {}}", "h: {s: {cpu: 4}}"),
            ("h: {s: { }}", "h: {s: { cpu: 4 }}"),
            ("a: &a {y: 1}\nh: {s: {<<: *a}}", "a: &a {y: 1}\nh: {s: {cpu: 4, <<: *a}}"),
            // No mapping yet.
            ("h:\n  s:\n  z: 1\n", "h:\n  s:\n    cpu: 4\n  z: 1\n"),
            ("h:\n  s: # c\n", "h:\n  s: # c\n    cpu: 4\n"),
            ("h:\n  s: ~ # c\n", "h:\n  s: { cpu: 4 } # c\n"),
            ("h:\n   z: 1 # c\n# d\nk: 1\n", "h:\n   z: 1 # c\n   s:\n      cpu: 4\n# d\nk: 1\n"),
            ("h: {z: 1}\n", "h: {z: 1, s: { cpu: 4 }}\n"),
            ("h: {s: }\n", "h: {s: { cpu: 4 } }\n"),
            ("\u{feff}h:\n  s:\n    x: 1\n", "\u{feff}h:\n  s:\n    x: 1\n    cpu: 4\n"),
        ] {
            let got = number(before).unwrap_or_else(|error| panic!("{before:?}: {error}"));
            assert_eq!(got, after, "{before:?}");
            assert_eq!(number(&got).unwrap(), got, "a second time: {before:?}");
        }
    }

    #[test]
    fn what_is_shared_is_not_edited() {
        for text in [
            "a: &a {cpu: 1}\nh:\n  s: *a\n",
            "h:\n  s: &a\n    cpu: 1\nk: *a\n",
            "h:\n  s:\n    cpu: &a 1\nk: *a\n",
            "a: &a 1\nh:\n  s:\n    cpu: *a\n",
            "a: &a {cpu: 1}\nh:\n  s:\n    <<: *a\n",
            "a: &a {s: {cpu: 1}}\nh:\n  <<: *a\n",
            "h: &a\n  s: {cpu: 1}\nk: *a\n",
        ] {
            assert!(matches!(number(text), Err(EditError::Shared { .. })), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_mapping_is_refused() {
        for text in [
            "h:\n  s: 1\n",
            "h:\n  s: [1]\n",
            "h:\n  s:\n    cpu: [1]\n",
            "k: 1\n",
            "a: &a {y: 1}\nh:\n  s:\n    <<: *a\n",
        ] {
            assert!(matches!(number(text), Err(EditError::Style { .. })), "{text:?} {:?}", number(text));
        }
    }

    #[test]
    fn texts_are_quoted_as_they_were() {
        let set = |text: &str, new: &str| {
            set("f", text, &["h", "s"], "at", &Written::Text(new.to_owned())).unwrap()
        };
        assert_eq!(set("h: {s: {at: 'x'}}", "it's"), "h: {s: {at: 'it''s'}}");
        assert_eq!(set("h: {s: {at: x}}", "2026-01-01T00:00:00Z"), "h: {s: {at: \"2026-01-01T00:00:00Z\"}}");
        assert_eq!(set("h: {s: {at: \"x\"}}", "a\"b"), "h: {s: {at: \"a\\\"b\"}}");
    }
}
