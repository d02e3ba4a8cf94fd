//! The manifest: read as what it says it is, and refused when it says what must not be.

use std::collections::{BTreeMap, BTreeSet};

use chom_format::manifest::FORMAT;
use chom_format::sums::Sums;
use chom_format::{BackupSpec, HostPath, Manifest, RelPath};
use serde::Deserialize;

use super::OpenError;
use crate::step::stated;

// The kernel's own, and where our journal and originals lie: no step may write there.
const FORBIDDEN: [&str; 5] = ["/proc", "/sys", "/dev", "/run/chom", "/var/lib/chom"];

/// Reads the manifest. A later format is told as such, and not as an unknown field.
pub fn read(bytes: &[u8]) -> Result<Manifest, OpenError> {
    #[derive(Deserialize)]
    struct Header {
        format: u32,
    }
    let Header { format } = serde_json::from_slice(bytes)?;
    if format != FORMAT {
        return Err(OpenError::Newer { found: format, known: FORMAT });
    }
    Ok(serde_json::from_slice(bytes)?)
}

/// Checks what the types cannot say: all faults at once.
pub(super) fn validate(
    manifest: &Manifest,
    sums: &Sums,
    sizes: &BTreeMap<RelPath, u64>,
) -> Result<(), OpenError> {
    let mut faults = Vec::new();
    for id in manifest.duplicate_ids() {
        faults.push(format!("step `{id}` is there twice"));
    }
    let mut checks = BTreeSet::new();
    for check in manifest.checks.iter().filter(|check| !checks.insert(&check.id)) {
        faults.push(format!("check `{}` is there twice", check.id));
    }
    faults.extend(manifest.backup.iter().flat_map(BackupSpec::faults).map(|(_, fault)| fault));
    for content in manifest.contents() {
        match (sums.0.get(&content.from), sizes.get(&content.from)) {
            (Some(digest), Some(size)) if *digest == content.sha256 && *size == content.size => {}
            (Some(_), Some(_)) => {
                faults.push(format!("`{}` has another digest or size than listed", content.from))
            }
            _ => faults.push(format!("`{}` is not in the bundle", content.from)),
        }
    }
    let steps = manifest.steps();
    let ids: BTreeSet<_> = steps.iter().map(|(_, step)| &step.id).collect();
    for (_, step) in &steps {
        let stated = stated(&step.spec);
        for path in stated.writes {
            if *path == HostPath::root() || FORBIDDEN.iter().any(|place| lies_within(path, place)) {
                faults.push(format!("step `{}` would write to `{path}`, where no step may", step.id));
            }
        }
        for guard in stated.needs.iter().filter(|guard| !ids.contains(guard)) {
            faults.push(format!("step `{}` guards `{guard}`, which is no step", step.id));
        }
    }
    faults.sort();
    faults.dedup();
    if faults.is_empty() { Ok(()) } else { Err(OpenError::Senseless(faults)) }
}

fn lies_within(path: &HostPath, place: &str) -> bool {
    place.parse().is_ok_and(|place| path.is_within(&place))
}
