//! The five values that `chom-bundle facts --write` sets.

use std::path::Path;

use chom_format::{Digest, Facts};

use super::error::EditError;
use super::patch::{Written, set};
use super::prove::{Meant, prove};
use super::replace::{Saved, replace};
use crate::inventory::legacy;
use crate::problem::Problems;
use crate::stack::sources::read_text;
use crate::yaml;

/// Writes what was measured on `host` into the inventory.
pub fn write_specs(path: &Path, host: &str, facts: &Facts) -> Result<Saved, EditError> {
    let text = read_text(path).map_err(Problems::from)?;
    let new = with_specs(&path.display().to_string(), &text, host, facts)?;
    replace(path, Digest::of(text.as_bytes()), &new, &stamp(&facts.detected_at), || ())
}

/// The text of an inventory with the five values set.
pub fn with_specs(file: &str, text: &str, host: &str, facts: &Facts) -> Result<String, EditError> {
    let tree = yaml::read(file, text).map_err(|problem| EditError::Read(problem.into()))?;
    let role = legacy::is_legacy(&tree).then(|| legacy::role_of(&tree, host)).flatten();
    let path = role.map_or_else(|| vec!["hosts", host, "specs"], |role| vec![role, "specs"]);
    let above = path.split_last().map(|(_, above)| above).unwrap_or_default();
    if tree.find(above).is_none() {
        return Err(EditError::NoHost { file: file.to_owned(), host: host.to_owned() });
    }
    let values = values(facts);
    let mut new = text.to_owned();
    for (key, value) in &values {
        new = set(file, &new, &path, key, value)?;
    }
    let meant: Vec<Meant<'_>> = values.iter().map(|(key, value)| (path.as_slice(), *key, value)).collect();
    prove(file, text, &new, &meant)?;
    Ok(new)
}

fn values(facts: &Facts) -> [(&'static str, Written); 5] {
    [
        ("cpu", Written::Number(facts.cpu.into())),
        ("memory_mb", Written::Number(facts.memory_mb)),
        ("disk_gb", Written::Number(facts.disk_gb)),
        ("detected_at", Written::Text(facts.detected_at.clone())),
        ("detection_source", Written::Text(facts.detection_source.clone())),
    ]
}

// 2026-11-21T21:00:00Z as 20261121T210000Z, whatever the facts claim: it becomes part of a file name.
fn stamp(detected_at: &str) -> String {
    let now = jiff::Timestamp::now();
    let when = detected_at.parse::<jiff::Timestamp>().unwrap_or(now);
    when.strftime("%Y%m%dT%H%M%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    const EVERY_STYLE: &str = include_str!("../../tests/data/every-style.yaml");
    const KEYS: [&str; 5] = ["cpu", "detected_at", "detection_source", "disk_gb", "memory_mb"];

    fn facts(when: &str) -> Facts {
        Facts {
            format: 1,
            detected_at: when.to_owned(),
            detection_source: "chom-install 0.1.0: measured, # on \"it\"".to_owned(),
            hostname: "h".to_owned(),
            machine_id: None,
            os_id: "debian".to_owned(),
            os_version: None,
            os_codename: None,
            kernel: "6".to_owned(),
            arch: "x86_64".to_owned(),
            cpu: 3,
            memory_mb: 7777,
            disk_gb: 55,
            disks: Vec::new(),
            addresses: Vec::new(),
            ssh_host_keys: Vec::new(),
        }
    }

    fn tree(text: &str) -> Value {
        yaml::read("t", text).unwrap().value()
    }

    fn hosts(text: &str) -> Vec<String> {
        tree(text)["hosts"].as_object().unwrap().keys().cloned().collect()
    }

    // The dotted keys of the values that are not the same.
    fn changed(old: &Value, new: &Value, at: &str, into: &mut BTreeSet<String>) {
        match (old, new) {
            (Value::Object(a), Value::Object(b)) => {
                for key in a.keys().chain(b.keys()) {
                    changed(&old[key], &new[key], &yaml::walk::join(at, key), into);
                }
            }
            (Value::Null, Value::Object(b)) => {
                b.keys().for_each(|key| changed(old, &new[key], &yaml::walk::join(at, key), into))
            }
            _ if old != new => {
                into.insert(at.to_owned());
            }
            _ => {}
        }
    }

    fn check(old: &str, host: &str) -> String {
        let first = with_specs("t", old, host, &facts("2026-11-21T20:00:00Z"))
            .unwrap_or_else(|e| panic!("{host}: {e}"));
        let mut keys = BTreeSet::new();
        changed(&tree(old), &tree(&first), "", &mut keys);
        assert_eq!(keys, KEYS.map(|key| format!("hosts.{host}.specs.{key}")).into(), "{host}");
        // Line by line: at most the five keys and one `specs:`, all between this host's name and the next host's.
        let changes = chom_format::diff::lines(old, &first);
        let gone: Vec<_> =
            changes.iter().filter(|change| change.0 == chom_format::diff::Edit::Gone).collect();
        assert!(gone.len() <= 6 && changes.len() - gone.len() <= 6, "{host}: {changes:#?}");
        let lines: Vec<&str> = old.lines().collect();
        let named = |line: &&str| {
            [format!("  {host}:"), format!("  ? {host}")].iter().any(|name| line.starts_with(name))
        };
        let begin = lines.iter().position(named).unwrap();
        let next = |line: &&str| line.starts_with("  # ----") || line.starts_with("# note");
        let end = begin + lines[begin..].iter().position(next).unwrap();
        let new: Vec<&str> = first.lines().collect();
        assert_eq!(new[..begin], lines[..begin], "{host}");
        assert_eq!(new[new.len() - (lines.len() - end)..], lines[end..], "{host}");
        assert_eq!(
            with_specs("t", &first, host, &facts("2026-11-21T20:00:00Z")).unwrap(),
            first,
            "{host}: not stable"
        );
        let second = with_specs("t", &first, host, &facts("2027-01-01T00:00:00Z")).unwrap();
        assert_eq!(second.replace("2027-01-01T00:00:00Z", "2026-11-21T20:00:00Z"), first, "{host}");
        first
    }

    #[test]
    fn the_diff_is_exactly_the_five_keys_in_every_style() {
        assert!(EVERY_STYLE.lines().count() > 300);
        let crlf = EVERY_STYLE.replace('\n', "\r\n");
        let marked = format!("\u{feff}{}", EVERY_STYLE.replacen("%YAML 1.2\n---\n", "", 1));
        let ended = format!("{}\n", EVERY_STYLE.trim_end_matches("\n..."));
        for host in hosts(EVERY_STYLE) {
            check(EVERY_STYLE, &host);
        }
        for text in [&crlf, &marked, &ended] {
            for host in ["block", "flow", "none", "empty", "tail", "last"] {
                check(text, host);
            }
        }
    }

    #[test]
    fn host_after_host_leaves_the_others_alone() {
        let mut text = EVERY_STYLE.to_owned();
        for host in hosts(EVERY_STYLE) {
            text = check(&text, &host);
        }
        let specs: Vec<Value> =
            hosts(&text).iter().map(|host| tree(&text)["hosts"][host]["specs"]["cpu"].clone()).collect();
        assert_eq!(specs, vec![Value::from(3); specs.len()]);
        insta::assert_snapshot!(text.replace("\t", "<tab>"));
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(48))]

        // Ok means proven, so all that is asked of a damaged file is an answer.
        #[test]
        fn a_damaged_file_is_edited_rightly_or_not_at_all(
            cut in 0..EVERY_STYLE.len(),
            length in 1..40_usize,
            into in "[-:#{}\\[\\]&*!|>'\"%@` \na0~?,]{0,3}",
            which in 0..19_usize,
        ) {
            let mut bytes = EVERY_STYLE.as_bytes().to_vec();
            let end = (cut + length).min(bytes.len());
            bytes.splice(cut..end, into.bytes());
            let text = String::from_utf8(bytes).unwrap();
            let host = &hosts(EVERY_STYLE)[which];
            if let Ok(new) = with_specs("t", &text, host, &facts("2026-11-21T20:00:00Z")) {
                let after = tree(&new);
                proptest::prop_assert_eq!(&after["hosts"][host]["specs"]["cpu"], &Value::from(3));
                let mut keys = BTreeSet::new();
                changed(&tree(&text), &after, "", &mut keys);
                let prefix = format!("hosts.{host}.specs.");
                proptest::prop_assert!(keys.iter().all(|key| key.starts_with(&prefix)), "{:?}", keys);
            }
        }
    }

    #[test]
    fn both_shapes_are_written_where_they_say_so() {
        let old = "observability:\n  hostname: mentat.internal # name\n  ip: 10.0.0.1\n  specs:\n    cpu: 1 # STATIC\n";
        let new = with_specs("t", old, "mentat", &facts("2026-11-21T20:00:00Z")).unwrap();
        assert!(new.starts_with("observability:\n  hostname: mentat.internal # name\n  ip: 10.0.0.1\n  specs:\n    cpu: 3 # STATIC\n    memory_mb: 7777\n"), "{new}");
        assert!(matches!(with_specs("t", old, "other", &facts("x")), Err(EditError::NoHost { .. })));
    }
}
