//! The `Packages` index of a folder of `.deb` files: all that apt needs to resolve and check them.

use std::fmt::Write as _;

use chom_format::step::Deb;

use super::control::{Control, control};
use super::error::DebError;
use crate::cache::Cache;

// What apt and dpkg decide by. Descriptions, tags and maintainers would only make the bundle larger.
const FIELDS: &[&str] = &[
    "Package",
    "Version",
    "Architecture",
    "Multi-Arch",
    "Essential",
    "Important",
    "Protected",
    "Priority",
    "Section",
    "Pre-Depends",
    "Depends",
    "Conflicts",
    "Breaks",
    "Replaces",
    "Provides",
    "Installed-Size",
];

/// The text of the index for these packages, each of which is in the cache. The order of the packages does not
/// matter: the same set gives the same bytes.
pub fn index(cache: &Cache, debs: &[Deb]) -> Result<String, DebError> {
    let mut stanzas = Vec::new();
    for deb in debs {
        let control = control(cache, &deb.content.sha256, &deb.file_name())?;
        if control.package != deb.name || control.version != deb.version || control.arch != deb.arch {
            let problem = format!("says {} {} {}", control.package, control.version, control.arch);
            return Err(DebError::Control { name: deb.file_name(), problem });
        }
        stanzas.push((deb.file_name(), stanza(&control, deb)));
    }
    stanzas.sort();
    Ok(stanzas.into_iter().map(|(_, stanza)| stanza).collect())
}

fn stanza(control: &Control, deb: &Deb) -> String {
    let mut text = String::new();
    for name in FIELDS {
        if let Some(value) = control.fields.get(*name) {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{name}: {value}");
        }
    }
    let _ = writeln!(text, "Filename: ./{}", deb.file_name());
    let _ = writeln!(text, "Size: {}", deb.content.size);
    let _ = writeln!(text, "SHA256: {}\n", deb.content.sha256);
    text
}
