//! From rendered components and locked payloads to the manifest of one host, and the files that it draws on.
//!
//! The order of the steps is decided here, once, and stands in the manifest: packages, accounts and directories;
//! releases, validations and files; links, units and commands; the firewall last. Inside a phase components come
//! by `after`, then by name. Nothing here reads a template, writes an archive or asks the network: the same input
//! gives the same manifest to the byte.

mod backup;
mod expose;
mod ids;
mod index;
mod payload;
mod prepare;
mod runs;

use std::collections::{BTreeMap, BTreeSet};

use chom_format::manifest::{BundleInfo, FORMAT, HostIdentity, Manifest, Port, Requires};
use chom_format::step::{Content, Deb, Phases, ReleaseFile};
use chom_format::{CheckSpec, ComponentName, Digest, HostPath, PackageName, RelPath};

use crate::problem::{Problem, Problems};
use crate::render::{Releases, Rendered};
use crate::resolve::{Fleet, Host};

pub use payload::{PayloadError, payloads};

/// What comes from outside, for one host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Payloads {
    /// The release of each stack that has one.
    pub releases: BTreeMap<ComponentName, Release>,
    /// Whole packages, when any component wants some.
    pub packages: Option<Packages>,
    /// Every package and archive that was drawn on.
    pub parts: Vec<Part>,
}

impl Payloads {
    /// Where each stack's release will lie.
    pub fn dirs(&self) -> Releases {
        self.releases.iter().map(|(stack, release)| (stack.clone(), release.dir.clone())).collect()
    }
}

/// The files of one stack's release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// `<root>/releases/<id>`; the id is derived from the files.
    pub dir: HostPath,
    /// By path in the release.
    pub files: BTreeMap<RelPath, ReleaseFile>,
}

/// Whole packages with their closure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packages {
    /// Asked for.
    pub roots: Vec<PackageName>,
    /// Asked for, and what those need.
    pub debs: Vec<Deb>,
    /// The `Packages` index of `debs`.
    pub index: String,
}

/// One payload as the bill of materials names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Part {
    /// Package, or the component of an upstream archive.
    pub name: String,
    /// Full version.
    pub version: String,
    /// Of the `.deb` or archive.
    pub sha256: Digest,
    /// What kind of payload.
    pub origin: PartOrigin,
}

/// Where a payload comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum PartOrigin {
    /// A Debian package.
    Debian {
        /// Debian's name of the processor, or `all`.
        arch: String,
        /// The release.
        suite: &'static str,
    },
    /// A project's own archive.
    Upstream {
        /// Its address.
        url: String,
    },
}

/// A bundle, but for the archive around it.
#[derive(Debug, Clone, PartialEq)]
pub struct Assembled {
    /// What the installer will do.
    pub manifest: Manifest,
    /// What the manifest draws on, by path in the bundle.
    pub contents: BTreeMap<RelPath, Source>,
    /// For the bill of materials.
    pub parts: Vec<Part>,
    /// What is odd, but no reason to stop.
    pub warnings: Vec<Problem>,
}

/// Where the bytes of a file of the bundle are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Here.
    Bytes(Vec<u8>),
    /// In the cache, under this digest.
    Object {
        /// The object's name.
        sha256: Digest,
        /// Its length in bytes.
        size: u64,
    },
}

/// Puts the bundle of one host together; `lock` is the digest of `chom.lock`.
pub fn assemble(
    fleet: &Fleet,
    host: &Host,
    rendered: &Rendered,
    payloads: &Payloads,
    lock: Digest,
) -> Result<Assembled, Problems> {
    let mut work = Work { fleet, host, rendered, payloads, contents: BTreeMap::new(), problems: Vec::new() };
    let phases = Phases {
        prepare: work.prepare(),
        install: work.install(),
        activate: work.activate(),
        expose: work.expose(),
    };
    let backup = work.backup();
    let manifest = Manifest {
        format: FORMAT,
        host: identity(host),
        bundle: BundleInfo {
            version: fleet.version.clone(),
            tool: concat!("chom-bundle ", env!("CARGO_PKG_VERSION")).to_owned(),
            lock_sha256: lock,
        },
        requires: requires(host),
        ports: ports(rendered),
        phases,
        checks: work.checks(),
        metrics: metrics(rendered),
        backup,
    };
    for id in manifest.duplicate_ids() {
        work.problems.push(Problem::whole(
            id.as_str(),
            "two steps have this id",
            "give one of them another name",
        ));
    }
    work.twins();
    Problems::check(work.problems)?;
    let mut warnings = rendered.warnings.clone();
    warnings.extend(too_small(host, &manifest.requires));
    Ok(Assembled { manifest, contents: work.contents, parts: payloads.parts.clone(), warnings })
}

/// One host's assembling.
struct Work<'a> {
    fleet: &'a Fleet,
    host: &'a Host,
    rendered: &'a Rendered,
    payloads: &'a Payloads,
    contents: BTreeMap<RelPath, Source>,
    problems: Vec<Problem>,
}

impl Work<'_> {
    fn checks(&mut self) -> Vec<CheckSpec> {
        let mut checks: Vec<CheckSpec> = Vec::new();
        for component in &self.rendered.components {
            for check in &component.checks {
                let id = ids::of(&component.name, check.value.id.as_str());
                if checks.iter().any(|other| other.id == id) {
                    let message = format!("a check {id} is there already");
                    self.problems
                        .push(check.at.problem(message, "give each check of a component its own id"));
                }
                checks.push(CheckSpec {
                    id,
                    component: component.name.clone(),
                    severity: check.value.severity,
                    deadline_s: check.value.deadline,
                    probe: check.value.probe.clone(),
                });
            }
        }
        checks
    }

    /// Adds bytes to the bundle and says how a step names them.
    fn content(&mut self, path: RelPath, bytes: Vec<u8>) -> Content {
        let content = Content { from: path.clone(), sha256: Digest::of(&bytes), size: bytes.len() as u64 };
        self.contents.insert(path, Source::Bytes(bytes));
        content
    }

    // Paths that differ in case only are refused by whoever opens the bundle, so they must not get that far.
    fn twins(&mut self) {
        let mut seen: BTreeMap<String, &RelPath> = BTreeMap::new();
        for path in self.contents.keys() {
            if let Some(first) = seen.insert(path.as_str().to_lowercase(), path) {
                let message = format!("it differs from {first} in upper and lower case only");
                self.problems.push(Problem::whole(path.as_str(), message, "rename one of the two files"));
            }
        }
    }
}

fn identity(host: &Host) -> HostIdentity {
    let mut hostnames = vec![host.name.to_string()];
    if host.fqdn != host.name.as_str() {
        hostnames.push(host.fqdn.clone());
    }
    HostIdentity {
        name: host.name.clone(),
        hostnames,
        machine_id: host.machine_id.clone(),
        ssh_host_keys: host.ssh.host_key.clone().into_iter().collect(),
        arch: host.arch,
        suite: host.suite,
    }
}

// Processors are shared by the stacks of a host; memory and disk are not.
fn requires(host: &Host) -> Requires {
    let wanted =
        || host.stacks.iter().filter_map(|stack| host.stack_files.get(stack)).map(|file| &file.requires);
    Requires {
        cpus: wanted().map(|requires| requires.cpu).max().unwrap_or_default(),
        memory_mb: wanted().map(|requires| requires.memory_mb).sum(),
        disk_gb: wanted().map(|requires| requires.disk_gb).sum(),
    }
}

fn too_small(host: &Host, requires: &Requires) -> Vec<Problem> {
    let specs = &host.specs;
    [
        ("cpu", specs.cpu.map(u64::from), u64::from(requires.cpus), "processors"),
        ("memory_mb", specs.memory_mb, requires.memory_mb, "MiB of memory"),
        ("disk_gb", specs.disk_gb, requires.disk_gb, "GiB of disk"),
    ]
    .into_iter()
    .filter_map(|(key, has, wanted, unit)| {
        let has = has.filter(|has| *has < wanted)?;
        let message = format!("host {} has {has} {unit}, and its stacks ask for {wanted}", host.name);
        let remedy =
            format!("the installer will refuse: give the host more, or mend hosts.{}.specs.{key}", host.name);
        Some(Problem::whole("inventory", message, remedy))
    })
    .collect()
}

fn ports(rendered: &Rendered) -> Vec<Port> {
    let all = rendered.components.iter().flat_map(|component| &component.ports);
    let ports: BTreeMap<u16, Port> = all
        .map(|port| (port.value.port, Port { port: port.value.port, unit: port.value.unit.clone() }))
        .collect();
    ports.into_values().collect()
}

fn metrics(rendered: &Rendered) -> Vec<HostPath> {
    let dirs = rendered.components.iter().flat_map(|component| &component.dirs);
    let paths: BTreeSet<HostPath> =
        dirs.filter(|dir| dir.value.metrics).map(|dir| dir.value.path.clone()).collect();
    paths.into_iter().collect()
}

#[cfg(test)]
pub(crate) mod tests;
