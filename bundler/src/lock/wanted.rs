//! From the resolved inventory to what is to be locked.

use std::collections::BTreeMap;

use chom_format::manifest::Arch;

use super::mirrors::{MirrorUrl, MirrorUrlError, Mirrors};
use super::request::{Base, HostRequest, LockRequest, UpstreamRequest};
use crate::resolve::{self, Component, Fleet, Host};
use crate::stack::component::{DebianPayload, Source, UpstreamPayload};
use crate::upstream::expand;

impl LockRequest {
    /// What all hosts of the inventory need.
    pub fn of(fleet: &Fleet) -> Result<Self, MirrorUrlError> {
        let hosts = fleet.hosts.values().map(HostRequest::of).collect();
        Ok(Self { hosts, mirrors: Mirrors::of(&fleet.mirrors)? })
    }
}

impl HostRequest {
    /// What one host needs: the payloads of its enabled components.
    pub fn of(host: &Host) -> Self {
        let mut request = Self {
            host: host.name.clone(),
            suite: host.suite,
            arch: host.arch,
            packages: BTreeMap::new(),
            members: BTreeMap::new(),
            upstream: BTreeMap::new(),
            base: Base::Minimal,
        };
        for component in host.enabled() {
            request.add(component);
        }
        request
    }

    fn add(&mut self, component: &Component) {
        let (name, payload) = (component.name.clone(), component.file.payload.as_ref());
        match component.source {
            None => {}
            Some(Source::Debian) => match payload.and_then(|payload| payload.debian.as_ref()) {
                Some(DebianPayload::Packages { packages }) => {
                    self.packages.insert(name, packages.clone());
                }
                Some(DebianPayload::Members { package, .. }) => {
                    self.members.insert(name, package.clone());
                }
                // Refused when the stacks were checked.
                None => {}
            },
            Some(Source::Upstream) => {
                if let Some(upstream) = payload.and_then(|payload| payload.upstream.as_ref()) {
                    self.upstream.insert(name, wanted(component, upstream, self.arch));
                }
            }
        }
    }
}

fn wanted(component: &Component, upstream: &UpstreamPayload, arch: Arch) -> UpstreamRequest {
    let version = component.version.clone().unwrap_or_else(|| upstream.version.clone());
    UpstreamRequest {
        url: expand(&upstream.url, &version, arch),
        sums_url: upstream.sums.as_ref().map(|sums| expand(sums, &version, arch)),
        // The digests of the file are those of the file's version.
        sha256: upstream.sha256.get(arch.debian()).filter(|_| version == upstream.version).copied(),
        version,
    }
}

impl Mirrors {
    /// The mirrors that an inventory names.
    pub fn of(named: &resolve::Mirrors) -> Result<Self, MirrorUrlError> {
        let one = |text: &Option<String>| text.as_deref().map(str::parse::<MirrorUrl>).transpose();
        Ok(Self {
            debian: one(&named.debian)?.map(|mirror| vec![mirror]),
            security: one(&named.security)?.map(|mirror| vec![mirror]),
            upstream: one(&named.upstream)?,
            snapshot: one(&named.snapshot)?,
        })
    }
}
