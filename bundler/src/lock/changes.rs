//! What another lock changes, for people. Pure.

use std::collections::BTreeMap;

use super::model::Lock;

/// The differences between two locks, one line each: `+` new, `-` gone, `~` other than before.
pub fn changes(before: Option<&Lock>, after: &Lock) -> Vec<String> {
    let (old, new) = (before.map(entries).unwrap_or_default(), entries(after));
    let entry = |sign: &str, name: &str, value: &str| format!("{sign} {name} {value}").trim_end().to_owned();
    let mut lines = Vec::new();
    for (name, value) in &new {
        match old.get(name) {
            None => lines.push(entry("+", name, value)),
            Some(was) if was != value => lines.push(format!("~ {name} {was} -> {value}")),
            Some(_) => {}
        }
    }
    let gone = old.iter().filter(|(name, _)| !new.contains_key(*name));
    lines.extend(gone.map(|(name, was)| entry("-", name, was)));
    lines
}

// What a reviewer judges by: a digest that changes under one version is told with its first digits.
fn entries(lock: &Lock) -> BTreeMap<String, String> {
    let mut entries = BTreeMap::new();
    for (id, archive) in &lock.archives {
        for (name, pin) in &archive.packages {
            entries.insert(format!("{id} {name}"), format!("{} ({})", pin.version, pin.sha256.short()));
        }
    }
    for (url, pin) in &lock.upstream {
        entries.insert(url.clone(), format!("{} ({})", pin.version, pin.sha256.short()));
    }
    for host in lock.hosts.keys() {
        entries.insert(format!("host {host}"), String::new());
    }
    entries
}
