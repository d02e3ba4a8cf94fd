//! The tree.

use std::sync::Arc;

use serde_json::Value;

use super::scalar::Scalar;

/// Where something stands in its file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Place {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// Byte offset of the first byte.
    pub start: usize,
    /// Byte offset behind the last byte.
    pub end: usize,
}

impl Place {
    /// Line and column.
    pub fn at(&self) -> (usize, usize) {
        (self.line, self.column)
    }
}

/// A scalar, list or mapping.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// Where it stands. The end of a block collection is where the next token begins.
    pub place: Place,
    /// Whether it is written with `{}` or `[]`.
    pub flow: bool,
    /// Whether it is a scalar written with `|` or `>`; its place is then that of the content.
    pub block: bool,
    /// Whether it carries an anchor.
    pub anchored: bool,
}

/// The three kinds of node.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// A scalar.
    Scalar(Scalar),
    /// A list.
    List(Vec<Arc<Node>>),
    /// A mapping, in the order of the file, duplicate keys included.
    Map(Vec<Entry>),
}

/// One key of a mapping.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key's text.
    pub key: String,
    /// Where the key stands.
    pub key_place: Place,
    /// Its value.
    pub value: Arc<Node>,
    /// Where the value stands in this mapping: for an alias, where the alias stands.
    pub value_place: Place,
    /// Whether the value is an alias, or the entry came by a merge key: then it stands elsewhere.
    pub borrowed: bool,
}

impl Node {
    /// A node that stands in no file.
    pub fn detached(kind: Kind) -> Self {
        Self { kind, place: Place::default(), flow: false, block: false, anchored: false }
    }

    /// The entries of a mapping; none for another kind.
    pub fn entries(&self) -> &[Entry] {
        match &self.kind {
            Kind::Map(entries) => entries,
            Kind::Scalar(_) | Kind::List(_) => &[],
        }
    }

    /// The elements of a list; none for another kind.
    pub fn items(&self) -> &[Arc<Self>] {
        match &self.kind {
            Kind::List(items) => items,
            Kind::Scalar(_) | Kind::Map(_) => &[],
        }
    }

    /// The entry of a mapping with this key; the first one when it is there twice.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// The value of a mapping with this key.
    pub fn get(&self, key: &str) -> Option<&Arc<Self>> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The node at a path of keys and list indices.
    pub fn find(&self, path: &[&str]) -> Option<&Self> {
        let Some((first, rest)) = path.split_first() else { return Some(self) };
        let below = match &self.kind {
            Kind::Map(_) => self.get(first)?,
            Kind::List(items) => items.get(first.parse::<usize>().ok()?)?,
            Kind::Scalar(_) => return None,
        };
        below.find(rest)
    }

    /// The scalar, if it is one.
    pub fn scalar(&self) -> Option<&Scalar> {
        match &self.kind {
            Kind::Scalar(scalar) => Some(scalar),
            Kind::List(_) | Kind::Map(_) => None,
        }
    }

    /// Whether it is `null`, `~` or nothing at all.
    pub fn is_null(&self) -> bool {
        self.scalar().is_some_and(|scalar| scalar.value().is_null())
    }

    /// What it is, for people: `text`, `a list`.
    pub fn what(&self) -> &'static str {
        match &self.kind {
            Kind::List(_) => "a list",
            Kind::Map(_) => "a mapping",
            Kind::Scalar(scalar) => match scalar.value() {
                Value::Null => "empty",
                Value::Bool(_) => "true or false",
                Value::Number(number) if number.is_f64() => "a number with a fraction",
                Value::Number(_) => "a whole number",
                Value::String(_) | Value::Array(_) | Value::Object(_) => "text",
            },
        }
    }

    /// The tree as JSON. Of a key that is there twice, the first counts.
    pub fn value(&self) -> Value {
        match &self.kind {
            Kind::Scalar(scalar) => scalar.value(),
            Kind::List(items) => items.iter().map(|item| item.value()).collect(),
            Kind::Map(entries) => {
                let mut map = serde_json::Map::new();
                for entry in entries {
                    map.entry(entry.key.clone()).or_insert_with(|| entry.value.value());
                }
                Value::Object(map)
            }
        }
    }
}
