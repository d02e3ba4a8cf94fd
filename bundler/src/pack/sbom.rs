//! The bill of materials, CycloneDX 1.6: every package and archive with version and digest, and what was set.

use chom_format::Digest;
use serde_json::{Value, json};

use super::INSTALLER;
use crate::assemble::{Assembled, Part, PartOrigin};
use crate::problem::may_hold_secret;
use crate::resolve::Host;

/// The prefix of the properties that tell settings.
pub(super) const SETTING: &str = "chom:setting:";

/// The bytes of `sbom.cdx.json`.
pub(super) fn sbom(
    host: &Host,
    assembled: &Assembled,
    installer: &Digest,
) -> Result<Vec<u8>, serde_json::Error> {
    let bundle = &assembled.manifest.bundle;
    let mut components: Vec<Value> = assembled.parts.iter().map(part).collect();
    let tool = bundle.tool.split_once(' ').map_or(bundle.tool.as_str(), |(_, version)| version);
    components.push(json!({
        "type": "application", "bom-ref": INSTALLER, "name": INSTALLER, "version": tool,
        "hashes": [{ "alg": "SHA-256", "content": installer }],
    }));
    let whole = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "tools": { "components": [{ "type": "application", "name": "chom-bundle", "version": tool }] },
            "component": {
                "type": "application", "bom-ref": host.name, "name": host.name, "version": bundle.version,
                "properties": settings(host),
            },
        },
        "components": components,
    });
    let mut bytes = serde_json::to_vec_pretty(&whole)?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn part(part: &Part) -> Value {
    let hashes = json!([{ "alg": "SHA-256", "content": part.sha256 }]);
    match &part.origin {
        PartOrigin::Debian { arch, suite } => {
            let purl = format!(
                "pkg:deb/debian/{}@{}?arch={arch}&distro={suite}",
                encode(&part.name),
                encode(&part.version)
            );
            json!({ "type": "library", "bom-ref": purl, "name": part.name, "version": part.version, "purl": purl, "hashes": hashes })
        }
        PartOrigin::Upstream { url } => {
            let purl = format!(
                "pkg:generic/{}@{}?checksum=sha256:{}&download_url={}",
                encode(&part.name),
                encode(&part.version),
                part.sha256,
                encode(url)
            );
            json!({
                "type": "application", "bom-ref": purl, "name": part.name, "version": part.version, "purl": purl,
                "hashes": hashes, "externalReferences": [{ "type": "distribution", "url": url }],
            })
        }
    }
}

// Single values only, and none that may be a secret: this file is made to be handed on.
fn settings(host: &Host) -> Vec<Value> {
    let mut properties = Vec::new();
    for component in host.enabled() {
        for (key, value) in &component.settings {
            let shown = match value {
                Value::String(text) if text.contains('\n') => continue,
                Value::String(text) => text.clone(),
                Value::Number(_) | Value::Bool(_) => value.to_string(),
                Value::Null | Value::Array(_) | Value::Object(_) => continue,
            };
            if !may_hold_secret(key) {
                properties
                    .push(json!({ "name": format!("{SETTING}{}.{key}", component.name), "value": shown }));
            }
        }
    }
    properties
}

// What a package address leaves as it is.
fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn package_addresses_are_encoded() {
        let debian = Part {
            name: "libstdc++6".into(),
            version: "1:14.2.0-19~x".into(),
            sha256: Digest::of(b""),
            origin: PartOrigin::Debian { arch: "amd64".into(), suite: "trixie" },
        };
        let value = part(&debian);
        assert_eq!(value["purl"], "pkg:deb/debian/libstdc%2B%2B6@1:14.2.0-19~x?arch=amd64&distro=trixie");
        let origin = PartOrigin::Upstream { url: "https://site.example/v1/a b.zip".into() };
        let value = part(&Part { origin, ..debian });
        assert!(
            value["purl"]
                .as_str()
                .unwrap()
                .ends_with("download_url=https:%2F%2Fsite.example%2Fv1%2Fa%20b.zip")
        );
        assert_eq!(value["externalReferences"][0]["type"], "distribution");
    }
}
