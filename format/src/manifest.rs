//! The manifest: all that the installer needs to know about a bundle, in one small file.

use serde::{Deserialize, Serialize};

use crate::backup::BackupSpec;
use crate::check::CheckSpec;
use crate::digest::Digest;
use crate::name::{HostName, StepId};
use crate::path::HostPath;
use crate::step::{Content, Phase, Phases, Step, StepSpec};

/// The format that this build writes, and the newest that it reads.
pub const FORMAT: u32 = 1;

/// `manifest.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`FORMAT`] of the writer.
    pub format: u32,
    /// Which host this is for.
    pub host: HostIdentity,
    /// What made it.
    pub bundle: BundleInfo,
    /// What the host must have.
    pub requires: Requires,
    /// Ports that the bundle's services will listen on, with the unit that will own each.
    pub ports: Vec<Port>,
    /// What is to be done, in order.
    pub phases: Phases,
    /// What must be true afterwards.
    pub checks: Vec<CheckSpec>,
    /// Directories in which an exporter of the host reads figures (`*.prom`); the installer leaves its own there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<HostPath>,
    /// What of the host is backed up, and how backups are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupSpec>,
}

/// How the installer knows that it is on the right host. Facts that are absent are not asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostIdentity {
    /// The inventory's name for it.
    pub name: HostName,
    /// Names that `hostname` may print, short or full.
    pub hostnames: Vec<String>,
    /// `/etc/machine-id`, when it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_id: Option<String>,
    /// Public ssh host keys (`type base64`), when known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ssh_host_keys: Vec<String>,
    /// Processor.
    pub arch: Arch,
    /// Debian release.
    pub suite: Suite,
}

/// Processor architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arch {
    /// `x86_64`, Debian's `amd64`.
    #[serde(rename = "x86_64")]
    X86_64,
    /// `aarch64`, Debian's `arm64`.
    Aarch64,
}

impl Arch {
    /// Both, in a fixed order.
    pub const ALL: [Self; 2] = [Self::X86_64, Self::Aarch64];

    /// The kernel's and Rust's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }

    /// Debian's name.
    pub fn debian(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Aarch64 => "arm64",
        }
    }
}

/// A supported Debian release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Suite {
    /// Debian 12.
    Bookworm,
    /// Debian 13.
    Trixie,
}

impl Suite {
    /// Both, oldest first.
    pub const ALL: [Self; 2] = [Self::Bookworm, Self::Trixie];

    /// The code name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bookworm => "bookworm",
            Self::Trixie => "trixie",
        }
    }

    /// `VERSION_ID` of `/etc/os-release`.
    pub fn version(self) -> &'static str {
        match self {
            Self::Bookworm => "12",
            Self::Trixie => "13",
        }
    }
}

/// Where a bundle comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleInfo {
    /// Version of the fleet's configuration, from the inventory.
    pub version: String,
    /// Name and version of the program that wrote it.
    pub tool: String,
    /// Digest of `chom.lock`, which pins every payload.
    pub lock_sha256: Digest,
}

/// What the host must have before anything is changed. The free space wanted is computed by the installer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requires {
    /// Processors.
    pub cpus: u32,
    /// Main memory in MiB. A host reports a little less than it was sold with: the installer grants 10 %.
    pub memory_mb: u64,
    /// Size of the root file system in GiB.
    pub disk_gb: u64,
}

/// A port that a service of the bundle listens on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Port {
    /// TCP port.
    pub port: u16,
    /// The unit that owns it after the installation; the same owner before it is no conflict.
    pub unit: crate::name::UnitName,
}

impl Manifest {
    /// Every step with its phase, in the order in which they run.
    pub fn steps(&self) -> Vec<(Phase, Step<StepSpec>)> {
        fn typed<S: Clone + Into<StepSpec>>(
            phase: Phase,
            steps: &[Step<S>],
        ) -> impl Iterator<Item = (Phase, Step<StepSpec>)> {
            steps.iter().cloned().map(move |step| {
                (phase, Step { id: step.id, component: step.component, spec: step.spec.into() })
            })
        }
        let phases = &self.phases;
        typed(Phase::Prepare, &phases.prepare)
            .chain(typed(Phase::Install, &phases.install))
            .chain(typed(Phase::Activate, &phases.activate))
            .chain(typed(Phase::Expose, &phases.expose))
            .collect()
    }

    /// Every content that the steps draw from the bundle.
    pub fn contents(&self) -> Vec<Content> {
        let mut contents = Vec::new();
        for (_, step) in self.steps() {
            match step.spec {
                StepSpec::Packages(spec) => {
                    contents.push(spec.index);
                    contents.extend(spec.packages.into_iter().map(|deb| deb.content));
                }
                StepSpec::Release(spec) => {
                    contents.extend(spec.files.into_values().map(|file| file.content));
                }
                StepSpec::File(spec) => contents.push(spec.content),
                StepSpec::Account(_)
                | StepSpec::Dir(_)
                | StepSpec::Validate(_)
                | StepSpec::Link(_)
                | StepSpec::Absent(_)
                | StepSpec::Unit(_)
                | StepSpec::Command(_)
                | StepSpec::Firewall(_) => {}
            }
        }
        contents
    }

    /// The step ids that appear more than once: a manifest must have none.
    pub fn duplicate_ids(&self) -> Vec<StepId> {
        let mut ids: Vec<StepId> = self.steps().into_iter().map(|(_, step)| step.id).collect();
        ids.sort();
        let mut twice: Vec<StepId> = ids
            .windows(2)
            .filter(|pair| pair.first() == pair.last())
            .filter_map(|pair| pair.first().cloned())
            .collect();
        twice.dedup();
        twice
    }

    /// The bytes of `manifest.json`: pretty, stable, with a final newline.
    pub fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut bytes = serde_json::to_vec_pretty(self)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// The name of the bundle and of its folder: host, version, first 8 digits of the manifest's digest.
    pub fn bundle_name(&self, manifest: &Digest) -> String {
        format!("{}-{}-{}", self.host.name, self.bundle.version, manifest.short())
    }
}
