//! The `Packages` index of a closure, made once: asking each of a hundred packages for its fields takes longer than
//! all the rest of a build.

use std::fs;

use chom_format::Digest;
use chom_format::step::Deb;

use crate::cache::Cache;
use crate::deb::{self, DebError};

/// The index of these packages.
pub(super) fn index(cache: &Cache, debs: &[Deb]) -> Result<String, DebError> {
    let digests: Vec<String> = debs.iter().map(|deb| deb.content.sha256.to_string()).collect();
    let path = cache.members(&Digest::of(format!("index\n{}", digests.join("\n")).as_bytes()));
    if let Some(text) = fs::read_to_string(&path).ok().and_then(|note| remembered(&note)) {
        return Ok(text);
    }
    let text = deb::index(cache, debs)?;
    let temp = path.with_extension(std::process::id().to_string());
    // A note that cannot be written costs the next run some seconds, and nothing else.
    if fs::write(&temp, format!("{}\n{text}", Digest::of(text.as_bytes()))).is_ok() {
        let _ = fs::rename(&temp, &path);
    }
    Ok(text)
}

// Its own digest stands before it: a note that a disk changed is none.
fn remembered(note: &str) -> Option<String> {
    let (digest, text) = note.split_once('\n')?;
    (digest == Digest::of(text.as_bytes()).to_string()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_note_is_none() {
        let note = format!("{}\nPackage: x\n", Digest::of(b"Package: x\n"));
        assert_eq!(remembered(&note).as_deref(), Some("Package: x\n"));
        assert_eq!(remembered(&note.replace("x\n", "y\n")), None);
        assert_eq!(remembered(""), None);
    }
}
