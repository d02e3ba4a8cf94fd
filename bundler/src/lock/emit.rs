//! Writes `chom.lock` for the eyes of a reviewer: one order, one line for each package, so that a diff shows
//! what changed and nothing else.

use std::fmt::Write as _;

use super::model::{Archive, HostPins, Lock, PackagePin, UpstreamPin};

const HEADER: &str = "\
# Every payload of every host, to the byte. Written by `chom-bundle lock`; commit it and review its diffs.
# Packages are named by suite and pool path: any mirror of Debian serves them, and the digest decides.
";

impl Lock {
    /// The bytes of `chom.lock`: the same lock, the same bytes.
    pub fn to_yaml(&self) -> String {
        let mut out = format!("{HEADER}format: {}\n\nhosts:\n", self.format);
        for (name, pins) in &self.hosts {
            host(&mut out, name.as_str(), pins);
        }
        if !self.archives.is_empty() {
            out.push_str("\narchives:\n");
        }
        for (id, archive) in &self.archives {
            line(&mut out, 2, &format!("{id}:"));
            packages(&mut out, archive);
        }
        if !self.upstream.is_empty() {
            out.push_str("\nupstream:\n");
        }
        for (url, pin) in &self.upstream {
            upstream(&mut out, url, pin);
        }
        out
    }
}

fn host(out: &mut String, name: &str, pins: &HostPins) {
    line(out, 2, &format!("{}:", plain(name)));
    line(out, 4, &format!("archive: {}", pins.archive));
    line(out, 4, &format!("base: {}", pins.base));
    if !pins.packages.is_empty() {
        line(out, 4, "packages:");
    }
    for (component, closure) in &pins.packages {
        line(out, 6, &format!("{}:", plain(component.as_str())));
        let roots: Vec<String> = closure.roots.iter().map(|name| plain(name.as_str())).collect();
        line(out, 8, &format!("roots: [{}]", roots.join(", ")));
        line(out, 8, if closure.closure.is_empty() { "closure: []" } else { "closure:" });
        for name in &closure.closure {
            line(out, 10, &format!("- {}", plain(name.as_str())));
        }
    }
    if !pins.members.is_empty() {
        line(out, 4, "members:");
    }
    for (component, packages) in &pins.members {
        let packages: Vec<String> = packages.iter().map(|name| plain(name.as_str())).collect();
        line(out, 6, &format!("{}: [{}]", plain(component.as_str()), packages.join(", ")));
    }
    if !pins.upstream.is_empty() {
        line(out, 4, "upstream:");
    }
    for (component, url) in &pins.upstream {
        line(out, 6, &format!("{}: {}", plain(component.as_str()), quoted(url)));
    }
}

fn packages(out: &mut String, archive: &Archive) {
    line(out, 4, "releases:");
    for (suite, release) in &archive.releases {
        let fields =
            format!("{{date: {}, sha256: {}}}", quoted(&release.date), quoted(&release.sha256.to_string()));
        line(out, 6, &format!("{}: {fields}", plain(suite)));
    }
    line(out, 4, if archive.packages.is_empty() { "packages: {}" } else { "packages:" });
    for (name, pin) in &archive.packages {
        line(out, 6, &format!("{}: {}", plain(name.as_str()), package(pin)));
    }
}

fn package(pin: &PackagePin) -> String {
    format!(
        "{{version: {}, suite: {}, size: {}, installed_kb: {}, sha256: {}, file: {}}}",
        quoted(&pin.version),
        plain(&pin.suite),
        pin.size,
        pin.installed_kb,
        quoted(&pin.sha256.to_string()),
        quoted(pin.file.as_str()),
    )
}

fn upstream(out: &mut String, url: &str, pin: &UpstreamPin) {
    line(out, 2, &format!("{}:", quoted(url)));
    line(out, 4, &format!("version: {}", quoted(&pin.version)));
    line(out, 4, &format!("size: {}", pin.size));
    line(out, 4, &format!("sha256: {}", quoted(&pin.sha256.to_string())));
    if let Some(sums) = &pin.sums {
        line(out, 4, &format!("sums: {}", quoted(sums)));
    }
}

fn line(out: &mut String, indent: usize, text: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{:indent$}{text}", "");
}

// Names of hosts, components and packages need quotes only where YAML would see something else in them.
fn plain(text: &str) -> String {
    let safe = text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.+".contains(c))
        && !["null", "true", "false", "yes", "no", "on", "off", "y", "n"].contains(&text);
    if safe { text.to_owned() } else { quoted(text) }
}

fn quoted(text: &str) -> String {
    // A JSON string is a YAML double-quoted scalar; serialising a string cannot fail.
    serde_json::to_string(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_yaml_would_misread_are_quoted() {
        for (text, same) in
            [("nginx", "nginx"), ("libstdc++6", "libstdc++6"), ("no", "\"no\""), ("0ad", "\"0ad\"")]
        {
            assert_eq!(plain(text), same);
        }
    }
}
