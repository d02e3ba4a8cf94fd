//! The entries of a component once they are filled in: typed, and each with the place that it came from.

use std::fmt;
use std::sync::Arc;

use chom_format::backup::BackupSource;
use chom_format::check::{Probe, Severity};
use chom_format::step::Owner;
use chom_format::{AccountName, ComponentName, HostName, HostPath, Mode, RelPath, StepId, UnitName};
use serde::Deserialize;

use super::{fields, sources};
use crate::problem::Problem;

/// Where something was written: a path of keys and indices in a component file.
#[derive(Debug, Clone)]
pub struct Spot {
    component: Arc<sources::Component>,
    path: Vec<String>,
}

impl Spot {
    pub(super) fn new(component: Arc<sources::Component>, path: Vec<String>) -> Self {
        Self { component, path }
    }

    /// Line and column, from 1; zeros when they are not known.
    pub fn place(&self) -> (usize, usize) {
        self.component.nearest(&self.path).map(|node| node.place.at()).unwrap_or_default()
    }

    /// A problem at this place.
    pub fn problem(&self, message: impl Into<String>, remedy: impl Into<String>) -> Problem {
        Problem::at(&*self.component.file.shown, self.place(), self.path.join("."), message, remedy)
    }
}

impl PartialEq for Spot {
    fn eq(&self, other: &Self) -> bool {
        (&self.component.file.shown, &self.path) == (&other.component.file.shown, &other.path)
    }
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.component.file.shown, self.place().0)
    }
}

/// A value with its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Placed<T> {
    /// The entry's place in its component file.
    pub at: Spot,
    /// The entry.
    pub value: T,
}

/// All that one host is to have.
#[derive(Debug, Clone, PartialEq)]
pub struct Rendered {
    /// Which host.
    pub host: HostName,
    /// Its enabled components, in the order of their steps.
    pub components: Vec<RenderedComponent>,
    /// What is odd, but no reason to stop.
    pub warnings: Vec<Problem>,
}

/// All that one component brings.
#[derive(Debug, Clone, PartialEq)]
pub struct RenderedComponent {
    /// Which component.
    pub name: ComponentName,
    /// The stack of the host that brings it.
    pub stack: ComponentName,
    /// System accounts.
    pub accounts: Vec<Placed<Account>>,
    /// Directories.
    pub dirs: Vec<Placed<Dir>>,
    /// Files with their content.
    pub files: Vec<Placed<File>>,
    /// Symbolic links.
    pub links: Vec<Placed<Link>>,
    /// What must not be there.
    pub absent: Vec<Placed<Absent>>,
    /// Staged validations.
    pub validate: Vec<Placed<Validate>>,
    /// Units, with their files when we bring them.
    pub units: Vec<Placed<Unit>>,
    /// Commands.
    pub commands: Vec<Placed<Command>>,
    /// Ports.
    pub ports: Vec<Placed<Port>>,
    /// What Prometheus collects.
    pub scrape: Vec<Placed<Scrape>>,
    /// Checks.
    pub checks: Vec<Placed<Check>>,
    /// What is backed up.
    pub backup: Vec<Placed<Backup>>,
}

/// `refuse:`, an entry that is left when its `when` holds
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// The setting that is wrong; `enabled` where it is the component itself; `other.setting` of another component.
    pub setting: String,
    /// What is wrong.
    pub message: String,
    /// What mends it.
    pub remedy: String,
}

/// `accounts:`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// User and group.
    pub name: AccountName,
    /// Home directory; without one it is an account that the component's packages bring, and no step makes it.
    #[serde(default)]
    pub home: Option<HostPath>,
    /// Further groups.
    #[serde(default)]
    pub groups: Vec<AccountName>,
}

/// `dirs:`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dir {
    /// Where.
    pub path: HostPath,
    /// Permission bits.
    pub mode: Mode,
    /// User and group.
    #[serde(deserialize_with = "fields::owner")]
    pub owner: Owner,
    /// Holds what a service writes.
    #[serde(default)]
    pub data: bool,
    /// Read by an exporter: the installer leaves figures of its own in it.
    #[serde(default)]
    pub metrics: bool,
}

/// `files:`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Where.
    pub path: HostPath,
    /// The template that it came from, if any.
    #[serde(default)]
    pub template: Option<String>,
    /// Its text.
    #[serde(default)]
    pub content: String,
    /// Permission bits.
    pub mode: Mode,
    /// User and group.
    #[serde(deserialize_with = "fields::owner")]
    pub owner: Owner,
    /// Units that a change restarts.
    #[serde(default, deserialize_with = "fields::one_or_more")]
    pub restart: Vec<UnitName>,
    /// Units that a change reloads.
    #[serde(default, deserialize_with = "fields::one_or_more")]
    pub reload: Vec<UnitName>,
}

/// `links:`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// Where the link lies.
    pub path: HostPath,
    /// Its text.
    pub target: String,
    /// Units that a change restarts.
    #[serde(default, deserialize_with = "fields::one_or_more")]
    pub restart: Vec<UnitName>,
    /// Units that a change reloads.
    #[serde(default, deserialize_with = "fields::one_or_more")]
    pub reload: Vec<UnitName>,
}

/// `absent:`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Absent {
    /// Which path.
    pub path: HostPath,
    /// Units that a change restarts.
    #[serde(default, deserialize_with = "fields::one_or_more")]
    pub restart: Vec<UnitName>,
    /// Units that a change reloads.
    #[serde(default, deserialize_with = "fields::one_or_more")]
    pub reload: Vec<UnitName>,
}

/// `validate:`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Validate {
    /// Program and arguments.
    #[serde(deserialize_with = "fields::scalars")]
    pub argv: Vec<String>,
    /// The directory under test.
    pub tree: HostPath,
    /// In seconds.
    #[serde(deserialize_with = "fields::duration", default = "fields::half_a_minute")]
    pub timeout: u32,
}

/// `units:`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unit {
    /// Which unit.
    pub name: UnitName,
    /// The template that its file came from, if any.
    #[serde(default)]
    pub template: Option<String>,
    /// Its file's text; absent when a package brings the unit.
    #[serde(default)]
    pub content: Option<String>,
    /// Members of the release that it runs.
    #[serde(default)]
    pub runs: Vec<RelPath>,
    /// Start at boot.
    #[serde(default = "fields::yes")]
    pub enable: bool,
    /// Run now.
    #[serde(default = "fields::yes")]
    pub start: bool,
    /// What it changes outside its data when it starts, reloads or stops.
    #[serde(default)]
    pub writes: Vec<HostPath>,
    /// For start, reload and stop, in seconds.
    #[serde(deserialize_with = "fields::duration", default = "fields::ninety")]
    pub timeout: u32,
}

/// `commands:`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// Its name in the component.
    pub id: StepId,
    /// Program and arguments.
    #[serde(deserialize_with = "fields::scalars")]
    pub argv: Vec<String>,
    /// Run as this user.
    #[serde(default)]
    pub user: Option<AccountName>,
    /// Exit 0 means that nothing is to be done.
    #[serde(default, deserialize_with = "fields::scalars")]
    pub unless: Vec<String>,
    /// Paths that it may change.
    #[serde(default)]
    pub touches: Vec<HostPath>,
    /// It changes what nothing can put back.
    #[serde(default)]
    pub irreversible: bool,
    /// In seconds.
    #[serde(deserialize_with = "fields::duration", default = "fields::ninety")]
    pub timeout: u32,
}

/// `ports:`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Port {
    /// TCP port.
    pub port: u16,
    /// The unit that owns it.
    pub unit: UnitName,
    /// Who may reach it.
    pub open: Open,
}

/// Who may reach a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Open {
    /// Nobody from outside.
    No,
    /// Anyone.
    Public,
    /// The other hosts that run this component.
    PeersWith(ComponentName),
}

/// `scrape:`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scrape {
    /// The job's name.
    pub job: String,
    /// TCP port.
    pub port: u16,
    /// Path of the metrics.
    #[serde(default = "fields::metrics")]
    pub path: String,
    /// `http` or `https`.
    #[serde(default = "fields::http")]
    pub scheme: String,
    /// Reachable on the host itself only.
    #[serde(default)]
    pub local: bool,
}

/// `checks:`
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// Its name in the component.
    pub id: StepId,
    /// What a failure means.
    pub severity: Severity,
    /// In seconds.
    pub deadline: u32,
    /// The probe.
    pub probe: Probe,
}

/// `backup:`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// Its name in the component.
    pub id: ComponentName,
    /// It may not be larger, in bytes.
    pub limit: u64,
    /// Services that write to it.
    pub stop: Vec<UnitName>,
    /// For each program that reads or writes it, in seconds.
    pub timeout: u32,
    /// What it is.
    pub source: BackupSource,
}

impl Unit {
    /// Where its file lies, when we bring it.
    pub fn path(&self) -> Option<HostPath> {
        self.content.as_ref()?;
        format!("/etc/systemd/system/{}", self.name).parse().ok()
    }
}
