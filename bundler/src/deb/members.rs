//! Members of `.deb` files, streamed from `dpkg-deb` into the cache.

use std::collections::BTreeSet;
use std::io::BufReader;
use std::time::Duration;

use chom_format::Digest;

use super::error::DebError;
use crate::cache::Cache;
use crate::child::Child;
use crate::lock::PackagePin;
use crate::unpack::{Collected, Limits, Members, UnpackError, Want, collect, remember, remembered, walk_tar};

/// Takes members out of packages, each from the first that has it.
///
/// A wanted member is a path in a package (`/usr/bin/prometheus`); with a trailing `/` it is all files below
/// that folder. The answer holds each file by its path without the leading `/`. What was taken out before is
/// not unpacked again.
pub fn members(cache: &Cache, packages: &[&PackagePin], wanted: &[String]) -> Result<Members, DebError> {
    let key = key(packages, wanted);
    if let Some(known) = remembered(cache, &key) {
        return Ok(known);
    }
    let names = || packages.iter().map(|pin| pin.file.name()).collect::<Vec<_>>().join(" and ");
    let failed = |source| DebError::Unpack { name: names(), source };
    let parsed: Result<BTreeSet<Want>, UnpackError> = wanted.iter().map(|text| Want::parse(text)).collect();
    let mut found = Collected { absent: parsed.map_err(failed)?, ..Collected::default() };
    for pin in packages {
        if found.absent.is_empty() {
            break;
        }
        let Collected { members, absent, near } = take(cache, pin, &found.absent)?;
        found.members.extend(members);
        found.absent = absent;
        found.near.extend(near);
    }
    let members = found.whole().map_err(failed)?;
    remember(cache, &key, &members);
    Ok(members)
}

fn take(cache: &Cache, pin: &PackagePin, wants: &BTreeSet<Want>) -> Result<Collected, DebError> {
    let name = || pin.file.name().to_owned();
    if cache.size(&pin.sha256).is_none() {
        return Err(DebError::Absent { name: name(), sha256: pin.sha256 });
    }
    let mut tool = None;
    let collected = collect(cache, wants, Limits::default(), |visitor| {
        let streamed = Child::new("dpkg-deb", Duration::from_secs(600))
            .arg("--fsys-tarfile")
            .arg(cache.object(&pin.sha256))
            .stream(|out| walk_tar(BufReader::with_capacity(128 << 10, out), visitor));
        streamed.unwrap_or_else(|source| {
            tool = Some(source);
            Err(UnpackError::Broken(std::io::Error::other("dpkg-deb failed")))
        })
    });
    collected.map_err(|source| match tool {
        Some(source) => DebError::Tool { name: name(), source },
        None => DebError::Unpack { name: name(), source },
    })
}

fn key(packages: &[&PackagePin], wanted: &[String]) -> Digest {
    let digests: Vec<String> = packages.iter().map(|pin| pin.sha256.to_string()).collect();
    Digest::of(format!("{}\n\n{}", digests.join("\n"), wanted.join("\n")).as_bytes())
}
