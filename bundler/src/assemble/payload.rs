//! What the lock pins and the cache holds, in the form in which a bundle carries it.

use std::collections::{BTreeMap, BTreeSet};

use chom_format::exit::Explain;
use chom_format::manifest::Suite;
use chom_format::step::{Content, Deb, ReleaseFile};
use chom_format::{ComponentName, Digest, Exit, HostPath, HostState, Mode, PackageName, RelPath};

use super::index::index;
use super::{Packages, Part, PartOrigin, Payloads, Release, ids};
use crate::cache::Cache;
use crate::deb::{self, DebError};
use crate::lock::{Lock, PackagePin};
use crate::resolve::{Component, Host};
use crate::stack::component::{DebianPayload, Source, UpstreamPayload};
use crate::unpack::{Member, Members};
use crate::upstream::{self, UpstreamError};

/// Why the payloads of a host cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum PayloadError {
    /// A package could not be read.
    #[error("host {host}, {component}: {source}")]
    Deb {
        /// Which host.
        host: String,
        /// Which component.
        component: ComponentName,
        /// Why.
        source: Box<DebError>,
    },
    /// An upstream archive could not be read.
    #[error("host {host}, {component}: {source}")]
    Upstream {
        /// Which host.
        host: String,
        /// Which component.
        component: ComponentName,
        /// Why.
        source: Box<UpstreamError>,
    },
    /// The index of the packages could not be made.
    #[error("host {host}: {source}")]
    Index {
        /// Which host.
        host: String,
        /// Why.
        source: Box<DebError>,
    },
    /// The component file names something that cannot be.
    #[error("{file}: {message}")]
    Component {
        /// The component's file.
        file: String,
        /// What is wrong.
        message: String,
    },
}

impl Explain for PayloadError {
    fn exit(&self) -> Exit {
        match self {
            Self::Deb { source, .. } | Self::Index { source, .. } => source.exit(),
            Self::Upstream { source, .. } => source.exit(),
            Self::Component { .. } => Exit::BadInput,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Deb { source, .. } | Self::Index { source, .. } => source.hint(),
            Self::Upstream { source, .. } => source.hint(),
            Self::Component { .. } => Some("docs/components.md says how a payload is written".to_owned()),
        }
    }

    fn host(&self) -> HostState {
        HostState::NotConcerned
    }
}

/// The payloads of a host, all of which must be in the cache.
pub fn payloads(host: &Host, lock: &Lock, cache: &Cache) -> Result<Payloads, PayloadError> {
    let mut work = Work { host, lock, cache, releases: BTreeMap::new(), parts: BTreeSet::new() };
    let (mut roots, mut debs) = (BTreeSet::new(), BTreeMap::new());
    for component in host.enabled() {
        work.component(component, &mut roots, &mut debs)?;
    }
    let debs: Vec<Deb> = debs.into_values().collect();
    let packages = if debs.is_empty() {
        None
    } else {
        let index = index(cache, &debs).map_err(|source| PayloadError::Index {
            host: host.name.to_string(),
            source: Box::new(source),
        })?;
        Some(Packages { roots: roots.into_iter().collect(), debs, index })
    };
    let mut releases = BTreeMap::new();
    for (stack, files) in work.releases {
        if let Some(file) = host.stack_files.get(&stack) {
            releases.insert(stack, Release { dir: release_dir(&file.root, &files), files });
        }
    }
    Ok(Payloads { releases, packages, parts: work.parts.into_iter().collect() })
}

/// `<root>/releases/<id>`, where the id is that of the files' paths, modes and contents.
fn release_dir(root: &HostPath, files: &BTreeMap<RelPath, ReleaseFile>) -> HostPath {
    let mut text = String::new();
    for (path, file) in files {
        text.push_str(&format!("{path}\0{}\0{}\n", file.mode, file.content.sha256));
    }
    let id: String = Digest::of(text.as_bytes()).to_string().chars().take(12).collect();
    root.join(&ids::release(&id))
}

struct Work<'a> {
    host: &'a Host,
    lock: &'a Lock,
    cache: &'a Cache,
    releases: BTreeMap<ComponentName, BTreeMap<RelPath, ReleaseFile>>,
    parts: BTreeSet<Part>,
}

impl Work<'_> {
    fn component(
        &mut self,
        component: &Component,
        roots: &mut BTreeSet<PackageName>,
        debs: &mut BTreeMap<PackageName, Deb>,
    ) -> Result<(), PayloadError> {
        let Some(payload) = &component.file.payload else { return Ok(()) };
        match (component.source.unwrap_or(payload.source), &payload.debian, &payload.upstream) {
            (Source::Debian, Some(DebianPayload::Packages { .. }), _) => {
                let locked = self.lock.closure(&self.host.name, &component.name);
                let (asked, closure) = locked.ok_or_else(|| unlocked(component))?;
                roots.extend(asked);
                for deb in closure {
                    self.parts.insert(part_of(&deb, self.host.suite));
                    debs.insert(deb.name.clone(), deb);
                }
                Ok(())
            }
            (Source::Debian, Some(DebianPayload::Members { members, .. }), _) => {
                self.debian_members(component, members)
            }
            (Source::Upstream, _, Some(upstream)) => self.upstream_members(component, upstream),
            (Source::Debian, None, _) | (Source::Upstream, _, None) => {
                Err(wrong(component, "`payload.source` names a block that is not there".to_owned()))
            }
        }
    }

    fn debian_members(
        &mut self,
        component: &Component,
        members: &BTreeMap<HostPath, RelPath>,
    ) -> Result<(), PayloadError> {
        let carriers = self.lock.carriers(&self.host.name, &component.name);
        if carriers.is_empty() {
            return Err(unlocked(component));
        }
        let wanted: Vec<String> = members.keys().map(ToString::to_string).collect();
        let found = deb::members(self.cache, &carriers, &wanted).map_err(|source| PayloadError::Deb {
            host: self.host.name.to_string(),
            component: component.name.clone(),
            source: Box::new(source),
        })?;
        self.parts.extend(carriers.iter().map(|pin| carrier_part(pin, self.host.suite)));
        for (from, to) in members {
            let member = from.relative().and_then(|path| found.get(&path));
            let member = member.ok_or_else(|| wrong(component, format!("the package has no {from}")))?;
            self.place(component, to.clone(), member)?;
        }
        Ok(())
    }

    fn upstream_members(
        &mut self,
        component: &Component,
        payload: &UpstreamPayload,
    ) -> Result<(), PayloadError> {
        let locked = self.lock.upstream_of(&self.host.name, &component.name);
        let (url, pin) = locked.ok_or_else(|| unlocked(component))?;
        let fill = |pattern: &str| upstream::expand(pattern, &pin.version, self.host.arch);
        let wanted: Vec<String> = payload.members.keys().map(|from| fill(from)).collect();
        let found = upstream::members(self.cache, &pin.sha256, url, &wanted).map_err(|source| {
            PayloadError::Upstream {
                host: self.host.name.to_string(),
                component: component.name.clone(),
                source: Box::new(source),
            }
        })?;
        self.parts.insert(Part {
            name: component.name.to_string(),
            version: pin.version.clone(),
            sha256: pin.sha256,
            origin: PartOrigin::Upstream { url: url.to_owned() },
        });
        for (from, to) in &payload.members {
            for (path, member) in placed(&fill(from), &fill(to), &found) {
                let path = path.map_err(|message| wrong(component, message))?;
                self.place(component, path, member)?;
            }
        }
        Ok(())
    }

    fn place(&mut self, component: &Component, path: RelPath, member: &Member) -> Result<(), PayloadError> {
        let mode = Mode::from_bits(if member.executable { 0o755 } else { 0o644 });
        let content = Content { from: ids::object(&member.sha256), sha256: member.sha256, size: member.size };
        let files = self.releases.entry(component.stack.clone()).or_default();
        let file = ReleaseFile { mode, content };
        match files.insert(path.clone(), file.clone()) {
            Some(other) if other != file => {
                Err(wrong(component, format!("another component of the stack brings another {path}")))
            }
            _ => Ok(()),
        }
    }
}

// Where each found member goes: one file, or all files of a folder below another.
fn placed<'m>(from: &str, to: &str, found: &'m Members) -> Vec<(Result<RelPath, String>, &'m Member)> {
    let parse = |text: String| text.parse::<RelPath>().map_err(|error| error.to_string());
    let from = from.trim_start_matches('/');
    if !from.ends_with('/') {
        let member = found.iter().find(|(path, _)| path.as_str() == from);
        return member.into_iter().map(|(_, member)| (parse(to.to_owned()), member)).collect();
    }
    found
        .iter()
        .filter_map(|(path, member)| Some((path.as_str().strip_prefix(from)?, member)))
        .map(|(rest, member)| (parse(format!("{}/{rest}", to.trim_end_matches('/'))), member))
        .collect()
}

fn part_of(deb: &Deb, suite: Suite) -> Part {
    Part {
        name: deb.name.to_string(),
        version: deb.version.clone(),
        sha256: deb.content.sha256,
        origin: PartOrigin::Debian { arch: deb.arch.clone(), suite: suite.name() },
    }
}

fn carrier_part(pin: &PackagePin, suite: Suite) -> Part {
    // `pool/main/p/prometheus/prometheus_2.53.3_amd64.deb`
    let name = pin.file.name().split('_').next().unwrap_or_default().to_owned();
    let origin = PartOrigin::Debian { arch: pin.file.arch().to_owned(), suite: suite.name() };
    Part { name, version: pin.version.clone(), sha256: pin.sha256, origin }
}

fn unlocked(component: &Component) -> PayloadError {
    wrong(component, "chom.lock does not hold the payload of this component".to_owned())
}

fn wrong(component: &Component, message: String) -> PayloadError {
    PayloadError::Component { file: component.path.clone(), message }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(text: &str) -> Member {
        Member { sha256: Digest::of(text.as_bytes()), size: 1, executable: false }
    }

    #[test]
    fn files_and_folders_find_their_place() {
        let found: Members = ["g-1/bin/g", "g-1/public/a/b.js", "g-10/x"]
            .map(|path| (path.parse().unwrap(), member(path)))
            .into();
        let places = |from, to| -> Vec<String> {
            placed(from, to, &found).into_iter().map(|(path, _)| path.unwrap().to_string()).collect()
        };
        assert_eq!(places("g-1/bin/g", "bin/g"), ["bin/g"]);
        assert_eq!(places("g-1/", "bin/grafana/"), ["bin/grafana/bin/g", "bin/grafana/public/a/b.js"]);
        assert_eq!(places("gone", "x"), [""; 0]);
    }

    #[test]
    fn the_release_id_changes_with_path_mode_and_content_and_with_nothing_else() {
        let root: HostPath = "/opt/x".parse().unwrap();
        let file = |text: &str, mode| {
            let Member { sha256, size, .. } = member(text);
            let content = Content { from: ids::object(&sha256), sha256, size };
            ReleaseFile { mode: Mode::from_bits(mode), content }
        };
        let id = |path: &str, text: &str, mode| {
            release_dir(&root, &BTreeMap::from([(path.parse().unwrap(), file(text, mode))]))
        };
        assert_eq!(id("bin/a", "1", 0o755), id("bin/a", "1", 0o755));
        assert_eq!(id("bin/a", "1", 0o755).name().len(), 12);
        let others = [id("bin/b", "1", 0o755), id("bin/a", "2", 0o755), id("bin/a", "1", 0o644)];
        assert!(others.iter().all(|other| *other != id("bin/a", "1", 0o755)));
    }
}
