//! Steps: the units of change, and so of reversion.
//!
//! A step stands in one typed phase. The phases have an enum each, so a firewall change among the
//! packages, or a package among the units, does not parse; the engine sees one [`StepSpec`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::mode::Mode;
use crate::name::{AccountName, ComponentName, PackageName, StepId, UnitName};
use crate::path::{HostPath, RelPath};

/// One step of a phase, with the component that wants it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step<S> {
    /// Unique in the manifest.
    pub id: StepId,
    /// The component that this step belongs to.
    pub component: ComponentName,
    /// What is to be true afterwards.
    pub spec: S,
}

/// The steps of a bundle by phase, in the order in which they run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phases {
    /// Packages, accounts, directories.
    pub prepare: Vec<Step<PrepareSpec>>,
    /// Releases, staged validation, files.
    pub install: Vec<Step<InstallSpec>>,
    /// Links and units.
    pub activate: Vec<Step<ActivateSpec>>,
    /// The firewall, after the checks have passed.
    pub expose: Vec<Step<ExposeSpec>>,
}

/// The name of a phase, as plan, journal and progress print it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Packages, accounts, directories.
    Prepare,
    /// Releases, staged validation, files.
    Install,
    /// Links and units.
    Activate,
    /// The firewall.
    Expose,
}

macro_rules! phase_spec {
    ($(#[$doc:meta])* $type:ident { $($variant:ident($spec:ident)),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(tag = "kind", rename_all = "lowercase")]
        pub enum $type {
            $(#[allow(missing_docs, reason = "the variant is named after the spec that it holds")] $variant($spec)),+
        }
        impl From<$type> for StepSpec {
            fn from(spec: $type) -> Self {
                match spec { $($type::$variant(spec) => Self::$variant(spec)),+ }
            }
        }
    };
}

phase_spec! {
    /// What the `prepare` phase may hold.
    PrepareSpec { Packages(PackagesSpec), Account(AccountSpec), Dir(DirSpec) }
}
phase_spec! {
    /// What the `install` phase may hold.
    InstallSpec { Release(ReleaseSpec), Validate(ValidateSpec), File(FileSpec), Dir(DirSpec), Link(LinkSpec), Absent(AbsentSpec) }
}
phase_spec! {
    /// What the `activate` phase may hold.
    ActivateSpec { Link(LinkSpec), Unit(UnitSpec), Command(CommandSpec) }
}
phase_spec! {
    /// What the `expose` phase may hold.
    ExposeSpec { Firewall(FirewallSpec) }
}

/// Any step, as the engine sees it once the phases have been read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
#[allow(missing_docs, reason = "each variant is named after the spec that it holds")]
pub enum StepSpec {
    Packages(PackagesSpec),
    Account(AccountSpec),
    Dir(DirSpec),
    Release(ReleaseSpec),
    Validate(ValidateSpec),
    File(FileSpec),
    Link(LinkSpec),
    Absent(AbsentSpec),
    Unit(UnitSpec),
    Command(CommandSpec),
    Firewall(FirewallSpec),
}

/// Bytes inside the bundle, known by digest before they are used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Content {
    /// Where in the bundle: `files/...` for rendered text, `objects/<sha256>` for a payload.
    pub from: RelPath,
    /// Of the whole content.
    pub sha256: Digest,
    /// In bytes.
    pub size: u64,
}

/// Debian packages from the bundle, and nothing but the bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackagesSpec {
    /// The packages that are asked for. Installed when missing or older than in `packages`; a newer one is left alone.
    pub roots: Vec<PackageName>,
    /// The closure that may be drawn on: roots and what they depend on.
    pub packages: Vec<Deb>,
    /// A Debian `Packages` index of exactly these; `Filename` is `./<Deb::file_name>`.
    pub index: Content,
}

/// One `.deb` of a closure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deb {
    /// Package name.
    pub name: PackageName,
    /// Full Debian version with epoch and revision.
    pub version: String,
    /// Debian architecture: `amd64`, `arm64` or `all`.
    pub arch: String,
    /// Space on disk once installed, in KiB, as its control file says.
    pub installed_kb: u64,
    /// The archive itself.
    pub content: Content,
}

impl Deb {
    /// The name of the archive in the private repository: `nginx_1.26.3-3_amd64.deb`, `:` as `%3a`.
    pub fn file_name(&self) -> String {
        format!("{}_{}_{}.deb", self.name, self.version.replace(':', "%3a"), self.arch)
    }
}

/// A system account with its group of the same name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountSpec {
    /// User and primary group.
    pub name: AccountName,
    /// Home directory; it is not created.
    pub home: HostPath,
    /// Further groups; they must exist by then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<AccountName>,
}

/// Owner and group of a path, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Owner {
    /// User name.
    pub user: AccountName,
    /// Group name.
    pub group: AccountName,
}

/// A directory with its mode and owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DirSpec {
    /// Where.
    pub path: HostPath,
    /// Permission bits.
    pub mode: Mode,
    /// User and group.
    pub owner: Owner,
    /// Holds what a service writes: kept in the attic, never deleted, when the step is taken back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub data: bool,
}

/// A file with its whole content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSpec {
    /// Where.
    pub path: HostPath,
    /// Its bytes.
    pub content: Content,
    /// Permission bits.
    pub mode: Mode,
    /// User and group.
    pub owner: Owner,
}

/// A symbolic link. Replaced by one rename, so that a switch is one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkSpec {
    /// Where the link lies.
    pub path: HostPath,
    /// Its text, absolute or relative.
    pub target: String,
}

/// A path that must not be there, such as a distribution's default site. Only a file or a link is removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AbsentSpec {
    /// Which path.
    pub path: HostPath,
}

/// A directory of payload files that never changes once it is there: its name is derived from its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseSpec {
    /// The release's own directory: `/opt/observability/releases/<id>`.
    pub dir: HostPath,
    /// User and group of all that is in it.
    pub owner: Owner,
    /// Every file, by path below `dir`.
    pub files: BTreeMap<RelPath, ReleaseFile>,
}

/// One file of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseFile {
    /// Permission bits.
    pub mode: Mode,
    /// Its bytes.
    pub content: Content,
}

/// A service's own program checks its configuration before any of it is in place.
///
/// The files of the steps in `guards` are laid over a copy of `tree`, the copy is mounted at `tree` in a
/// private mount namespace, and `argv` runs there. It runs only when a guarded step changes something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValidateSpec {
    /// Program and arguments; never a shell string.
    pub argv: Vec<String>,
    /// The directory that is seen with the new files in it.
    pub tree: HostPath,
    /// Steps whose files are under test.
    pub guards: Vec<StepId>,
    /// In seconds.
    pub timeout_s: u32,
}

/// A systemd unit: enabled or not, running, and what of its inputs asks for a reload or a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnitSpec {
    /// Which unit.
    pub unit: UnitName,
    /// Start at boot.
    pub enable: bool,
    /// Run now.
    pub start: bool,
    /// A change below one of these paths needs a restart.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub restart_on: Vec<HostPath>,
    /// A change below one of these paths needs no more than a reload.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reload_on: Vec<HostPath>,
    /// Programs that it runs: a restart is due when the content found behind the path differs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub runs: BTreeMap<HostPath, Digest>,
    /// Paths that it changes outside its data when it starts, reloads or stops: saved before, put back once it is stopped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub writes: Vec<HostPath>,
    /// For start, reload and stop, each, in seconds.
    pub timeout_s: u32,
}

/// A command for what no other kind covers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandSpec {
    /// Program and arguments; never a shell string.
    pub argv: Vec<String>,
    /// Run as this user instead of root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<AccountName>,
    /// Exit 0 of this command means that nothing is to be done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unless: Vec<String>,
    /// Paths that it may change: saved before, put back after a failure.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub touches: Vec<HostPath>,
    /// It changes what nothing can put back. Refused unless the operator names the step.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub irreversible: bool,
    /// In seconds.
    pub timeout_s: u32,
}

/// Openings in the host's firewall. Rules carry our tag; others are never touched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FirewallSpec {
    /// Rules wanted, one per port and source.
    pub rules: Vec<Rule>,
    /// The ssh port that the inventory states; what sshd really listens on is added on the host.
    pub ssh_port: u16,
}

/// One opening.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Destination port.
    pub port: u16,
    /// `tcp` or `udp`.
    pub proto: Proto,
    /// Source address or network; anyone when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Why: the component, and the peer when there is one. It becomes part of the tag.
    pub why: String,
}

/// Transport of a firewall rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "named after the protocols")]
pub enum Proto {
    Tcp,
    Udp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_firewall_step_parses_in_expose_only() {
        let step = r#"{"id":"firewall/rules","component":"firewall","spec":{"kind":"firewall","rules":[],"ssh_port":22}}"#;
        assert!(serde_json::from_str::<Step<ExposeSpec>>(step).is_ok());
        assert!(serde_json::from_str::<Step<PrepareSpec>>(step).is_err());
        assert!(serde_json::from_str::<Step<InstallSpec>>(step).is_err());
        assert!(serde_json::from_str::<Step<ActivateSpec>>(step).is_err());
    }

    #[test]
    fn an_unknown_field_is_an_error() {
        let step = r#"{"kind":"absent","path":"/etc/x","recurse":true}"#;
        assert!(serde_json::from_str::<InstallSpec>(step).unwrap_err().to_string().contains("recurse"));
    }

    #[test]
    fn an_epoch_is_written_as_apt_writes_it() {
        let deb = Deb {
            name: "nginx".parse().unwrap(),
            version: "1:1.2-3".into(),
            arch: "amd64".into(),
            installed_kb: 1,
            content: Content { from: "objects/x".parse().unwrap(), sha256: Digest::of(b""), size: 0 },
        };
        assert_eq!(deb.file_name(), "nginx_1%3a1.2-3_amd64.deb");
    }
}
