//! Every value that any layer stated, for `chom-bundle explain`.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::origin::{Origin, Origins};

/// One layer's word on one key.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    /// What it says.
    pub value: Value,
    /// Who says so.
    pub origin: Origin,
}

/// By dotted key, lowest layer first; the last one counts.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Trace(pub BTreeMap<String, Vec<Step>>);

impl Trace {
    /// Adds the word of a layer that is not below those already there.
    pub fn add(&mut self, key: impl Into<String>, value: Value, origin: Origin) {
        self.0.entry(key.into()).or_default().push(Step { value, origin });
    }

    /// The origin of each value that counts.
    pub fn origins(&self) -> Origins {
        let last = |(key, steps): (&String, &Vec<Step>)| Some((key.clone(), steps.last()?.origin.clone()));
        Origins(self.0.iter().filter_map(last).collect())
    }

    /// The keys of one host that are `key` or lie below it, all of them when it is empty, without the host's prefix.
    pub fn below(&self, host: &str, key: &str) -> Vec<(&str, &[Step])> {
        let prefix = format!("hosts.{host}.");
        let within = |below: &str| {
            key.is_empty()
                || below == key
                || below.strip_prefix(key).is_some_and(|rest| rest.starts_with('.'))
        };
        self.0
            .iter()
            .filter_map(|(full, steps)| Some((full.strip_prefix(&prefix)?, steps.as_slice())))
            .filter(|(below, _)| within(below))
            .collect()
    }
}
