//! The status of a host of which nothing is known but its release.
//!
//! Such a host has the required packages, at any version from the day of the release on. So each of them is
//! entered at the lowest version that its upstream release can have had: what needs a Debian revision of
//! its own (`perl` needs `perl-base` to the letter) then takes the package along, and what needs no more than
//! the upstream release does not. A package too many costs its size; one too few breaks the installation.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::parse::Record;

/// The dpkg status of the minimal host.
pub(super) fn status(records: &BTreeMap<(String, String), Record>) -> String {
    let mut text = String::new();
    for ((name, version), record) in records {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "Package: {name}\nStatus: install ok installed\nVersion: {}", floor(version));
        for field in
            ["Priority", "Section", "Maintainer", "Architecture", "Multi-Arch", "Essential", "Provides"]
        {
            if let Some(value) = record.fields.get(field) {
                let _ = writeln!(text, "{field}: {}", value.replace('\n', " "));
            }
        }
        // No Depends: the base is whole by definition, and its made-up versions would not satisfy them.
        text.push_str("Description: part of every Debian host\n\n");
    }
    text
}

/// The lowest version of the same upstream release: epoch and the first two numbers, the rest zero.
fn floor(version: &str) -> String {
    let (epoch, rest) = version
        .split_once(':')
        .map_or(("", version), |(_, rest)| (version.strip_suffix(rest).unwrap_or_default(), rest));
    let upstream = rest.rsplit_once('-').map_or(rest, |(upstream, _)| upstream);
    let end = upstream.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(upstream.len());
    let (numbers, tail) = upstream.split_at(end);
    let kept: Vec<&str> = numbers
        .trim_end_matches('.')
        .split('.')
        .enumerate()
        .map(|(at, part)| if at < 2 { part } else { "0" })
        .collect();
    let mut floor = kept.join(".");
    if floor.is_empty() {
        floor.push('0');
    }
    // `1.69~deb13u1` is below `1.69`.
    if tail.starts_with('~') {
        floor.push('~');
    }
    format!("{epoch}{floor}")
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    const VERSIONS: &[(&str, &str)] = &[
        ("2.41-12+deb13u4", "2.41"),
        ("5.40.1-6+deb13u1", "5.40.0"),
        ("3.5.7-1~deb13u3", "3.5.0"),
        ("1:1.3.dfsg+really1.3.1-1+deb13u1", "1:1.3"),
        ("1.22.22", "1.22.0"),
        ("6.5+20250216-2", "6.5"),
        ("2026f-0+deb13u1", "2026"),
        ("1.69~deb13u1", "1.69~"),
        ("5.3.28+dfsg2-9", "5.3.0"),
        ("1:4.4.38-1", "1:4.4.0"),
        ("0.0.25", "0.0.0"),
        ("20230701-1", "20230701"),
        ("a-1", "0"),
    ];

    #[test]
    fn the_floor_of_a_version() {
        for (version, low) in VERSIONS {
            assert_eq!(floor(version), *low, "{version}");
        }
    }

    #[test]
    fn dpkg_agrees_that_it_is_not_above() {
        for (version, _) in VERSIONS.iter().filter(|(version, _)| *version != "a-1") {
            let low = floor(version);
            let status =
                Command::new("dpkg").args(["--compare-versions", &low, "le", version]).status().unwrap();
            assert!(status.success(), "{low} <= {version}");
        }
    }
}
