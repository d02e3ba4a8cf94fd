//! A bundle looked at from the outside: all its bytes, and whether this is its host.

use std::fmt;
use std::path::Path;

use serde::Serialize;

use crate::facts;
use crate::open::{Bundle, OpenError, Source};
use crate::preflight::{Identity, compare_identity};
use crate::ui::{Event, Progress};

/// A bundle whose every byte is as it was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Version of this shape.
    pub format: u32,
    /// The bundle's name.
    pub bundle: String,
    /// The digest of its manifest.
    pub manifest: String,
    /// Which host it is for.
    pub host: String,
    /// How many files it holds.
    pub files: usize,
    /// And how many bytes.
    pub bytes: u64,
    /// Whether the host that was looked at is the bundle's.
    pub this_host: bool,
    /// How we know.
    pub why: String,
}

/// Verifies a bundle and compares its host with the one whose `/` is `root`.
pub fn verify(named: Option<&Path>, root: &Path, progress: &Progress) -> Result<Verified, OpenError> {
    let source = Source::find(named)?;
    let mut bundle = Bundle::open(&source, &|done| progress.show(&Event::Reading { done, total: None }))?;
    let total = Some(bundle.unread());
    bundle.verify_payloads(&|done| progress.show(&Event::Reading { done, total }))?;
    let (files, bytes) = bundle.extent();
    let wanted = &bundle.manifest().host;
    let (this_host, why) = match compare_identity(wanted, &facts::measure(root)) {
        Identity::Same(by) => (true, format!("by its {by}")),
        Identity::Renamed { by, found } => (true, format!("by its {by}, though its hostname is {found}")),
        Identity::Other(why) => (false, why),
    };
    Ok(Verified {
        format: 1,
        bundle: bundle.name(),
        manifest: bundle.digest().to_string(),
        host: wanted.name.to_string(),
        files,
        bytes,
        this_host,
        why,
    })
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bundle, host, files, bytes, why, .. } = self;
        writeln!(f, "{bundle}: all {files} files are as they were made ({} MiB)", bytes >> 20)?;
        if self.this_host {
            writeln!(f, "this is its host {host}, {why}")
        } else {
            writeln!(f, "this is not its host {host}: {why}")
        }
    }
}
