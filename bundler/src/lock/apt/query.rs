//! Questions to a private apt root: what would be installed, and what the index says of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chom_format::PackageName;

use super::parse::{self, Record};
use super::root::{AptRoot, missing};
use crate::child::{Child, ChildError};
use crate::lock::error::LockError;
use crate::lock::model::PackagePin;

const TIMEOUT: Duration = Duration::from_secs(120);

/// What the host has.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Status<'a> {
    /// What every Debian host has.
    Minimal,
    /// Nothing.
    Empty,
    /// What this dpkg status file says.
    File(&'a Path),
}

/// Questions, all seen from the same host and with the same preferences.
pub(crate) struct Query<'a> {
    root: &'a AptRoot,
    status: PathBuf,
    preferences: PathBuf,
}

impl<'a> Query<'a> {
    pub(super) fn new(root: &'a AptRoot, status: Status<'_>, preferences: PathBuf) -> Self {
        let status = match status {
            Status::Minimal => root.minimal(),
            Status::Empty => root.empty(),
            Status::File(path) => std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
        };
        Self { root, status, preferences }
    }

    /// The packages that installing these would bring, with what the index says of each.
    pub(crate) fn closure(&self, roots: &[PackageName]) -> Result<Vec<(PackageName, PackagePin)>, LockError> {
        let names: Vec<String> = roots.iter().map(ToString::to_string).collect();
        self.pins(self.closure_of(&names)?)
    }

    /// Whether these can be installed at all.
    pub(crate) fn check(&self, roots: &[PackageName]) -> Result<(), LockError> {
        let names: Vec<String> = roots.iter().map(ToString::to_string).collect();
        self.closure_of(&names).map(|_| ())
    }

    /// The packages that carry the members of a package: itself, and those of the same source that it depends
    /// on, since releases differ in how they split one source into packages.
    pub(crate) fn carriers(
        &self,
        package: &PackageName,
    ) -> Result<Vec<(PackageName, PackagePin)>, LockError> {
        let own = self.candidates(&[package.to_string()])?;
        let own = own.into_iter().next().ok_or_else(|| LockError::Unresolvable {
            archive: self.root.archive,
            roots: vec![package.clone()],
            stderr: format!("E: Unable to locate package {package}"),
        })?;
        let records = self.records(std::slice::from_ref(&own))?;
        let record = records.get(&own).ok_or_else(|| self.root.index(format!("{package} has no record")))?;
        let source = parse::source(&record.fields);
        let neighbours = self.candidates(&parse::depends(&record.fields))?;
        let same = self
            .records(&neighbours)?
            .into_iter()
            .filter(|(_, other)| parse::source(&other.fields) == source);
        let mut keys = vec![own.clone()];
        keys.extend(same.map(|(key, _)| key).filter(|key| *key != own));
        let mut pins = self.pins(keys)?;
        pins.sort_by_key(|(name, _)| (name != package, name.clone()));
        Ok(pins)
    }

    // Names that no archive carries, such as those that are only provided by others, are left out.
    fn candidates(&self, names: &[String]) -> Result<Vec<(String, String)>, LockError> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let text = self.apt("apt-cache").arg("policy").args(names).output().map_err(missing)?;
        Ok(parse::candidates(&text))
    }

    pub(super) fn closure_of(&self, names: &[String]) -> Result<Vec<(String, String)>, LockError> {
        // Four times as fast as a simulation, which would name the packages that have to go.
        let install = ["-qq", "-y", "--no-remove", "--print-uris", "install"];
        match self.apt("apt-get").args(install).args(names).output() {
            Ok(text) => Ok(parse::downloads(&text)),
            Err(error) => Err(self.refused(error, names)),
        }
    }

    pub(super) fn records(
        &self,
        wanted: &[(String, String)],
    ) -> Result<BTreeMap<(String, String), Record>, LockError> {
        if wanted.is_empty() {
            return Ok(BTreeMap::new());
        }
        let exact = wanted.iter().map(|(name, version)| format!("{name}={version}"));
        let text = self.apt("apt-cache").arg("show").args(exact).output().map_err(missing)?;
        let mut all = parse::records(&text);
        let mut found = BTreeMap::new();
        for key in wanted {
            let record = all
                .remove(key)
                .ok_or_else(|| self.root.index(format!("no archive carries {} {}", key.0, key.1)))?;
            found.insert(key.clone(), record);
        }
        Ok(found)
    }

    fn pins(&self, wanted: Vec<(String, String)>) -> Result<Vec<(PackageName, PackagePin)>, LockError> {
        let records = self.records(&wanted)?;
        let suites = self.suites(&wanted)?;
        let mut pins = Vec::new();
        for (key, record) in records {
            let name = key.0.parse().map_err(|error| self.root.index(format!("{error}")))?;
            let suite = suites.get(&key).and_then(|suites| self.steadiest(suites));
            let suite =
                suite.ok_or_else(|| self.root.index(format!("no suite carries {} {}", key.0, key.1)))?;
            let Record { size, installed_kb, sha256, file, .. } = record;
            pins.push((name, PackagePin { version: key.1, suite, size, installed_kb, sha256, file }));
        }
        Ok(pins)
    }

    fn suites(
        &self,
        wanted: &[(String, String)],
    ) -> Result<BTreeMap<(String, String), Vec<String>>, LockError> {
        if wanted.is_empty() {
            return Ok(BTreeMap::new());
        }
        let names = wanted.iter().map(|(name, _)| name.clone());
        let text = self.apt("apt-cache").arg("madison").args(names).output().map_err(missing)?;
        Ok(parse::suites(&text))
    }

    // The release proper keeps its packages longest, so it is named where it carries the version.
    fn steadiest(&self, suites: &[String]) -> Option<String> {
        let release = self.root.archive.suite.name();
        suites
            .iter()
            .min_by_key(|suite| (*suite != release, suite.as_str() != format!("{release}-updates")))
            .cloned()
    }

    fn apt(&self, program: &str) -> Child {
        let option = |key: &str, path: &Path| {
            let mut text = std::ffi::OsString::from(key);
            text.push(path);
            text
        };
        self.root
            .child(program, TIMEOUT)
            .args(["-o".into(), option("Dir::State::status=", &self.status)])
            .args(["-o".into(), option("Dir::Etc::preferences=", &self.preferences)])
    }

    fn refused(&self, error: ChildError, names: &[String]) -> LockError {
        let ChildError::Failed { stderr, .. } = error else { return missing(error) };
        let (archive, roots) =
            (self.root.archive, names.iter().filter_map(|name| name.parse().ok()).collect());
        // Less quiet than before: the dependencies that cannot be met are told on standard output.
        let said = self.apt("apt-get").args(["-s", "-q", "-y", "install"]).args(names).said();
        let removed = parse::removals(&said);
        if removed.is_empty() {
            let reasons = parse::reasons(&said).unwrap_or(stderr);
            return LockError::Unresolvable { archive, roots, stderr: reasons };
        }
        LockError::Removes { archive, roots, removed }
    }
}
