//! Facts: what was measured on a host, when and how. Written by `chom-install facts`, read by `chom-bundle facts`.

use serde::{Deserialize, Serialize};

/// The version of this shape.
pub const FACTS_FORMAT: u32 = 1;

/// What `chom-install facts --json` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// [`FACTS_FORMAT`].
    pub format: u32,
    /// When, RFC 3339, UTC, whole seconds.
    pub detected_at: String,
    /// Program and version that measured.
    pub detection_source: String,
    /// What `hostname` says.
    pub hostname: String,
    /// `/etc/machine-id`, if the file is there and initialised.
    pub machine_id: Option<String>,
    /// `ID` of os-release: `debian`.
    pub os_id: String,
    /// `VERSION_ID` of os-release: `13`.
    pub os_version: Option<String>,
    /// `VERSION_CODENAME` of os-release: `trixie`.
    pub os_codename: Option<String>,
    /// Kernel release.
    pub kernel: String,
    /// `x86_64` or `aarch64`.
    pub arch: String,
    /// Processors that are online.
    pub cpu: u32,
    /// Main memory in MiB.
    pub memory_mb: u64,
    /// Size of the root file system in GiB, rounded to the nearest.
    pub disk_gb: u64,
    /// Real file systems.
    pub disks: Vec<Disk>,
    /// Global addresses of the interfaces, without loopback and link-local ones.
    pub addresses: Vec<String>,
    /// Public ssh host keys, `type base64`, sorted.
    pub ssh_host_keys: Vec<String>,
}

/// One mounted file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disk {
    /// Where it is mounted.
    pub mount: String,
    /// Device or source.
    pub device: String,
    /// Kind of file system.
    pub filesystem: String,
    /// Size in MiB.
    pub total_mb: u64,
    /// Available to root's services, in MiB.
    pub free_mb: u64,
}
