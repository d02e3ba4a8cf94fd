//! In what two bundles differ: pure, from two verified bundles to a list of changes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use chom_format::{RelPath, StepSpec};
use serde::Serialize;
use serde_json::Value;

use super::read::Bundle;

/// One thing that is other in the second bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What it is called.
    pub name: String,
    /// In the first bundle; none when it is not there.
    pub before: Option<String>,
    /// In the second bundle; none when it is not there.
    pub after: Option<String>,
}

/// A rendered file that is other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileChange {
    /// Where it goes on the host.
    pub path: String,
    /// Unified.
    pub diff: String,
}

/// Everything that is other.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Changes by what they are about, in a fixed order.
    pub sections: Vec<(&'static str, Vec<Change>)>,
    /// Rendered files.
    pub files: Vec<FileChange>,
}

impl Difference {
    /// Compares two bundles.
    pub fn between(before: &Bundle, after: &Bundle) -> Self {
        let both = |look: &dyn Fn(&Bundle) -> BTreeMap<String, String>| changes(&look(before), &look(after));
        let sections = [
            ("bundle", both(&bundle)),
            ("host", both(&host)),
            ("payloads", both(&payloads)),
            ("settings", both(&Bundle::settings)),
            ("requires", both(&requires)),
            ("ports", both(&ports)),
            ("programs", both(&programs)),
            ("steps", both(&steps)),
            ("checks", both(&checks)),
            ("other files", both(&others)),
        ];
        let sections = sections.into_iter().filter(|(_, changes)| !changes.is_empty()).collect();
        Self { sections, files: files(before, after) }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.sections.is_empty() && self.files.is_empty()
    }

    /// For a person.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for (title, changes) in &self.sections {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{title}:");
            for Change { name, before, after } in changes {
                let _ = match (before, after) {
                    (None, Some(after)) => writeln!(text, "  + {name} {after}"),
                    (Some(before), None) => writeln!(text, "  - {name} {before}"),
                    (before, after) => writeln!(
                        text,
                        "  ~ {name} {} -> {}",
                        before.as_deref().unwrap_or_default(),
                        after.as_deref().unwrap_or_default()
                    ),
                };
            }
        }
        self.files.iter().for_each(|file| text.push_str(&file.diff));
        text
    }
}

fn changes(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Vec<Change> {
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    names
        .into_iter()
        .map(|name| Change {
            name: name.clone(),
            before: before.get(name).cloned(),
            after: after.get(name).cloned(),
        })
        .filter(|change| change.before != change.after)
        .collect()
}

fn bundle(bundle: &Bundle) -> BTreeMap<String, String> {
    fields(serde_json::to_value(&bundle.manifest.bundle).unwrap_or_default())
}

fn host(bundle: &Bundle) -> BTreeMap<String, String> {
    fields(serde_json::to_value(&bundle.manifest.host).unwrap_or_default())
}

fn requires(bundle: &Bundle) -> BTreeMap<String, String> {
    fields(serde_json::to_value(&bundle.manifest.requires).unwrap_or_default())
}

fn fields(value: Value) -> BTreeMap<String, String> {
    let Value::Object(map) = value else { return BTreeMap::new() };
    map.into_iter().map(|(key, value)| (key, plain(&value))).collect()
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn payloads(bundle: &Bundle) -> BTreeMap<String, String> {
    bundle.payloads().into_iter().map(|payload| (payload.name, payload.version)).collect()
}

fn ports(bundle: &Bundle) -> BTreeMap<String, String> {
    bundle.manifest.ports.iter().map(|port| (port.port.to_string(), port.unit.to_string())).collect()
}

fn programs(bundle: &Bundle) -> BTreeMap<String, String> {
    let mut programs = BTreeMap::new();
    for (_, step) in bundle.manifest.steps() {
        if let StepSpec::Release(spec) = step.spec {
            let files = spec.files.into_iter();
            programs.extend(files.map(|(path, file)| {
                (
                    format!("{} {path}", step.component),
                    format!("{} sha256 {}", file.mode, file.content.sha256.short()),
                )
            }));
        }
    }
    programs
}

// Without what other sections tell: contents, packages, programs.
fn steps(bundle: &Bundle) -> BTreeMap<String, String> {
    let told = ["content", "files", "packages", "index", "dir", "runs"];
    bundle
        .manifest
        .steps()
        .into_iter()
        .map(|(_, step)| {
            let mut spec = serde_json::to_value(&step.spec).unwrap_or_default();
            if let Value::Object(map) = &mut spec {
                map.retain(|key, _| !told.contains(&key.as_str()));
            }
            if let StepSpec::Link(link) = &step.spec {
                spec = Value::String(format!("link to {}", without_release(&link.target)));
            }
            (step.id.to_string(), plain(&spec))
        })
        .collect()
}

// A release's id follows from its programs, which are told.
fn without_release(target: &str) -> &str {
    if target.starts_with("releases/") { "the release" } else { target }
}

fn checks(bundle: &Bundle) -> BTreeMap<String, String> {
    let check = |check: &chom_format::CheckSpec| {
        let mut value = serde_json::to_value(check).unwrap_or_default();
        if let Value::Object(map) = &mut value {
            map.retain(|key, _| !["id", "component"].contains(&key.as_str()));
        }
        (check.id.to_string(), value.to_string())
    };
    bundle.manifest.checks.iter().map(check).collect()
}

// The installer, and a signature that is there or not.
fn others(bundle: &Bundle) -> BTreeMap<String, String> {
    let told = |path: &str| {
        path.starts_with("files/")
            || path.starts_with("objects/")
            || [super::MANIFEST, super::SUMS, super::SBOM].contains(&path)
    };
    let others = bundle.files.iter().filter(|(path, _)| !told(path.as_str()));
    others.map(|(path, file)| (path.to_string(), format!("sha256 {}", file.sha256.short()))).collect()
}

fn files(before: &Bundle, after: &Bundle) -> Vec<FileChange> {
    let rendered = |bundle: &Bundle| -> BTreeMap<RelPath, Vec<u8>> {
        let texts = bundle.texts.iter().filter(|(path, _)| path.as_str().starts_with("files/"));
        texts.map(|(path, bytes)| (path.clone(), bytes.clone())).collect()
    };
    let (before, after) = (rendered(before), rendered(after));
    let paths: BTreeSet<&RelPath> = before.keys().chain(after.keys()).collect();
    paths
        .into_iter()
        .filter(|path| before.get(*path) != after.get(*path))
        .map(|path| {
            let path_on_host = path.as_str().strip_prefix("files").unwrap_or(path.as_str());
            FileChange {
                path: path_on_host.to_owned(),
                diff: unified(
                    path_on_host,
                    before.get(path).map(Vec::as_slice),
                    after.get(path).map(Vec::as_slice),
                ),
            }
        })
        .collect()
}

fn unified(path: &str, before: Option<&[u8]>, after: Option<&[u8]>) -> String {
    let name = |side: &str, bytes: Option<&[u8]>| match bytes {
        Some(_) => format!("{side}{path}"),
        None => "/dev/null".to_owned(),
    };
    let (old, new) = (name("a", before), name("b", after));
    let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap_or_default().to_vec());
    match (text(before), text(after)) {
        (Ok(before), Ok(after)) => {
            format!("--- {old}\n+++ {new}\n{}", chom_format::diff::unified(&before, &after))
        }
        _ => format!("--- {old}\n+++ {new}\nthese are no texts, and they differ\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_additions_removals_and_replacements() {
        let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let found =
            changes(&map(&[("a", "1"), ("b", "1"), ("c", "1")]), &map(&[("b", "1"), ("c", "2"), ("d", "1")]));
        let names: Vec<(&str, bool, bool)> =
            found.iter().map(|c| (c.name.as_str(), c.before.is_some(), c.after.is_some())).collect();
        assert_eq!(names, [("a", true, false), ("c", true, true), ("d", false, true)]);
        let text = Difference { sections: vec![("ports", found)], files: Vec::new() }.to_text();
        assert_eq!(text, "ports:\n  - a 1\n  ~ c 1 -> 2\n  + d 1\n");
    }

    #[test]
    fn files_are_shown_as_patches() {
        let patch = unified("/etc/x", Some(b"a\nb\n"), Some(b"a\nc\n"));
        assert!(patch.starts_with("--- a/etc/x\n+++ b/etc/x\n") && patch.contains("-b\n+c\n"), "{patch}");
        assert!(unified("/etc/x", None, Some(b"a\n")).starts_with("--- /dev/null\n"));
        assert!(unified("/etc/x", Some(b"\xff"), Some(b"a")).contains("no texts"));
    }
}
