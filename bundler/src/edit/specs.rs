//! The five values that `chom-bundle facts --write` sets.

use std::path::Path;

use chom_format::{Digest, Facts};

use super::error::EditError;
use super::patch::{Written, set};
use super::prove::{Meant, prove};
use super::replace::{Saved, replace};
use crate::inventory::legacy;
use crate::problem::Problems;
use crate::stack::sources::read_text;
use crate::yaml;

/// Writes what was measured on `host` into the inventory.
pub fn write_specs(path: &Path, host: &str, facts: &Facts) -> Result<Saved, EditError> {
    let text = read_text(path).map_err(Problems::from)?;
    let new = with_specs(&path.display().to_string(), &text, host, facts)?;
    replace(path, Digest::of(text.as_bytes()), &new, &stamp(&facts.detected_at), || ())
}

/// The text of an inventory with the five values set.
pub fn with_specs(file: &str, text: &str, host: &str, facts: &Facts) -> Result<String, EditError> {
    let tree = yaml::read(file, text).map_err(|problem| EditError::Read(problem.into()))?;
    let role = legacy::is_legacy(&tree).then(|| legacy::role_of(&tree, host)).flatten();
    let path = role.map_or_else(|| vec!["hosts", host, "specs"], |role| vec![role, "specs"]);
    let above = path.split_last().map(|(_, above)| above).unwrap_or_default();
    if tree.find(above).is_none() {
        return Err(EditError::NoHost { file: file.to_owned(), host: host.to_owned() });
    }
    let values = values(facts);
    let mut new = text.to_owned();
    for (key, value) in &values {
        new = set(file, &new, &path, key, value)?;
    }
    let meant: Vec<Meant<'_>> = values.iter().map(|(key, value)| (path.as_slice(), *key, value)).collect();
    prove(file, text, &new, &meant)?;
    Ok(new)
}

fn values(facts: &Facts) -> [(&'static str, Written); 5] {
    [
        ("cpu", Written::Number(facts.cpu.into())),
        ("memory_mb", Written::Number(facts.memory_mb)),
        ("disk_gb", Written::Number(facts.disk_gb)),
        ("detected_at", Written::Text(facts.detected_at.clone())),
        ("detection_source", Written::Text(facts.detection_source.clone())),
    ]
}

// 2026-11-21T21:00:00Z as 20261121T210000Z, whatever the facts claim: it becomes part of a file name.
fn stamp(detected_at: &str) -> String {
    let now = jiff::Timestamp::now();
    let when = detected_at.parse::<jiff::Timestamp>().unwrap_or(now);
    when.strftime("%Y%m%dT%H%M%SZ").to_string()
}
