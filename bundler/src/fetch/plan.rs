//! From a lock to the addresses that are asked for each object, in order. Pure.

use std::collections::{BTreeMap, BTreeSet};

use chom_format::{Digest, HostName, PackageName};

use super::error::FetchError;
use crate::lock::{Archive, Lock, MirrorSet, MirrorUrl, Mirrors, PackagePin};

/// One object that a host needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    /// What people call it: the file's name.
    pub(super) name: String,
    /// What its bytes must be.
    pub(super) sha256: Digest,
    /// In bytes, when it is known.
    pub(super) size: Option<u64>,
    /// Where it may be had, best first.
    pub(super) urls: Vec<String>,
    /// Whether it is a Debian package.
    pub(super) package: bool,
}

/// An object without its addresses: those are only looked up when something is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// A Debian package, with the archive's lock that dates its release.
    Package(PackagePin, Option<String>),
    /// An upstream archive.
    Upstream { url: String, size: Option<u64>, sha256: Digest },
}

impl Wanted {
    pub(super) fn sha256(&self) -> &Digest {
        match self {
            Self::Package(pin, _) => &pin.sha256,
            Self::Upstream { sha256, .. } => sha256,
        }
    }

    pub(super) fn name(&self) -> String {
        match self {
            Self::Package(pin, _) => pin.file.name().to_owned(),
            Self::Upstream { url, .. } => file_name(url).to_owned(),
        }
    }

    pub(super) fn size(&self) -> Option<u64> {
        match self {
            Self::Package(pin, _) => Some(pin.size),
            Self::Upstream { size, .. } => *size,
        }
    }

    pub(super) fn needs_mirrors(&self) -> bool {
        matches!(self, Self::Package(..))
    }

    /// With its addresses: `known` are the mirrors in use, `wanted` what the inventory says of them.
    pub(super) fn item(&self, known: &MirrorSet, wanted: &Mirrors) -> Item {
        let urls = match self {
            Self::Package(pin, date) => package_urls(pin, date.as_deref(), known, wanted.snapshot.as_ref()),
            Self::Upstream { url, .. } => {
                vec![wanted.upstream.as_ref().map_or_else(|| url.clone(), |mirror| mirror.instead_of(url))]
            }
        };
        let package = self.needs_mirrors();
        Item { name: self.name(), sha256: *self.sha256(), size: self.size(), urls, package }
    }
}

/// Every object that these hosts need, each once.
pub(super) fn wanted(lock: &Lock, hosts: &[HostName]) -> Result<Vec<Wanted>, FetchError> {
    let mut objects = BTreeMap::new();
    for host in hosts {
        let pins = lock.hosts.get(host).ok_or_else(|| FetchError::UnknownHost(host.clone()))?;
        if let Some(archive) = lock.archives.get(&pins.archive) {
            let closures = pins.packages.values().flat_map(|closure| &closure.closure);
            let names: BTreeSet<&PackageName> = closures.chain(pins.members.values().flatten()).collect();
            for pin in names.into_iter().filter_map(|name| archive.packages.get(name)) {
                objects.insert(pin.sha256, Wanted::Package(pin.clone(), date_of(archive, pin)));
            }
        }
        for (url, pin) in pins.upstream.values().filter_map(|url| lock.upstream.get_key_value(url)) {
            let (size, sha256) = (Some(pin.size), pin.sha256);
            objects.insert(sha256, Wanted::Upstream { url: url.clone(), size, sha256 });
        }
    }
    Ok(objects.into_values().collect())
}

/// The last part of an address.
pub(crate) fn file_name(url: &str) -> &str {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    path.rsplit('/').next().unwrap_or(path)
}

fn date_of(archive: &Archive, pin: &PackagePin) -> Option<String> {
    archive.releases.get(&pin.suite).map(|release| release.date.clone())
}

fn package_urls(
    pin: &PackagePin,
    date: Option<&str>,
    known: &MirrorSet,
    snapshot: Option<&MirrorUrl>,
) -> Vec<String> {
    let mirrors = if pin.is_security() { &known.security } else { &known.debian };
    let mut urls: Vec<String> = mirrors.iter().map(|mirror| mirror.join(pin.file.as_str())).collect();
    if let (Some(snapshot), Some(date)) = (snapshot, date.and_then(settled)) {
        let archive = if pin.is_security() { "debian-security" } else { "debian" };
        let base = snapshot.join(pin.file.as_str()).replace("{archive}", archive).replace("{date}", &date);
        urls.push(base);
    }
    urls
}

// A snapshot is taken some hours after a release is made, and the archive keeps what was replaced for longer
// than that: half a day later the release is in the snapshot, and still whole.
fn settled(date: &str) -> Option<String> {
    let made: jiff::Timestamp = date.parse().ok()?;
    let settled = made.checked_add(jiff::SignedDuration::from_hours(12)).ok()?;
    Some(settled.strftime("%Y%m%dT%H%M%SZ").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lock::PoolPath;

    fn pin(suite: &str) -> PackagePin {
        PackagePin {
            version: "1-1".into(),
            suite: suite.into(),
            size: 3,
            installed_kb: 1,
            sha256: Digest::of(b"abc"),
            file: PoolPath::new("pool/main/u/ufw/ufw_1-1_all.deb").unwrap(),
        }
    }

    fn known() -> MirrorSet {
        MirrorSet {
            debian: vec!["http://a.example/debian".parse().unwrap(), "http://b.example".parse().unwrap()],
            security: vec!["http://s.example".parse().unwrap()],
        }
    }

    #[test]
    fn mirrors_come_in_their_order_and_the_snapshot_last() {
        let mirrors = Mirrors {
            snapshot: Some("https://snap.example/{archive}/{date}".parse().unwrap()),
            ..Mirrors::default()
        };
        let date = Some("2025-11-15T09:41:02Z".to_owned());
        let item = Wanted::Package(pin("trixie"), date.clone()).item(&known(), &mirrors);
        assert_eq!(
            item.urls,
            [
                "http://a.example/debian/pool/main/u/ufw/ufw_1-1_all.deb",
                "http://b.example/pool/main/u/ufw/ufw_1-1_all.deb",
                "https://snap.example/debian/20251115T214102Z/pool/main/u/ufw/ufw_1-1_all.deb",
            ]
        );
        let item = Wanted::Package(pin("trixie-security"), date).item(&known(), &mirrors);
        assert_eq!(
            item.urls,
            [
                "http://s.example/pool/main/u/ufw/ufw_1-1_all.deb",
                "https://snap.example/debian-security/20251115T214102Z/pool/main/u/ufw/ufw_1-1_all.deb",
            ]
        );
    }

    #[test]
    fn an_upstream_mirror_takes_the_place_of_the_site() {
        let wanted = Wanted::Upstream {
            url: "https://site.example/p/releases/v1/p.zip?x=1".into(),
            size: None,
            sha256: Digest::of(b""),
        };
        let mirrors =
            Mirrors { upstream: Some("http://127.0.0.1:1/m".parse().unwrap()), ..Mirrors::default() };
        let item = wanted.item(&MirrorSet::default(), &mirrors);
        assert_eq!(item.urls, ["http://127.0.0.1:1/m/site.example/p/releases/v1/p.zip?x=1"]);
        assert_eq!(item.name, "p.zip");
    }
}
