//! The `Packages` index of a closure, made once: asking each of a hundred packages for its fields takes longer than
//! all the rest of a build.

use chom_format::Digest;
use chom_format::step::Deb;

use crate::cache::Cache;
use crate::deb::{self, DebError};

/// The index of these packages.
pub(super) fn index(cache: &Cache, debs: &[Deb]) -> Result<String, DebError> {
    let digests: Vec<String> = debs.iter().map(|deb| deb.content.sha256.to_string()).collect();
    let key = Digest::of(format!("index\n{}", digests.join("\n")).as_bytes());
    if let Some(text) = cache.note(&key) {
        return Ok(text);
    }
    let text = deb::index(cache, debs)?;
    cache.keep_note(&key, &text);
    Ok(text)
}
