//! A trace for people: one line a value, aligned, with its origin.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value;

use super::choose::{ChoiceError, unknown_host, unknown_key};
use super::trace::{Step, Trace};

/// The values of one host.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outline {
    /// The host.
    pub host: String,
    /// Its values by key.
    pub values: Vec<Line>,
}

/// One value.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Line {
    /// The dotted key below the host.
    pub key: String,
    /// What counts.
    pub value: Value,
    /// Every layer's word, lowest first; the last one counts.
    pub layers: Vec<Step>,
}

/// The values of `host`, or of every host, whose key is `key` or lies below it.
pub fn outline(trace: &Trace, host: Option<&str>, key: &str) -> Result<Vec<Outline>, ChoiceError> {
    let hosts: BTreeSet<&str> =
        trace.0.keys().filter_map(|full| full.strip_prefix("hosts.")?.split('.').next()).collect();
    let names: Vec<&str> = hosts.iter().copied().collect();
    if let Some(unknown) = host.filter(|host| !hosts.contains(host)) {
        return Err(unknown_host(unknown, &names));
    }
    let wanted = names.into_iter().filter(|name| host.is_none_or(|host| host == *name));
    let outlines: Vec<Outline> = wanted.map(|name| of(trace, name, key)).collect();
    if outlines.iter().all(|outline| outline.values.is_empty()) && !key.is_empty() {
        let mut keys: BTreeSet<&str> = BTreeSet::new();
        for name in hosts {
            keys.extend(trace.below(name, "").into_iter().map(|(below, _)| below));
        }
        return Err(unknown_key(key, &keys.into_iter().collect::<Vec<_>>()));
    }
    Ok(outlines)
}

fn of(trace: &Trace, host: &str, key: &str) -> Outline {
    let line = |(key, steps): (&str, &[Step])| {
        let value = steps.last().map_or(Value::Null, |step| step.value.clone());
        Line { key: key.to_owned(), value, layers: steps.to_vec() }
    };
    Outline { host: host.to_owned(), values: trace.below(host, key).into_iter().map(line).collect() }
}

impl Outline {
    /// Aligned text; with `layers` also what was overridden, below each value.
    pub fn table(&self, layers: bool) -> String {
        let key_width = self.values.iter().map(|line| line.key.len()).max().unwrap_or_default();
        let shown = if layers { usize::MAX } else { 1 };
        let steps = self.values.iter().flat_map(|line| line.layers.iter().rev().take(shown));
        let value_width =
            steps.map(|step| text(&step.value).chars().count().min(40)).max().unwrap_or_default();
        let mut table = String::new();
        for line in &self.values {
            for (index, step) in line.layers.iter().rev().enumerate().take(shown) {
                let (key, note) = if index == 0 { (line.key.as_str(), "") } else { ("", " (overridden)") };
                let value = text(&step.value);
                // Writing to a String cannot fail.
                let _ = writeln!(table, "{key:key_width$}  {value:value_width$}  {}{note}", step.origin);
            }
        }
        table
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) if !text.is_empty() && !text.contains(char::is_control) => text.clone(),
        other => other.to_string(),
    }
}
