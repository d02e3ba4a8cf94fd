//! Reads what apt writes. Pure.

use std::collections::BTreeMap;
use std::io::{self, BufRead};

use chom_format::Digest;

use crate::lock::model::PoolPath;

/// Reads `apt-get --print-uris install`, one line for each archive that would be downloaded:
/// `'http://mirror/debian/pool/main/n/nginx/nginx_1.26.3-3_amd64.deb' nginx_1.26.3-3_amd64.deb 613960 ...`.
/// The second column is name, version and architecture, whatever the file's name on the mirror is.
pub(super) fn downloads(text: &str) -> Vec<(String, String)> {
    let names = text.lines().filter(|line| line.starts_with('\'')).filter_map(|line| line.split(' ').nth(1));
    let pairs = names.filter_map(|name| {
        let (name, rest) = name.split_once('_')?;
        let (version, _) = rest.rsplit_once('_')?;
        Some((name.to_owned(), version.replace("%3a", ":")))
    });
    pairs.collect()
}

/// Reads `apt-get -s install`: the packages that would be removed.
pub(super) fn removals(text: &str) -> Vec<String> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("Remv ").or(line.strip_prefix("Purg ")));
    lines.filter_map(|rest| rest.split_whitespace().next()).map(str::to_owned).collect()
}

/// Reads a refused `apt-get -s install`: the unmet dependencies and the errors; none when it gives no reason.
pub(super) fn reasons(text: &str) -> Option<String> {
    let lines = text.lines().filter(|line| line.starts_with(' ') || line.starts_with("E: "));
    let reasons = lines.collect::<Vec<_>>().join("\n");
    (!reasons.is_empty()).then_some(reasons)
}

/// What an index says of one package version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) size: u64,
    pub(super) installed_kb: u64,
    pub(super) sha256: Digest,
    pub(super) file: PoolPath,
    /// All fields, for those who make a status of it.
    pub(super) fields: BTreeMap<String, String>,
}

/// Reads `apt-cache show`, by name and version. What lacks a digest or a path is not from an archive.
pub(super) fn records(text: &str) -> BTreeMap<(String, String), Record> {
    let stanzas = deb822_fast::borrowed::iter_paragraphs_borrowed(text).map_while(Result::ok);
    let mut records = BTreeMap::new();
    for stanza in stanzas {
        let fields: BTreeMap<String, String> =
            stanza.iter().map(|field| (field.name().to_owned(), field.join())).collect();
        if let Some((key, record)) = record(fields) {
            records.entry(key).or_insert(record);
        }
    }
    records
}

fn record(fields: BTreeMap<String, String>) -> Option<((String, String), Record)> {
    let key = (fields.get("Package")?.clone(), fields.get("Version")?.clone());
    let record = Record {
        size: fields.get("Size")?.parse().ok()?,
        // A package without files may leave it out.
        installed_kb: fields.get("Installed-Size").and_then(|size| size.parse().ok()).unwrap_or(0),
        sha256: fields.get("SHA256")?.parse().ok()?,
        file: PoolPath::new(fields.get("Filename")?).ok()?,
        fields,
    };
    Some((key, record))
}

/// Reads `apt-cache madison`: the suites that carry each name and version.
/// `nginx | 1.26.3-3 | http://mirror/debian trixie/main amd64 Packages`.
pub(super) fn suites(text: &str) -> BTreeMap<(String, String), Vec<String>> {
    let mut suites: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for line in text.lines() {
        let mut columns = line.split('|').map(str::trim);
        let (Some(name), Some(version), Some(from)) = (columns.next(), columns.next(), columns.next()) else {
            continue;
        };
        let suite = from.split_whitespace().nth(1).and_then(|suite| suite.split('/').next());
        if let (Some(suite), true) = (suite, from.ends_with("Packages")) {
            suites.entry((name.to_owned(), version.to_owned())).or_default().push(suite.to_owned());
        }
    }
    suites
}

/// Reads `apt-cache policy NAME...`: the version of each that would be installed.
pub(super) fn candidates(text: &str) -> Vec<(String, String)> {
    let mut name = "";
    let mut candidates = Vec::new();
    for line in text.lines() {
        if let Some(head) = line.strip_suffix(':').filter(|head| !head.starts_with(' ')) {
            name = head.split(':').next().unwrap_or(head);
        } else if let Some(version) =
            line.strip_prefix("  Candidate: ").filter(|version| *version != "(none)")
        {
            candidates.push((name.to_owned(), version.to_owned()));
        }
    }
    candidates
}

/// The source package that a package was built from: it has its own name unless a field says otherwise.
pub(super) fn source(fields: &BTreeMap<String, String>) -> Option<&str> {
    fields.get("Source").or_else(|| fields.get("Package")).and_then(|text| text.split_whitespace().next())
}

/// The names that a package depends on, alternatives included.
pub(super) fn depends(fields: &BTreeMap<String, String>) -> Vec<String> {
    let lists = ["Pre-Depends", "Depends"].into_iter().filter_map(|key| fields.get(key));
    let names = lists.flat_map(|list| list.split([',', '|'])).filter_map(|item| {
        let end = item
            .trim()
            .find(|c: char| c.is_whitespace() || c == '(' || c == ':')
            .unwrap_or(item.trim().len());
        item.trim().get(..end).filter(|name| !name.is_empty()).map(str::to_owned)
    });
    let mut names: Vec<String> = names.collect();
    names.sort();
    names.dedup();
    names
}

/// Reads `apt-cache dumpavail` as it comes, and gives the names of the packages that every system has.
pub(super) fn essential(mut reader: impl BufRead) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    let (mut name, mut needed) = (String::new(), false);
    let mut line = Vec::new();
    // A line at a time in one buffer: there are more than a million of them.
    while {
        line.clear();
        reader.read_until(b'\n', &mut line)?
    } > 0
    {
        match line.as_slice() {
            b"\n" => {
                if std::mem::take(&mut needed) {
                    names.push(std::mem::take(&mut name));
                }
            }
            b"Essential: yes\n" | b"Priority: required\n" => needed = true,
            line => {
                if let Some(text) = line.strip_prefix(b"Package: ") {
                    name = String::from_utf8_lossy(text).trim_end().to_owned();
                }
            }
        }
    }
    if needed {
        names.push(name);
    }
    names.sort();
    names.dedup();
    Ok(names)
}

/// Reads the head of an `InRelease` file: when it was made, RFC 3339.
pub(super) fn release_date(text: &str) -> Option<String> {
    let date = text.lines().take(40).find_map(|line| line.strip_prefix("Date: "))?;
    let date = date.trim().replace(" UTC", " +0000");
    let zoned = jiff::fmt::rfc2822::parse(&date).ok()?;
    Some(zoned.timestamp().strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn downloads_are_read() {
        let text = "'http://mirror.example/debian/pool/main/g/glibc/libc6_2.41-12_amd64.deb' libc6_2.41-12_amd64.deb 2847016 SHA256:00\n\
            'copy:/srv/pool/zlib1g_1.3_amd64.deb' zlib1g_1%3a1.3.dfsg+really1.3.1-1+b1_amd64.deb 88000 SHA256:00\n\
            Reading package lists...\n";
        let pair = |name: &str, version: &str| (name.to_owned(), version.to_owned());
        assert_eq!(
            downloads(text),
            [pair("libc6", "2.41-12"), pair("zlib1g", "1:1.3.dfsg+really1.3.1-1+b1")]
        );
    }

    #[test]
    fn removals_are_read() {
        let text = "NOTE: This is only a simulation!\nRemv exim4 [4.98]\nInst libc6 (2.41 Debian:13.5/stable [amd64])\n";
        assert_eq!(removals(text), ["exim4"]);
    }

    #[test]
    fn reasons_are_read() {
        let text = "Building dependency tree...\nThe following packages have unmet dependencies:\n a : Depends: b but it is not installable\nE: Unable to correct problems.\n";
        assert_eq!(
            reasons(text).unwrap(),
            " a : Depends: b but it is not installable\nE: Unable to correct problems."
        );
        assert_eq!(reasons("Reading package lists...\n"), None);
    }

    #[test]
    fn records_are_read_and_a_status_stanza_is_not_one() {
        let digest = Digest::of(b"x");
        let text = format!(
            "Package: ufw\nStatus: install ok installed\nVersion: 0.36\n\n\
             Package: ufw\nVersion: 0.36.2-9\nInstalled-Size: 868\nSize: 168772\nSHA256: {digest}\n\
             Filename: pool/main/u/ufw/ufw_0.36.2-9_all.deb\nDescription: short\n long\n"
        );
        let records = records(&text);
        assert_eq!(records.len(), 1);
        let record = &records[&("ufw".to_owned(), "0.36.2-9".to_owned())];
        assert_eq!((record.size, record.installed_kb, record.file.arch()), (168_772, 868, "all"));
    }

    #[test]
    fn candidates_are_read() {
        let text = "promtool:\n  Installed: (none)\n  Candidate: 2.53.3+ds1-2\n  Version table:\n     2.53.3+ds1-2 500\n        500 http://mirror.example/debian trixie/main amd64 Packages\ndebconf-2.0:\n  Installed: (none)\n  Candidate: (none)\n  Version table:\n";
        assert_eq!(candidates(text), [("promtool".to_owned(), "2.53.3+ds1-2".to_owned())]);
    }

    #[test]
    fn sources_and_dependencies_are_read() {
        let fields = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect::<BTreeMap<_, _>>()
        };
        let own = fields(&[
            ("Package", "prometheus"),
            ("Depends", "adduser, libc6 (>= 2.34), debconf (>= 0.5) | debconf-2.0, python3:any"),
        ]);
        assert_eq!(source(&own), Some("prometheus"));
        assert_eq!(depends(&own), ["adduser", "debconf", "debconf-2.0", "libc6", "python3"]);
        let other = fields(&[("Package", "promtool"), ("Source", "prometheus (2.53.3+ds1-1)")]);
        assert_eq!(source(&other), Some("prometheus"));
    }

    #[test]
    fn suites_are_read() {
        let text = "     nginx | 1.26.3-3+deb13u11 | http://mirror.example/debian-security trixie-security/main amd64 Packages\n\
                    nginx | 1.26.3-3+deb13u7 | http://mirror.example/debian trixie/main amd64 Packages\n\
                    nginx | 1.26.3-3+deb13u7 | http://mirror.example/debian trixie/main Sources\n";
        let suites = suites(text);
        assert_eq!(suites[&("nginx".to_owned(), "1.26.3-3+deb13u11".to_owned())], ["trixie-security"]);
        assert_eq!(suites[&("nginx".to_owned(), "1.26.3-3+deb13u7".to_owned())], ["trixie"]);
    }

    #[test]
    fn what_every_system_has_is_found() {
        let text = "Package: a\nPriority: required\n\nPackage: b\nPriority: optional\n\nPackage: c\nEssential: yes\n";
        assert_eq!(essential(text.as_bytes()).unwrap(), ["a", "c"]);
    }

    #[test]
    fn the_date_of_a_release_is_read() {
        let text = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nOrigin: Debian\nDate: Sat, 15 Nov 2025 09:41:02 UTC\n";
        assert_eq!(release_date(text).unwrap(), "2025-11-15T09:41:02Z");
        assert_eq!(release_date("Origin: Debian\n"), None);
    }
}
