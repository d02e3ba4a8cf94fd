//! From what hosts need to what each payload is, to the byte.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::thread;

use chom_format::{ComponentName, HostName, PackageName};

use super::apt::{AptOptions, AptRoot, Query, Status};
use super::archive_id::ArchiveId;
use super::error::LockError;
use super::machine;
use super::model::{Archive, BasePin, Closure, HostPins, LOCK_FORMAT, Lock, PackagePin, ReleasePin};
use super::request::{Base, HostRequest, LockRequest};
use super::sources::MirrorSet;
use crate::cache::Cache;
use crate::fetch::{FetchOptions, Progress};
use crate::upstream;

/// How to resolve.
#[derive(Debug, Clone)]
pub struct LockOptions {
    /// Where indexes and upstream archives are kept.
    pub cache: Cache,
    /// Debian's keyring, when it is not where Debian's package puts it.
    pub keyring: Option<PathBuf>,
    /// Resolve everything afresh; otherwise what still is an answer to the request stays as it is.
    pub update: bool,
    /// How checksums and upstream archives are fetched, and whether anything may be.
    pub fetch: FetchOptions,
}

/// Resolves a request. `previous` is the lock that is to change as little as possible.
pub fn resolve(
    request: &LockRequest,
    previous: Option<&Lock>,
    options: &LockOptions,
    progress: &dyn Progress,
) -> Result<Lock, LockError> {
    let kept = previous.filter(|_| !options.update);
    let mut groups: BTreeMap<ArchiveId, Vec<&HostRequest>> = BTreeMap::new();
    for host in &request.hosts {
        groups.entry(host.archive()).or_default().push(host);
    }
    let mut lock = Lock {
        format: LOCK_FORMAT,
        hosts: BTreeMap::new(),
        archives: BTreeMap::new(),
        upstream: upstream::pins(request, kept, options, progress)?,
    };
    for (id, group) in resolve_groups(groups, request, kept, options, progress)? {
        if !group.archive.packages.is_empty() {
            lock.archives.insert(id, group.archive);
        }
        lock.hosts.extend(group.hosts);
    }
    Ok(lock)
}

/// The answer for all hosts of one release and processor.
struct Group {
    archive: Archive,
    hosts: Vec<(HostName, HostPins)>,
}

// Each release and processor has a root of its own, so they are resolved at the same time.
fn resolve_groups(
    groups: BTreeMap<ArchiveId, Vec<&HostRequest>>,
    request: &LockRequest,
    kept: Option<&Lock>,
    options: &LockOptions,
    progress: &dyn Progress,
) -> Result<Vec<(ArchiveId, Group)>, LockError> {
    thread::scope(|scope| {
        let started: Vec<_> = groups
            .into_iter()
            .map(|(id, hosts)| {
                (id, scope.spawn(move || resolve_group(id, &hosts, request, kept, options, progress)))
            })
            .collect();
        let finished = started.into_iter().map(|(id, handle)| {
            let group = handle.join().unwrap_or_else(|_| {
                Err(LockError::Index { archive: id, problem: "the resolver broke down".to_owned() })
            })?;
            Ok((id, group))
        });
        finished.collect()
    })
}

fn resolve_group(
    id: ArchiveId,
    hosts: &[&HostRequest],
    request: &LockRequest,
    kept: Option<&Lock>,
    options: &LockOptions,
    progress: &dyn Progress,
) -> Result<Group, LockError> {
    if let Some(group) = kept.and_then(|lock| unchanged(lock, id, hosts)) {
        return Ok(group);
    }
    if hosts.iter().all(|host| host.packages.is_empty() && host.members.is_empty()) {
        let hosts = hosts
            .iter()
            .map(|host| (host.host.clone(), pins(host, Closures::new(), Members::new())))
            .collect();
        return Ok(Group { archive: Archive::default(), hosts });
    }
    let mirrors: MirrorSet = machine::mirrors(&request.mirrors)?;
    let keyring = machine::keyring(options.keyring.as_deref())?;
    progress.note(&format!("resolving {id}"));
    let apt = AptOptions { keyring: &keyring, update: options.update, offline: options.fetch.offline };
    let root = AptRoot::open(&options.cache, id, &mirrors, apt)?;
    let preferences = kept.and_then(|lock| lock.archives.get(&id)).map(preferences).unwrap_or_default();
    let mut found = Found::default();
    let mut answers = Vec::new();
    for host in hosts {
        answers.push((host.host.clone(), resolve_host(&root, host, &preferences, &mut found)?));
    }
    let mut archive = Archive { releases: BTreeMap::new(), packages: found.packages };
    let used: BTreeSet<&str> = archive.packages.values().map(|pin| pin.suite.as_str()).collect();
    for (suite, date, sha256) in root.releases()? {
        if used.contains(suite.as_str()) {
            archive.releases.insert(suite, ReleasePin { date, sha256 });
        }
    }
    Ok(Group { archive, hosts: answers })
}

type Closures = BTreeMap<ComponentName, Closure>;
type Members = BTreeMap<ComponentName, Vec<PackageName>>;

/// What was found so far in one release, and the closures that were asked for already.
#[derive(Default)]
struct Found {
    packages: BTreeMap<PackageName, PackagePin>,
    closures: BTreeMap<(String, Vec<PackageName>), Vec<PackageName>>,
    carriers: BTreeMap<PackageName, Vec<PackageName>>,
}

fn resolve_host(
    root: &AptRoot,
    host: &HostRequest,
    preferences: &str,
    found: &mut Found,
) -> Result<HostPins, LockError> {
    let status = match &host.base {
        Base::Minimal => Status::Minimal,
        Base::None => Status::Empty,
        Base::StatusFile { path, .. } => Status::File(path),
    };
    let query = root.query(status, preferences)?;
    let base = BasePin::of(&host.base).to_string();
    let mut packages = BTreeMap::new();
    for (component, roots) in &host.packages {
        let closure = closure(&query, &base, roots, found)?;
        packages.insert(component.clone(), Closure { roots: roots.clone(), closure });
    }
    // Each component alone has an answer; all of them together must have one too.
    if host.packages.len() > 1 {
        let mut all: Vec<PackageName> = host.packages.values().flatten().cloned().collect();
        all.sort();
        all.dedup();
        query.check(&all)?;
    }
    let members = resolve_members(root, host, preferences, found)?;
    Ok(pins(host, packages, members))
}

// What a package holds does not depend on the host that its members are for.
fn resolve_members(
    root: &AptRoot,
    host: &HostRequest,
    preferences: &str,
    found: &mut Found,
) -> Result<Members, LockError> {
    let query = root.query(Status::Minimal, preferences)?;
    let mut members = Members::new();
    for (component, package) in &host.members {
        let names = match found.carriers.get(package) {
            Some(known) => known.clone(),
            None => {
                let pins = query.carriers(package)?;
                let names: Vec<PackageName> = pins.iter().map(|(name, _)| name.clone()).collect();
                found.packages.extend(pins);
                found.carriers.insert(package.clone(), names.clone());
                names
            }
        };
        members.insert(component.clone(), names);
    }
    Ok(members)
}

fn closure(
    query: &Query<'_>,
    base: &str,
    roots: &[PackageName],
    found: &mut Found,
) -> Result<Vec<PackageName>, LockError> {
    let key = (base.to_owned(), roots.to_vec());
    if let Some(known) = found.closures.get(&key) {
        return Ok(known.clone());
    }
    let pins = query.closure(roots)?;
    let mut names: Vec<PackageName> = pins.iter().map(|(name, _)| name.clone()).collect();
    names.sort();
    found.packages.extend(pins);
    found.closures.insert(key, names.clone());
    Ok(names)
}

fn pins(host: &HostRequest, packages: Closures, members: Members) -> HostPins {
    HostPins {
        archive: host.archive(),
        base: BasePin::of(&host.base),
        packages,
        members,
        upstream: host.upstream.iter().map(|(name, upstream)| (name.clone(), upstream.url.clone())).collect(),
    }
}

// A version that is locked stays, where the archive still has it. Below 1000, so that nothing is downgraded
// on a host whose status says that it is further already.
fn preferences(archive: &Archive) -> String {
    let pin = |(name, pin): (&PackageName, &PackagePin)| {
        format!("Package: {name}\nPin: version {}\nPin-Priority: 990\n\n", pin.version)
    };
    archive.packages.iter().map(pin).collect()
}

// The previous answer, when it still is one for every host of the group; without what no host needs any more.
fn unchanged(lock: &Lock, id: ArchiveId, hosts: &[&HostRequest]) -> Option<Group> {
    if hosts.iter().any(|host| !lock.debian_differences(host).is_empty()) {
        return None;
    }
    let hosts: Vec<_> = hosts
        .iter()
        .filter_map(|host| {
            let before = lock.hosts.get(&host.host)?;
            Some((host.host.clone(), pins(host, before.packages.clone(), before.members.clone())))
        })
        .collect();
    let mut archive = lock.archives.get(&id).cloned().unwrap_or_default();
    let needed: BTreeSet<&PackageName> = hosts
        .iter()
        .flat_map(|(_, pins)| {
            pins.packages.values().flat_map(|closure| &closure.closure).chain(pins.members.values().flatten())
        })
        .collect();
    archive.packages.retain(|name, _| needed.contains(name));
    let used: BTreeSet<&String> = archive.packages.values().map(|pin| &pin.suite).collect();
    archive.releases.retain(|suite, _| used.contains(suite));
    Some(Group { archive, hosts })
}
