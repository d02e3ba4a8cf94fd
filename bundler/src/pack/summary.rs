//! What a bundle is, for people and for programs.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use chom_format::step::Phase;
use serde_json::{Value, json};

use super::SIGNATURE;
use super::read::Bundle;
use super::sbom::SETTING;

/// One payload of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Payload {
    /// Package or component.
    pub name: String,
    /// Full version.
    pub version: String,
    /// Its package address, when it has one.
    pub purl: Option<String>,
}

impl Bundle {
    /// The payloads that it names.
    pub fn payloads(&self) -> Vec<Payload> {
        let components = self.sbom.get("components").and_then(Value::as_array);
        let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
        components
            .into_iter()
            .flatten()
            .filter_map(|part| {
                Some(Payload {
                    name: text(part, "name")?,
                    version: text(part, "version")?,
                    purl: text(part, "purl"),
                })
            })
            .collect()
    }

    /// The settings that it names: `prometheus.retention` and its value.
    pub fn settings(&self) -> BTreeMap<String, String> {
        let properties = self.sbom.pointer("/metadata/component/properties").and_then(Value::as_array);
        properties
            .into_iter()
            .flatten()
            .filter_map(|property| {
                let name = property.get("name")?.as_str()?.strip_prefix(SETTING)?;
                Some((name.to_owned(), property.get("value")?.as_str()?.to_owned()))
            })
            .collect()
    }

    /// All of it as JSON.
    pub fn to_json(&self) -> Value {
        let files: Vec<Value> = self
            .files
            .iter()
            .map(|(path, file)| json!({ "path": path, "mode": file.mode, "size": file.size, "sha256": file.sha256 }))
            .collect();
        json!({
            "format": 1,
            "name": self.name,
            "sha256": self.sha256,
            "signed": self.files.contains_key(SIGNATURE),
            "manifest_sha256": self.manifest_sha256,
            "manifest": self.manifest,
            "payloads": self.payloads(),
            "settings": self.settings(),
            "files": files,
        })
    }

    /// All of it for a person; `steps` and files are listed with `long`.
    pub fn to_text(&self, long: bool) -> String {
        let mut text = String::new();
        let manifest = &self.manifest;
        let host = &manifest.host;
        let bytes: u64 = self.files.values().map(|file| file.size).sum();
        // Writing to a String cannot fail.
        let mut row = |key: &str, value: String| {
            let _ = writeln!(text, "{key:<10} {value}");
        };
        row("bundle", self.name.clone());
        row("host", format!("{} (Debian {}, {})", host.name, host.suite.version(), host.arch.name()));
        row("version", format!("{}, made by {}", manifest.bundle.version, manifest.bundle.tool));
        row("lock", format!("sha256 {}", manifest.bundle.lock_sha256));
        row("signed", if self.files.contains_key(SIGNATURE) { "yes" } else { "no" }.to_owned());
        row("holds", format!("{} files, {} unpacked", self.files.len(), size(bytes)));
        let wants = &manifest.requires;
        row(
            "asks for",
            format!(
                "{} processors, {} MiB of memory, {} GiB of disk",
                wants.cpus, wants.memory_mb, wants.disk_gb
            ),
        );
        for port in &manifest.ports {
            row("port", format!("{:<5} {}", port.port, port.unit));
        }
        for payload in self.payloads() {
            row("payload", format!("{} {}", payload.name, payload.version));
        }
        for (key, value) in self.settings() {
            row("setting", format!("{key} = {value}"));
        }
        for (phase, count) in self.counts() {
            row("steps", format!("{count:>3} in {}", format!("{phase:?}").to_lowercase()));
        }
        row("checks", manifest.checks.len().to_string());
        if long {
            manifest.steps().iter().for_each(|(_, step)| row("step", step.id.to_string()));
            manifest.checks.iter().for_each(|check| row("check", check.id.to_string()));
            self.files
                .iter()
                .for_each(|(path, file)| row("file", format!("{} {:>10} {path}", file.mode, file.size)));
        }
        text
    }

    fn counts(&self) -> BTreeMap<Phase, usize> {
        let mut counts = BTreeMap::new();
        for (phase, _) in self.manifest.steps() {
            *counts.entry(phase).or_default() += 1;
        }
        counts
    }
}

/// `12.3 MB`.
pub fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} bytes"),
        1_000..1_000_000 => format!("{}.{} kB", bytes / 1_000, bytes % 1_000 / 100),
        1_000_000..1_000_000_000 => format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000),
        _ => format!("{}.{} GB", bytes / 1_000_000_000, bytes % 1_000_000_000 / 100_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_for_people() {
        for (bytes, text) in
            [(7, "7 bytes"), (1_500, "1.5 kB"), (96_700_000, "96.7 MB"), (2_000_000_000, "2.0 GB")]
        {
            assert_eq!(size(bytes), text);
        }
    }
}
