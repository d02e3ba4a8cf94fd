//! What was measured on a host against what the inventory says of it. Pure, but for reading the file that was
//! carried back on a stick.

use std::path::{Path, PathBuf};

use chom_format::exit::Explain;
use chom_format::facts::FACTS_FORMAT;
use chom_format::{Exit, Facts, HostState};
use comfy_table::{Table, presets};
use serde::Serialize;

use crate::problem::Problem;
use crate::resolve::{Address, Host};
use crate::stack::sources::read_text;

/// Why there are no facts, or why they are not written.
#[derive(Debug, thiserror::Error)]
pub enum FactsError {
    /// The file cannot be read.
    #[error("{0}")]
    File(Problem),
    /// It is not what `chom-install facts --json` prints.
    #[error("{from} does not hold the facts of a host")]
    Shape {
        /// Where they came from.
        from: String,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// Another version of the shape.
    #[error("the facts of {from} have format {found}, and this program reads {FACTS_FORMAT}")]
    Format {
        /// Where they came from.
        from: String,
        /// What it says.
        found: u32,
    },
    /// They were measured elsewhere.
    #[error("these are the facts of another machine: its {what} is {found}, and `{host}` has {stated}")]
    OtherMachine {
        /// The host of the inventory.
        host: String,
        /// What tells them apart.
        what: &'static str,
        /// What was measured.
        found: String,
        /// What the inventory says.
        stated: String,
    },
}

impl Explain for FactsError {
    fn exit(&self) -> Exit {
        Exit::BadInput
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::File(_) | Self::Shape { .. } => Some(
                "on the host: `chom-install facts --json > facts.json`, then --from facts.json".to_owned(),
            ),
            Self::Format { .. } => Some("use the chom-install that belongs to this chom-bundle".to_owned()),
            Self::OtherMachine { .. } => {
                Some("measure the right machine, or correct the inventory if the host was rebuilt".to_owned())
            }
        }
    }

    fn host(&self) -> HostState {
        HostState::NotConcerned
    }
}

/// Facts from a file.
pub fn from_file(path: &Path) -> Result<Facts, FactsError> {
    let text = read_text(path).map_err(FactsError::File)?;
    parse(&text, path.display().to_string())
}

/// Facts from what `chom-install facts --json` printed.
pub fn parse(text: &str, from: String) -> Result<Facts, FactsError> {
    #[derive(serde::Deserialize)]
    struct Version {
        format: u32,
    }
    // A newer shape is told as such, not as an unknown field.
    match serde_json::from_str::<Version>(text) {
        Ok(Version { format }) if format != FACTS_FORMAT => Err(FactsError::Format { from, found: format }),
        Ok(_) | Err(_) => serde_json::from_str(text).map_err(|source| FactsError::Shape { from, source }),
    }
}

/// How a measured value stands to the stated one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// They are the same.
    Same,
    /// They are not.
    Differs,
    /// The inventory does not say.
    NotStated,
}

/// One line of the comparison.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Which fact, by its key in the inventory.
    pub key: &'static str,
    /// What the inventory says.
    pub configured: Option<String>,
    /// What was measured.
    pub detected: String,
    /// How they stand to each other.
    pub verdict: Verdict,
}

/// What the inventory says of a host against what was measured.
pub fn compare(host: &Host, facts: &Facts) -> Vec<Row> {
    let row = |key, configured: Option<String>, detected: String| {
        let verdict = match &configured {
            None => Verdict::NotStated,
            Some(stated) if *stated == detected => Verdict::Same,
            Some(_) => Verdict::Differs,
        };
        Row { key, configured, detected, verdict }
    };
    let text = |number: Option<u64>| number.map(|number| number.to_string());
    let mut rows = vec![
        row("specs.cpu", text(host.specs.cpu.map(u64::from)), facts.cpu.to_string()),
        row("specs.memory_mb", text(host.specs.memory_mb), facts.memory_mb.to_string()),
        row("specs.disk_gb", text(host.specs.disk_gb), facts.disk_gb.to_string()),
        row("arch", Some(host.arch.name().to_owned()), facts.arch.clone()),
        row("suite", Some(host.suite.name().to_owned()), facts.os_codename.clone().unwrap_or_default()),
        row("machine_id", host.machine_id.clone(), facts.machine_id.clone().unwrap_or_default()),
    ];
    rows.push(address_row(host, facts));
    let keys = facts.ssh_host_keys.join("\n");
    let mut key = row("ssh.host_key", host.ssh.host_key.clone(), keys);
    if host.ssh.host_key.as_deref().is_some_and(|stated| has_key(facts, stated)) {
        key.verdict = Verdict::Same;
    }
    rows.push(key);
    rows
}

// A name says nothing about the addresses behind it, and a host behind a translating router does not know its own.
fn address_row(host: &Host, facts: &Facts) -> Row {
    let detected = facts.addresses.join(" ");
    let configured = host.address.to_string();
    let verdict = match &host.address {
        Address::Ip(_) if facts.addresses.contains(&configured) => Verdict::Same,
        Address::Ip(_) => Verdict::Differs,
        Address::Name(_) => Verdict::NotStated,
    };
    Row { key: "address", configured: Some(configured), detected, verdict }
}

// The comment behind a key is no part of it.
fn has_key(facts: &Facts, stated: &str) -> bool {
    let bare = |key: &str| key.split(' ').take(2).collect::<Vec<_>>().join(" ");
    facts.ssh_host_keys.iter().any(|key| bare(key) == bare(stated))
}

/// Refuses facts that cannot be this host's.
pub fn belongs(host: &Host, facts: &Facts) -> Result<(), FactsError> {
    let other = |what, found: String, stated: String| {
        Err(FactsError::OtherMachine { host: host.name.to_string(), what, found, stated })
    };
    match (&host.machine_id, &facts.machine_id) {
        (Some(stated), Some(found)) if stated != found => {
            return other("machine-id", found.clone(), stated.clone());
        }
        _ => {}
    }
    if let Some(stated) = &host.ssh.host_key
        && !facts.ssh_host_keys.is_empty()
        && !has_key(facts, stated)
    {
        return other("ssh host key", "another one".to_owned(), "the one in `ssh.host_key`".to_owned());
    }
    if facts.arch != host.arch.name() {
        return other("processor", facts.arch.clone(), host.arch.name().to_owned());
    }
    Ok(())
}

/// The comparison as a table.
pub fn table(rows: &[Row]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["", "configured", "detected", ""]);
    for row in rows {
        let verdict = match row.verdict {
            Verdict::Same => "same",
            Verdict::Differs => "differs",
            Verdict::NotStated => "",
        };
        let first = |text: &str| text.lines().map(shorten).collect::<Vec<_>>().join("\n");
        let configured = row.configured.as_deref().map_or_else(|| "-".to_owned(), first);
        table.add_row([row.key.to_owned(), configured, first(&row.detected), verdict.to_owned()]);
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    format!("{}\n", lines.join("\n"))
}

fn shorten(text: &str) -> String {
    if text.chars().count() <= 48 {
        text.to_owned()
    } else {
        text.chars().take(45).chain("...".chars()).collect()
    }
}

/// The path of facts for messages.
pub fn shown(path: Option<&PathBuf>, host: &Host) -> String {
    path.map_or_else(|| format!("{} over ssh", host.address), |path| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resolve::Request;

    fn host() -> Host {
        let root = tempfile::tempdir().unwrap();
        let inventory = root.path().join("inventory.yaml");
        let text = "version: 1.0.0\nhosts:\n  mentat:\n    address: 10.0.0.1\n    stacks: [observability]\n    \
                    machine_id: 0123456789abcdef0123456789abcdef\n    \
                    specs: { cpu: 2, memory_mb: 2048 }\n    \
                    ssh: { host_key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBw0aLqB9vUo5Yk3yQm0GxQ1n7mC1u7Zk5m7o2K0a1b2 }\n";
        std::fs::write(&inventory, text).unwrap();
        let (fleet, _) = crate::resolve::fleet(&Request { inventory, ..Request::default() }).unwrap();
        fleet.hosts["mentat"].clone()
    }

    const FACTS: &str = r#"{ "format": 1, "detected_at": "2026-11-21T20:00:00Z", "detection_source": "chom-install 0.1.0",
        "hostname": "mentat", "machine_id": "0123456789abcdef0123456789abcdef", "os_id": "debian", "os_version": "13",
        "os_codename": "trixie", "kernel": "6", "arch": "x86_64", "cpu": 2, "memory_mb": 1970, "disk_gb": 20,
        "disks": [], "addresses": ["10.0.0.1", "fd00::1"],
        "ssh_host_keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBw0aLqB9vUo5Yk3yQm0GxQ1n7mC1u7Zk5m7o2K0a1b2 root@mentat"] }"#;

    #[test]
    fn configured_stands_against_detected() {
        let facts = parse(FACTS, "f".to_owned()).unwrap();
        let rows = compare(&host(), &facts);
        let verdicts: Vec<_> = rows.iter().map(|row| (row.key, row.verdict)).collect();
        assert_eq!(
            verdicts,
            [
                ("specs.cpu", Verdict::Same),
                ("specs.memory_mb", Verdict::Differs),
                ("specs.disk_gb", Verdict::NotStated),
                ("arch", Verdict::Same),
                ("suite", Verdict::Same),
                ("machine_id", Verdict::Same),
                ("address", Verdict::Same),
                ("ssh.host_key", Verdict::Same),
            ]
        );
        let table = table(&rows);
        assert!(
            table.lines().any(|line| line.split_whitespace().eq([
                "specs.memory_mb",
                "2048",
                "1970",
                "differs"
            ])),
            "{table}"
        );
        belongs(&host(), &facts).unwrap();
    }

    #[test]
    fn facts_of_another_machine_are_told_apart() {
        for (from, to) in [
            ("0123456789abcdef\", \"os_id", "ffffffffffffffff\", \"os_id"),
            ("x86_64", "aarch64"),
            ("a1b2 root", "ffff root"),
        ] {
            let facts = parse(&FACTS.replace(from, to), "f".to_owned()).unwrap();
            assert!(matches!(belongs(&host(), &facts), Err(FactsError::OtherMachine { .. })), "{to}");
        }
    }

    #[test]
    fn other_shapes_are_refused() {
        let newer = FACTS.replace("\"format\": 1", "\"format\": 2").replace("\"cpu\"", "\"cpus\"");
        assert!(matches!(parse(&newer, "f".to_owned()), Err(FactsError::Format { found: 2, .. })));
        for text in ["", "{}", "[1]", &FACTS.replace("\"cpu\"", "\"cpus\"")] {
            assert!(matches!(parse(text, "f".to_owned()), Err(FactsError::Shape { .. })), "{text}");
        }
    }
}
