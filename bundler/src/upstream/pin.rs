//! Pins upstream archives by the project's checksums or by the digest in the component file.

use std::collections::BTreeMap;

use chom_format::{ComponentName, Digest, HostName};

use super::sums;
use crate::fetch::{self, Progress};
use crate::lock::{Lock, LockError, LockOptions, LockRequest, Mirrors, UpstreamPin, UpstreamRequest};

/// Every upstream archive of a request, by address.
pub(crate) fn pins(
    request: &LockRequest,
    kept: Option<&Lock>,
    options: &LockOptions,
    progress: &dyn Progress,
) -> Result<BTreeMap<String, UpstreamPin>, LockError> {
    let mut asked: BTreeMap<&str, &UpstreamRequest> = BTreeMap::new();
    let mut pins = BTreeMap::new();
    for host in &request.hosts {
        for (component, upstream) in &host.upstream {
            match asked.insert(&upstream.url, upstream) {
                Some(before) if before == upstream => continue,
                Some(before) => return Err(contradiction(before, upstream)),
                None => {}
            }
            let before = kept.and_then(|lock| lock.upstream.get(&upstream.url));
            let pin = match before.filter(|pin| still(pin, upstream)) {
                Some(pin) => pin.clone(),
                None => pin(&host.host, component, upstream, &request.mirrors, options, progress)?,
            };
            pins.insert(upstream.url.clone(), pin);
        }
    }
    Ok(pins)
}

fn still(pin: &UpstreamPin, upstream: &UpstreamRequest) -> bool {
    let verified = pin.sums.is_none() || pin.sums == upstream.sums_url;
    // A pin without sums was made by a digest; without that digest nothing vouches for it any more.
    let vouched = upstream.sha256.map_or(pin.sums.is_some(), |sha256| sha256 == pin.sha256);
    pin.version == upstream.version && verified && vouched
}

fn pin(
    host: &HostName,
    component: &ComponentName,
    upstream: &UpstreamRequest,
    mirrors: &Mirrors,
    options: &LockOptions,
    progress: &dyn Progress,
) -> Result<UpstreamPin, LockError> {
    let url = &upstream.url;
    let published = match &upstream.sums_url {
        Some(sums_url) => Some(published(url, sums_url, mirrors, options, progress)?),
        None => None,
    };
    let sha256 = match (published, upstream.sha256) {
        (Some(published), Some(pinned)) if published != pinned => {
            return Err(LockError::SumsDisagree { url: url.clone(), pinned, published });
        }
        (Some(sha256), _) | (None, Some(sha256)) => sha256,
        (None, None) => {
            let (host, component) = (host.clone(), component.clone());
            return Err(LockError::Unverifiable { host, component, url: url.clone() });
        }
    };
    progress.note(&format!("checking {url}"));
    let size = fetch::pinned(url, sha256, &options.cache, mirrors, &options.fetch, progress)?;
    Ok(UpstreamPin { version: upstream.version.clone(), size, sha256, sums: upstream.sums_url.clone() })
}

fn published(
    url: &str,
    sums_url: &str,
    mirrors: &Mirrors,
    options: &LockOptions,
    progress: &dyn Progress,
) -> Result<Digest, LockError> {
    let text = fetch::text(sums_url, mirrors, &options.fetch, progress)?;
    let file = fetch::file_name(url);
    sums::digest_of(&text, file)
        .ok_or_else(|| LockError::NotInSums { sums: sums_url.to_owned(), file: file.to_owned() })
}

fn contradiction(one: &UpstreamRequest, other: &UpstreamRequest) -> LockError {
    let text = |upstream: &UpstreamRequest| match upstream.sha256 {
        Some(sha256) => format!("{} with sha256 {sha256}", upstream.version),
        None => upstream.version.clone(),
    };
    LockError::Contradiction { url: one.url.clone(), one: text(one), other: text(other) }
}
