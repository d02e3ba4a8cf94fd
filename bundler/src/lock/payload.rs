//! What the lock says of one component of one host, in the form in which bundles are made of it.

use chom_format::step::{Content, Deb};
use chom_format::{ComponentName, HostName, PackageName};

use super::model::{Archive, Lock, PackagePin, UpstreamPin};

impl Lock {
    /// The whole packages of a component: those that were asked for, and the closure. None when the component
    /// has no such payload. The content of each package lies at `objects/<sha256>` in a bundle.
    pub fn closure(
        &self,
        host: &HostName,
        component: &ComponentName,
    ) -> Option<(Vec<PackageName>, Vec<Deb>)> {
        let closure = self.hosts.get(host)?.packages.get(component)?;
        let archive = self.archive_of(host);
        let debs = closure.closure.iter().filter_map(|name| deb(name, archive?.packages.get(name)?));
        Some((closure.roots.clone(), debs.collect()))
    }

    /// The packages that carry the members of a component, the one that was asked for first. Empty when the
    /// component has no such payload.
    pub fn carriers(&self, host: &HostName, component: &ComponentName) -> Vec<&PackagePin> {
        let names = self.hosts.get(host).and_then(|pins| pins.members.get(component));
        let archive = self.archive_of(host);
        names.into_iter().flatten().filter_map(|name| archive?.packages.get(name)).collect()
    }

    /// The address and the pin of a component's upstream archive.
    pub fn upstream_of(&self, host: &HostName, component: &ComponentName) -> Option<(&str, &UpstreamPin)> {
        let url = self.hosts.get(host)?.upstream.get(component)?;
        self.upstream.get(url).map(|pin| (url.as_str(), pin))
    }

    fn archive_of(&self, host: &HostName) -> Option<&Archive> {
        self.archives.get(&self.hosts.get(host)?.archive)
    }
}

fn deb(name: &PackageName, pin: &PackagePin) -> Option<Deb> {
    Some(Deb {
        name: name.clone(),
        version: pin.version.clone(),
        arch: pin.file.arch().to_owned(),
        installed_kb: pin.installed_kb,
        content: Content {
            from: format!("objects/{}", pin.sha256).parse().ok()?,
            sha256: pin.sha256,
            size: pin.size,
        },
    })
}
