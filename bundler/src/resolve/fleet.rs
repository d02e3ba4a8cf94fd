//! The resolved model: what templates see, what bundles are made of.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use chom_format::backup::BackupPolicy;
use chom_format::manifest::{Arch, Suite};
use chom_format::{ComponentName, HostName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use super::origin::Origins;
use crate::stack::component::{ComponentFile, Source, StackFile};
use crate::yaml::shape::UrlText;

/// All hosts of one inventory.
#[derive(Debug, Clone, Serialize)]
pub struct Fleet {
    /// Version of the fleet's configuration; part of every bundle's name.
    pub version: String,
    /// `production`, `staging`: a label for metrics and people.
    pub environment: String,
    /// The hosts by name.
    pub hosts: BTreeMap<HostName, Host>,
    /// Where payloads are fetched from.
    pub mirrors: Mirrors,
    /// Where each value came from.
    #[serde(skip)]
    pub origins: Origins,
}

/// Where payloads are fetched from. What is absent comes from the control machine's own apt sources.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mirrors {
    /// Base address of Debian's archive.
    #[serde(default)]
    #[schemars(with = "Option<UrlText>")]
    pub debian: Option<String>,
    /// Base address of Debian's security archive.
    #[serde(default)]
    #[schemars(with = "Option<UrlText>")]
    pub security: Option<String>,
    /// Base address of a mirror that keeps old packages, asked when a locked package has left the others.
    #[serde(default)]
    #[schemars(with = "Option<UrlText>")]
    pub snapshot: Option<String>,
    /// Base address that stands in for every upstream archive: `<upstream>/<host>/<path>` is fetched.
    #[serde(default)]
    #[schemars(with = "Option<UrlText>")]
    pub upstream: Option<String>,
}

/// One host.
#[derive(Debug, Clone, Serialize)]
pub struct Host {
    /// The inventory's name for it.
    pub name: HostName,
    /// Where it is reached, by its peers too.
    pub address: Address,
    /// Its full name: `domain`, else `address` when that is a name, else `name`.
    pub fqdn: String,
    /// The name under which its web pages are served.
    pub domain: Option<String>,
    /// Further names of the same pages.
    pub names: Vec<String>,
    /// How its web pages are encrypted.
    pub tls: Tls,
    /// How it is reached.
    pub ssh: Ssh,
    /// Its processor.
    pub arch: Arch,
    /// Its Debian release.
    pub suite: Suite,
    /// `/etc/machine-id`, when stated: the installer then accepts no other machine.
    pub machine_id: Option<String>,
    /// What it has, stated or measured.
    pub specs: Specs,
    /// How backups are kept.
    pub backup: Backup,
    /// How many seconds a unit must have run before it counts as steady.
    pub dwell_s: u32,
    /// What it is for.
    pub stacks: Vec<ComponentName>,
    /// The files of those stacks.
    #[serde(skip)]
    pub stack_files: BTreeMap<ComponentName, Arc<StackFile>>,
    /// Every component of those stacks, also the disabled ones.
    pub components: BTreeMap<ComponentName, Component>,
}

impl Host {
    /// The components that are to run here, in the order in which their steps come: by `after`, then by name.
    pub fn enabled(&self) -> Vec<&Component> {
        let mut ordered: Vec<&Component> = Vec::new();
        let mut waiting: Vec<&Component> = self.components.values().filter(|part| part.enabled).collect();
        // Cycles were refused before; should one remain, its members come last, by name.
        while !waiting.is_empty() {
            let ready = waiting.iter().position(|part| {
                part.file.after.iter().all(|before| !waiting.iter().any(|other| other.name == *before))
            });
            ordered.push(waiting.remove(ready.unwrap_or(0)));
        }
        ordered
    }
}

/// An IP address or a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Address {
    /// IPv4 or IPv6.
    Ip(IpAddr),
    /// A host name.
    Name(String),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(ip) => write!(f, "{ip}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl Address {
    /// The address as it stands before `:port` in a URL: an IPv6 address in brackets.
    pub fn in_url(&self) -> String {
        match self {
            Self::Ip(IpAddr::V6(ip)) => format!("[{ip}]"),
            other => other.to_string(),
        }
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// How web pages are encrypted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Tls {
    /// Which of the ways.
    pub mode: TlsMode,
    /// Certificate chain on the host; there when `mode` is `files`.
    pub certificate: Option<String>,
    /// Private key on the host; there when `mode` is `files`.
    pub key: Option<String>,
}

/// The ways of encrypting web pages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TlsMode {
    /// Plain HTTP.
    #[default]
    Off,
    /// HTTPS with a certificate and key that lie on the host.
    Files,
}

/// How a host is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ssh {
    /// Account: root, or one that may use sudo.
    pub user: String,
    /// Port; it is never closed by the firewall.
    pub port: u16,
    /// Private key on the control machine.
    pub key: Option<String>,
    /// Public host key, `type base64`; only this one is then accepted.
    pub host_key: Option<String>,
}

/// How backups are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Backup {
    /// Where, how many, for whom.
    #[serde(flatten)]
    pub policy: BackupPolicy,
    /// When the timer makes one, as systemd writes it.
    pub schedule: Option<String>,
}

/// What a host has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Specs {
    /// Processors.
    pub cpu: Option<u32>,
    /// Main memory in MiB.
    pub memory_mb: Option<u64>,
    /// Root file system in GiB.
    pub disk_gb: Option<u64>,
    /// When it was measured, RFC 3339.
    pub detected_at: Option<String>,
    /// What measured it.
    pub detection_source: Option<String>,
}

/// One component on one host.
#[derive(Debug, Clone, Serialize)]
pub struct Component {
    /// The stack of this host that brings it: its releases go below that stack's root.
    pub stack: ComponentName,
    /// Its name.
    pub name: ComponentName,
    /// Whether it is to run.
    pub enabled: bool,
    /// Where its payload comes from; none when it has none.
    pub source: Option<Source>,
    /// The version of an upstream payload.
    pub version: Option<String>,
    /// Every setting that the component declares.
    pub settings: BTreeMap<String, Value>,
    /// How it is made.
    #[serde(skip)]
    pub file: Arc<ComponentFile>,
    /// Its file, for messages.
    #[serde(skip)]
    pub path: String,
}
