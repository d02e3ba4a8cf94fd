//! One layer as a list of values, each with its key: `ssh.port`, `components.prometheus.retention`.
//!
//! A leaf is what a person sets as a whole: a list or map that is one setting is one leaf, and a higher layer
//! replaces it whole.

use std::sync::Arc;

use super::origin::{Layer, Origin};
use crate::yaml::{Entry, Kind, Node};

/// One value of one layer.
#[derive(Debug, Clone)]
pub struct Leaf {
    /// The dotted key below the host.
    pub key: String,
    /// The value.
    pub node: Arc<Node>,
    /// Who says so.
    pub origin: Origin,
}

/// The parts of a host that hold several values.
const GROUPS: [&str; 4] = ["ssh", "tls", "specs", "backup"];

/// The values that a mapping of a host's shape states.
pub fn of(host: &Node, layer: Layer, source: &str) -> Vec<Leaf> {
    let mut leaves = Vec::new();
    for entry in host.entries() {
        match entry.key.as_str() {
            "components" => {
                for part in entry.value.entries() {
                    let prefix = format!("components.{}.", part.key);
                    leaves
                        .extend(part.value.entries().iter().map(|entry| leaf(&prefix, entry, layer, source)));
                }
            }
            group if GROUPS.contains(&group) && matches!(entry.value.kind, Kind::Map(_)) => {
                let prefix = format!("{group}.");
                leaves.extend(entry.value.entries().iter().map(|entry| leaf(&prefix, entry, layer, source)));
            }
            group if GROUPS.contains(&group) => {}
            _ => leaves.push(leaf("", entry, layer, source)),
        }
    }
    leaves
}

fn leaf(prefix: &str, entry: &Entry, layer: Layer, source: &str) -> Leaf {
    let (line, column) = entry.value.place.at();
    let origin = Origin { layer, source: source.to_owned(), line, column };
    Leaf { key: format!("{prefix}{}", entry.key), node: Arc::clone(&entry.value), origin }
}

/// A mapping of a host's shape that states one value: the inverse of [`of`].
pub fn tree(path: &[String], value: Arc<Node>) -> Arc<Node> {
    path.iter().rev().fold(value, |value, key| {
        let place = value.place;
        let entry = Entry { key: key.clone(), key_place: place, value, value_place: place, borrowed: false };
        Arc::new(Node { place: entry.key_place, ..Node::detached(Kind::Map(vec![entry])) })
    })
}
