//! The types of `inventory.yaml`. Schema, checks and reading all come from these.

use std::collections::BTreeMap;

use chom_format::manifest::{Arch, Suite};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::resolve::{Mirrors, TlsMode};
use crate::yaml::shape::{
    AccountText, AddressText, CalendarText, ComponentText, DomainText, DurationText, KeyFileText, LabelText,
    Line, MachineIdText, PathText, PlainPathText, RecipientText, SshKeyText, VersionText,
};

/// The only place where a person states facts about hosts.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "inventory.yaml", extend("patternProperties" = { "^x-": {} }))]
pub struct InventoryFile {
    /// Version of this configuration; part of every bundle's name.
    #[schemars(with = "VersionText")]
    pub version: String,
    /// Label of the whole fleet, such as production or staging.
    #[serde(default)]
    #[schemars(with = "Option<LabelText>")]
    pub environment: Option<String>,
    /// What holds for every host that does not say otherwise.
    #[serde(default)]
    pub defaults: Option<DefaultsFile>,
    /// The hosts by name.
    #[schemars(extend("propertyNames" = { "x-chom": "host" }))]
    pub hosts: BTreeMap<String, HostFile>,
    /// Where payloads are fetched from, when not from where the control machine's own packages come.
    #[serde(default)]
    pub mirrors: Option<Mirrors>,
}

/// What holds for every host that does not say otherwise.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DefaultsFile {
    /// Debian release.
    #[serde(default)]
    #[schemars(with = "Option<SuiteName>")]
    pub suite: Option<Suite>,
    /// Processor.
    #[serde(default)]
    #[schemars(with = "Option<ArchName>")]
    pub arch: Option<Arch>,
    /// How hosts are reached.
    #[serde(default)]
    pub ssh: Option<SshDefaults>,
    /// How web pages are encrypted.
    #[serde(default)]
    pub tls: Option<TlsFile>,
    /// How backups are kept.
    #[serde(default)]
    pub backup: Option<BackupFile>,
    /// How many seconds a unit must have run before it counts as steady; less than the deadline of the check.
    #[serde(default)]
    #[schemars(range(min = 1, max = 60))]
    pub dwell_s: Option<u32>,
    /// Settings of components, by component.
    #[serde(default)]
    pub components: Option<ComponentsFile>,
}

/// One host.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HostFile {
    /// IPv4 or IPv6 address or host name where it is reached, by its peers too.
    #[schemars(with = "AddressText")]
    pub address: String,
    /// Name under which its web pages are served.
    #[serde(default)]
    #[schemars(with = "Option<DomainText>")]
    pub domain: Option<String>,
    /// Further names of the same pages.
    #[serde(default)]
    #[schemars(with = "Option<Vec<DomainText>>")]
    pub names: Option<Vec<String>>,
    /// What the host is for.
    #[schemars(with = "Vec<ComponentText>")]
    pub stacks: Vec<String>,
    /// Debian release.
    #[serde(default)]
    #[schemars(with = "Option<SuiteName>")]
    pub suite: Option<Suite>,
    /// Processor.
    #[serde(default)]
    #[schemars(with = "Option<ArchName>")]
    pub arch: Option<Arch>,
    /// `/etc/machine-id`; the installer then accepts no other machine.
    #[serde(default)]
    #[schemars(with = "Option<MachineIdText>")]
    pub machine_id: Option<String>,
    /// How it is reached.
    #[serde(default)]
    pub ssh: Option<SshFile>,
    /// How its web pages are encrypted.
    #[serde(default)]
    pub tls: Option<TlsFile>,
    /// What it has; `chom-bundle facts --write` fills this in.
    #[serde(default)]
    pub specs: Option<SpecsFile>,
    /// How backups are kept.
    #[serde(default)]
    pub backup: Option<BackupFile>,
    /// How many seconds a unit must have run before it counts as steady; less than the deadline of the check.
    #[serde(default)]
    #[schemars(range(min = 1, max = 60))]
    pub dwell_s: Option<u32>,
    /// Settings of its components, by component.
    #[serde(default)]
    pub components: Option<ComponentsFile>,
}

/// Settings by component; which there are, the component's file in `targets/` says.
pub type ComponentsFile = BTreeMap<String, BTreeMap<String, Value>>;

/// How hosts are reached, where that can be the same for all.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SshDefaults {
    /// Account: root, or one that may use sudo.
    #[serde(default)]
    #[schemars(with = "Option<AccountText>")]
    pub user: Option<String>,
    /// Port; the firewall never closes it.
    #[serde(default)]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<u16>,
    /// Private key on the control machine.
    #[serde(default)]
    #[schemars(with = "Option<KeyFileText>")]
    pub key: Option<String>,
}

/// How a host is reached.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SshFile {
    /// Account: root, or one that may use sudo.
    #[serde(default)]
    #[schemars(with = "Option<AccountText>")]
    pub user: Option<String>,
    /// Port; the firewall never closes it.
    #[serde(default)]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<u16>,
    /// Private key on the control machine.
    #[serde(default)]
    #[schemars(with = "Option<KeyFileText>")]
    pub key: Option<String>,
    /// Public host key, `type base64`; only this one is then accepted.
    #[serde(default)]
    #[schemars(with = "Option<SshKeyText>")]
    pub host_key: Option<String>,
}

/// How web pages are encrypted.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsFile {
    /// `off`: plain HTTP. `files`: HTTPS with a certificate and key that lie on the host.
    #[serde(default)]
    pub mode: Option<TlsMode>,
    /// Certificate chain on the host.
    #[serde(default)]
    #[schemars(with = "Option<PlainPathText>")]
    pub certificate: Option<String>,
    /// Private key on the host.
    #[serde(default)]
    #[schemars(with = "Option<PlainPathText>")]
    pub key: Option<String>,
}

/// How backups are kept. What is in them, the components say.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BackupFile {
    /// Where they lie on the host; its parent must be there.
    #[serde(default)]
    #[schemars(with = "Option<PathText>")]
    pub directory: Option<String>,
    /// So many of the newest are kept.
    #[serde(default)]
    #[schemars(range(min = 1, max = 10000))]
    pub keep: Option<u32>,
    /// What is older goes, but for the newest.
    #[serde(default)]
    #[schemars(with = "Option<DurationText>")]
    pub max_age: Option<String>,
    /// Public age keys: only who holds one of the private halves can read a backup.
    #[serde(default)]
    #[schemars(with = "Option<Vec<RecipientText>>")]
    pub recipients: Option<Vec<String>>,
    /// Make one before every installation that changes something.
    #[serde(default)]
    pub before_install: Option<bool>,
    /// Make one by a timer of systemd, at such times: `*-*-* 03:30`.
    #[serde(default)]
    #[schemars(with = "Option<CalendarText>")]
    pub schedule: Option<String>,
}

/// What a host has.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SpecsFile {
    /// Processors.
    #[serde(default)]
    #[schemars(range(min = 1, max = 4096))]
    pub cpu: Option<u32>,
    /// Main memory in MiB.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub memory_mb: Option<u64>,
    /// Size of the root file system in GiB.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub disk_gb: Option<u64>,
    /// When it was measured, RFC 3339; written by `chom-bundle facts --write`.
    #[serde(default)]
    #[schemars(with = "Option<Line>")]
    pub detected_at: Option<String>,
    /// What measured it; written by `chom-bundle facts --write`.
    #[serde(default)]
    #[schemars(with = "Option<Line>")]
    pub detection_source: Option<String>,
}

// The schema of `Suite`, whose crate knows no schemas.
/// Debian release.
#[derive(JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(dead_code, reason = "only its schema is used")]
enum SuiteName {
    Bookworm,
    Trixie,
}

// The schema of `Arch`, whose crate knows no schemas.
/// Processor.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
enum ArchName {
    #[serde(rename = "x86_64")]
    X86_64,
    #[serde(rename = "aarch64")]
    Aarch64,
}

/// The schema of `inventory.yaml`, without what the components add to it.
pub fn schema() -> Value {
    schemars::schema_for!(InventoryFile).into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn names_of(schema: &Value, choice: &str) -> Vec<String> {
        schema["$defs"][choice]["enum"]
            .as_array()
            .unwrap()
            .iter()
            .map(|v| v.as_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn the_schema_names_exactly_what_the_shared_types_are_called() {
        let schema = schema();
        assert_eq!(names_of(&schema, "SuiteName"), Suite::ALL.map(|suite| suite.name().to_owned()));
        assert_eq!(names_of(&schema, "ArchName"), Arch::ALL.map(|arch| arch.name().to_owned()));
    }

    #[test]
    fn every_key_of_the_schema_is_read_by_the_types_and_no_other() {
        fn sample(root: &Value, schema: &Value) -> Value {
            let schema = crate::yaml::walk::resolve(root, schema);
            if let Some(some) = schema.get("anyOf").and_then(|branches| branches.get(0)) {
                return sample(root, some);
            }
            if let Some(first) = schema.get("enum").and_then(|values| values.get(0)) {
                return first.clone();
            }
            if let Some(first) = schema.get("oneOf").and_then(|values| values.get(0)) {
                return first["const"].clone();
            }
            let kind = match &schema["type"] {
                Value::Array(kinds) => kinds[0].clone(),
                kind => kind.clone(),
            };
            match kind.as_str() {
                Some("object") => match schema.get("properties").and_then(Value::as_object) {
                    Some(known) => {
                        known.iter().map(|(key, below)| (key.clone(), sample(root, below))).collect()
                    }
                    None => json!({ "a": sample(root, &schema["additionalProperties"]) }),
                },
                Some("array") => json!([sample(root, &schema["items"])]),
                Some("integer") => json!(7),
                Some("boolean") => json!(true),
                _ => json!("text"),
            }
        }
        let schema = schema();
        let full = sample(&schema, &schema);
        assert_eq!(full["hosts"]["a"]["specs"]["memory_mb"], json!(7));
        let mut host = full.clone();
        serde_json::from_value::<InventoryFile>(full).unwrap();
        host["hosts"]["a"]["specs"]["memory"] = json!(7);
        assert!(serde_json::from_value::<InventoryFile>(host).is_err());
    }
}
