//! What is no mistake and is probably not meant: told by `check` as warnings.

use std::path::Path;

use crate::problem::Problem;
use crate::resolve::{Fleet, Host};

/// All of it, at the lines of the inventory.
pub fn advice(fleet: &Fleet, beside: &Path) -> Vec<Problem> {
    let mut found = Vec::new();
    for host in fleet.hosts.values() {
        found.extend(too_small(fleet, host));
        found.extend(no_key(fleet, host, beside));
    }
    found
}

// The host's own installer measures it again, and refuses what is too small.
fn too_small(fleet: &Fleet, host: &Host) -> Vec<Problem> {
    let has = &host.specs;
    let stacks = host.stack_files.iter().flat_map(|(stack, file)| {
        let wants = &file.requires;
        [
            ("cpu", has.cpu.map(u64::from), u64::from(wants.cpu)),
            ("memory_mb", has.memory_mb, wants.memory_mb),
            ("disk_gb", has.disk_gb, wants.disk_gb),
        ]
        .map(|(key, has, wants)| (stack, key, has, wants))
    });
    let small = stacks.filter_map(|(stack, key, has, wants)| {
        let has = has.filter(|has| *has < wants)?;
        let message = format!("host `{}` has {key} {has}, and stack {stack} requires {wants}", host.name);
        Some(problem(fleet, host, &format!("specs.{key}"), message, "measure it: `chom-bundle facts`"))
    });
    small.collect()
}

fn no_key(fleet: &Fleet, host: &Host, beside: &Path) -> Option<Problem> {
    let key = host.ssh.key.as_deref()?;
    // ssh reads `~` and `%h` by itself.
    if key.starts_with('~') || key.contains('%') || beside.join(key).exists() {
        return None;
    }
    let message = format!("there is no file `{key}`, the key of host `{}`", host.name);
    Some(problem(fleet, host, "ssh.key", message, "correct `ssh.key`, or remove it to use your agent's keys"))
}

fn problem(fleet: &Fleet, host: &Host, key: &str, message: String, remedy: &str) -> Problem {
    let key = format!("hosts.{}.{key}", host.name);
    match fleet.origins.of(&key) {
        Some(at) => Problem::at(&at.source, (at.line, at.column), key, message, remedy),
        None => Problem::whole("inventory", message, remedy),
    }
}
