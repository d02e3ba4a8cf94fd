//! The types of `chom.lock`: what every payload is, to the byte.

use std::collections::BTreeMap;

use chom_format::{ComponentName, Digest, HostName, PackageName, RelPath};
use serde::{Deserialize, Deserializer, de};

use super::archive_id::ArchiveId;

/// The version of this shape.
pub const LOCK_FORMAT: u32 = 1;

/// `chom.lock`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// [`LOCK_FORMAT`].
    pub format: u32,
    /// What each host draws on.
    pub hosts: BTreeMap<HostName, HostPins>,
    /// Debian packages by release and processor, each once.
    #[serde(default)]
    pub archives: BTreeMap<ArchiveId, Archive>,
    /// Upstream archives by address.
    #[serde(default)]
    pub upstream: BTreeMap<String, UpstreamPin>,
}

/// What one host draws on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostPins {
    /// The key in `archives`.
    pub archive: ArchiveId,
    /// What the closures were resolved against.
    pub base: BasePin,
    /// Whole packages by component.
    #[serde(default)]
    pub packages: BTreeMap<ComponentName, Closure>,
    /// Packages of which only members are taken, by component: the one that was asked for, and those of the same
    /// source that it depends on.
    #[serde(default)]
    pub members: BTreeMap<ComponentName, Vec<PackageName>>,
    /// Upstream archives by component: keys in `upstream`.
    #[serde(default)]
    pub upstream: BTreeMap<ComponentName, String>,
}

/// What the host was taken to have already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BasePin {
    /// What every Debian host has.
    Minimal,
    /// Nothing.
    None,
    /// A dpkg status file with this digest.
    Status(Digest),
}

/// Packages that were asked for, and all that they need beside the base.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Closure {
    /// Asked for.
    pub roots: Vec<PackageName>,
    /// Roots and dependencies that the base does not have, in alphabetical order.
    pub closure: Vec<PackageName>,
}

/// One release of Debian for one processor, as far as some host needs it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Archive {
    /// The signed indexes that the packages were taken from, by suite.
    pub releases: BTreeMap<String, ReleasePin>,
    /// Each package that some host needs.
    pub packages: BTreeMap<PackageName, PackagePin>,
}

/// A signed index of the archive: `InRelease` of one suite.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleasePin {
    /// When Debian made it: RFC 3339, UTC, whole seconds.
    pub date: String,
    /// Of its bytes, signature included.
    pub sha256: Digest,
}

/// One `.deb`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackagePin {
    /// Full Debian version with epoch and revision.
    pub version: String,
    /// The suite whose index names it: `trixie`, `trixie-updates`, `trixie-security`.
    pub suite: String,
    /// Of the archive, in bytes.
    pub size: u64,
    /// Space on disk once installed, in KiB.
    pub installed_kb: u64,
    /// Of the archive.
    pub sha256: Digest,
    /// Path on any mirror of the suite.
    pub file: PoolPath,
}

impl PackagePin {
    /// Whether it comes from the security archive, which has mirrors of its own.
    pub fn is_security(&self) -> bool {
        self.suite.ends_with("-security")
    }
}

/// Where a `.deb` lies on a mirror: `pool/main/n/nginx/nginx_1.26.3-3_amd64.deb`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolPath {
    path: RelPath,
    arch: String,
}

impl PoolPath {
    /// Takes a path apart and checks it.
    pub fn new(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("`{text}` is not the path of a .deb such as pool/main/n/nginx/nginx_1.26.3-3_amd64.deb")
        };
        let path: RelPath = text.parse().map_err(|error| format!("{error}"))?;
        let stem = path.name().strip_suffix(".deb").ok_or_else(wrong)?;
        let (name, arch) = stem.rsplit_once('_').ok_or_else(wrong)?;
        if !name.contains('_') || !["amd64", "arm64", "all"].contains(&arch) {
            return Err(wrong());
        }
        let arch = arch.to_owned();
        Ok(Self { path, arch })
    }

    /// The path.
    pub fn as_str(&self) -> &str {
        self.path.as_str()
    }

    /// The file's name on the mirror.
    pub fn name(&self) -> &str {
        self.path.name()
    }

    /// `amd64`, `arm64` or `all`.
    pub fn arch(&self) -> &str {
        &self.arch
    }
}

/// An archive from a project's own site.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpstreamPin {
    /// The version that was asked for.
    pub version: String,
    /// In bytes.
    pub size: u64,
    /// Of the archive.
    pub sha256: Digest,
    /// The published checksums that it agreed with; absent when the digest was pinned by hand.
    #[serde(default)]
    pub sums: Option<String>,
}

impl<'de> Deserialize<'de> for PoolPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for BasePin {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "minimal" => Ok(Self::Minimal),
            "none" => Ok(Self::None),
            _ => text
                .strip_prefix("status-")
                .and_then(|digest| digest.parse().ok())
                .map(Self::Status)
                .ok_or_else(|| {
                    de::Error::custom(format!("`{text}` is not minimal, none or status-<sha256>"))
                }),
        }
    }
}

impl std::fmt::Display for BasePin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Minimal => f.write_str("minimal"),
            Self::None => f.write_str("none"),
            Self::Status(digest) => write!(f, "status-{digest}"),
        }
    }
}
