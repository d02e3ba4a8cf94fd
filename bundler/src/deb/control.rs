//! The control fields of a `.deb`, read from the package itself.

use std::collections::BTreeMap;
use std::time::Duration;

use chom_format::{Digest, PackageName};

use super::error::DebError;
use crate::cache::Cache;
use crate::child::Child;

/// What a package says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Control {
    /// Package name.
    pub package: PackageName,
    /// Full Debian version.
    pub version: String,
    /// `amd64`, `arm64` or `all`.
    pub arch: String,
    /// Space on disk once installed, in KiB.
    pub installed_kb: u64,
    pub(super) fields: BTreeMap<String, String>,
}

/// Reads the control fields of the `.deb` with this digest; `name` is what errors call it.
pub fn control(cache: &Cache, deb: &Digest, name: &str) -> Result<Control, DebError> {
    if cache.size(deb).is_none() {
        return Err(DebError::Absent { name: name.to_owned(), sha256: *deb });
    }
    let text = Child::new("dpkg-deb", Duration::from_secs(60))
        .arg("--field")
        .arg(cache.object(deb))
        .output()
        .map_err(|source| DebError::Tool { name: name.to_owned(), source })?;
    parse(&text).map_err(|problem| DebError::Control { name: name.to_owned(), problem })
}

fn parse(text: &str) -> Result<Control, String> {
    let stanza = deb822_fast::borrowed::iter_paragraphs_borrowed(text).next();
    let stanza = stanza.ok_or("is empty")?.map_err(|error| format!("cannot be read: {error}"))?;
    let fields: BTreeMap<String, String> =
        stanza.iter().map(|field| (field.name().to_owned(), field.lines().join(" "))).collect();
    let field = |key: &str| fields.get(key).cloned().ok_or_else(|| format!("has no {key}"));
    Ok(Control {
        package: field("Package")?.parse().map_err(|error| format!("is wrong: {error}"))?,
        version: field("Version")?,
        arch: field("Architecture")?,
        installed_kb: fields.get("Installed-Size").and_then(|size| size.trim().parse().ok()).unwrap_or(0),
        fields,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read() {
        let control = parse(
            "Package: ufw\nVersion: 0.36.2-9\nArchitecture: all\nInstalled-Size: 868\nDepends: iptables,\n ucf\n",
        )
        .unwrap();
        assert_eq!((control.package.as_str(), control.installed_kb), ("ufw", 868));
        assert_eq!(control.fields["Depends"], "iptables, ucf");
        assert_eq!(parse("Package: ufw\n").unwrap_err(), "has no Version");
        assert!(parse("").is_err());
    }
}
