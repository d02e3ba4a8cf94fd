//! The types of `targets/<stack>/stack.yaml` and `targets/<stack>/<component>.yaml`.
//!
//! What is known without a host is typed here. The lists that may hold templates stay [`Entry`]s (JSON
//! values) until `render` has filled them in for one host and given them their types.

use std::collections::BTreeMap;

use chom_format::{ComponentName, HostPath, PackageName, RelPath};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::yaml::shape::{
    ComponentRefText, ComponentText, DigestText, OwnerText, PackageText, PathText, RelativePathText,
};

/// One element of a templated list, before rendering.
pub type Entry = serde_json::Map<String, serde_json::Value>;

/// `stack.yaml`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StackFile {
    /// One line for people.
    pub summary: String,
    /// What preflight asks of the host.
    pub requires: RequiresFile,
    /// Where releases and the `bin` link lie.
    #[schemars(with = "PathText")]
    pub root: HostPath,
    /// `user:group` of the releases.
    #[schemars(with = "OwnerText")]
    pub owner: String,
    /// `stack/component` of components that are written in another stack's folder.
    #[serde(default)]
    #[schemars(with = "Vec<ComponentRefText>")]
    pub includes: Vec<String>,
}

/// What a host must have to carry a stack.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RequiresFile {
    /// Processors.
    pub cpu: u32,
    /// Main memory in MiB.
    pub memory_mb: u64,
    /// Root file system in GiB.
    pub disk_gb: u64,
}

/// `<component>.yaml`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ComponentFile {
    /// One line for people.
    pub summary: String,
    /// Part of the stack unless the inventory says otherwise.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Components whose steps come before, when they are enabled.
    #[serde(default)]
    #[schemars(with = "Vec<ComponentText>")]
    pub after: Vec<ComponentName>,
    /// What an inventory may set.
    #[serde(default)]
    pub settings: BTreeMap<String, SettingFile>,
    /// Bytes from outside.
    #[serde(default)]
    pub payload: Option<PayloadFile>,
    /// System accounts.
    #[serde(default)]
    pub accounts: Vec<Entry>,
    /// Directories.
    #[serde(default)]
    pub dirs: Vec<Entry>,
    /// Files from templates.
    #[serde(default)]
    pub files: Vec<Entry>,
    /// Symbolic links.
    #[serde(default)]
    pub links: Vec<Entry>,
    /// Files and links that must not be there.
    #[serde(default)]
    pub absent: Vec<Entry>,
    /// Staged validations.
    #[serde(default)]
    pub validate: Vec<Entry>,
    /// systemd units.
    #[serde(default)]
    pub units: Vec<Entry>,
    /// Commands.
    #[serde(default)]
    pub commands: Vec<Entry>,
    /// Ports and who may reach them.
    #[serde(default)]
    pub ports: Vec<Entry>,
    /// What Prometheus collects.
    #[serde(default)]
    pub scrape: Vec<Entry>,
    /// Health.
    #[serde(default)]
    pub checks: Vec<Entry>,
    /// What is backed up.
    #[serde(default)]
    pub backup: Vec<Entry>,
    /// What no value by itself shows to be wrong.
    #[serde(default)]
    pub refuse: Vec<Entry>,
}

/// The declaration of one setting.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SettingFile {
    /// What values it takes.
    #[serde(rename = "type")]
    pub kind: SettingKind,
    /// The lowest layer; null means "not set".
    #[serde(default)]
    pub default: serde_json::Value,
    /// One line for people.
    pub help: String,
    /// The values of an `enum`.
    #[serde(default)]
    pub values: Vec<String>,
    /// The form of a `map`'s keys; one line of text unless it says otherwise.
    #[serde(default)]
    pub keys: Option<SettingKind>,
    /// The element type of a `list` or `map`.
    #[serde(default)]
    pub of: Option<SettingKind>,
}

/// The type of a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SettingKind {
    /// One line of text.
    String,
    /// Text of any number of lines.
    Text,
    /// `true` or `false`.
    Bool,
    /// A whole number.
    Integer,
    /// 1 to 65535.
    Port,
    /// `30s`, `5m`, `720h`, `15d`.
    Duration,
    /// `512MB`, `50GB`.
    Size,
    /// `http://` or `https://`.
    Url,
    /// An address or a network in CIDR form.
    Network,
    /// A name of letters, digits and any of `. _ -`.
    Name,
    /// Mail addresses, separated by commas.
    Mail,
    /// `256M`, `2G`.
    ShortSize,
    /// A password's hash, as crypt(5) has it.
    CryptHash,
    /// An address or a host name.
    Address,
    /// An absolute path on the host.
    Path,
    /// A list.
    List,
    /// A map.
    Map,
    /// One of `values`.
    Enum,
    /// The path of a file on the host that holds a secret: the secret itself never enters a bundle.
    SecretFile,
}

/// Where a component's bytes come from.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PayloadFile {
    /// Which block, unless the inventory sets `source`.
    pub source: Source,
    /// From the distribution.
    #[serde(default)]
    pub debian: Option<DebianPayload>,
    /// From the project's own archive.
    #[serde(default)]
    pub upstream: Option<UpstreamPayload>,
}

/// The two kinds of payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// From Debian's archive.
    Debian,
    /// From the upstream project's archive.
    Upstream,
}

/// Whole packages with their closure, or named members of one package.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged, deny_unknown_fields)]
pub enum DebianPayload {
    /// Whole packages.
    Packages {
        /// Their names.
        #[schemars(with = "Vec<PackageText>")]
        packages: Vec<PackageName>,
    },
    /// Members placed in the release.
    Members {
        /// The package that carries them.
        #[schemars(with = "PackageText")]
        package: PackageName,
        /// Path in the package to path in the release.
        #[schemars(with = "BTreeMap<String, RelativePathText>", extend("propertyNames" = { "x-chom": "path" }))]
        members: BTreeMap<HostPath, RelPath>,
    },
}

/// An upstream archive.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpstreamPayload {
    /// Version, put in for `{version}`.
    pub version: String,
    /// Address pattern with `{version}` and `{arch}`.
    pub url: String,
    /// Address pattern of the published checksums.
    #[serde(default)]
    pub sums: Option<String>,
    /// Pinned digests by Debian architecture, instead of or beside `sums`.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, DigestText>")]
    pub sha256: BTreeMap<String, chom_format::Digest>,
    /// Path pattern in the archive to path in the release; a trailing `/` takes the whole folder.
    pub members: BTreeMap<String, String>,
}

fn yes() -> bool {
    true
}
