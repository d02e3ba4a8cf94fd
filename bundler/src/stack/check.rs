//! What no single file of `targets/` can know by its shape. Pure.

use std::collections::BTreeSet;

use chom_format::ComponentName;
use serde_json::Value;

use super::catalog::{Catalog, LoadedComponent, Stack};
use super::component::{SettingFile, SettingKind, Source};
use super::setting::{RESERVED, setting_schema};
use crate::problem::Problem;
use crate::yaml::walk::{Walk, nearest};

/// All problems of a catalog whose files are well formed one by one.
pub fn catalog(catalog: &Catalog) -> Vec<Problem> {
    let mut problems = Vec::new();
    let known: BTreeSet<&str> = catalog
        .stacks
        .values()
        .flat_map(|stack| stack.components.keys().map(ComponentName::as_str))
        .collect();
    for stack in catalog.stacks.values() {
        for part in stack.components.values().filter(|part| part.home == stack.name) {
            problems.extend(component(part, &known));
        }
        problems.extend(cycle(stack));
    }
    problems
}

fn component(part: &LoadedComponent, known: &BTreeSet<&str>) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut tell = |path: &[&str], message: String, remedy: String| {
        let place = part.locate(path).unwrap_or_default();
        let problem = Problem::at(&part.source.shown, place, path.join("."), message, remedy);
        problems.push(problem.with_excerpt(&part.source.text));
    };
    for (index, before) in part.file.after.iter().enumerate() {
        if !known.contains(before.as_str()) {
            let candidates: Vec<&str> = known.iter().copied().collect();
            let near = nearest(before.as_str(), &candidates);
            let remedy =
                near.map_or_else(|| "check its name".to_owned(), |near| format!("did you mean `{near}`?"));
            tell(&["after", &index.to_string()], format!("there is no component `{before}`"), remedy);
        }
    }
    if let Some(payload) = &part.file.payload {
        let (name, there) = match payload.source {
            Source::Debian => ("debian", payload.debian.is_some()),
            Source::Upstream => ("upstream", payload.upstream.is_some()),
        };
        if !there {
            tell(
                &["payload", "source"],
                format!("the payload has no `{name}` block"),
                format!("write `payload.{name}`"),
            );
        }
        if let Some(upstream) = &payload.upstream
            && upstream.sums.is_none()
            && upstream.sha256.is_empty()
        {
            let remedy = "give `sums`, the address of the published checksums, or `sha256` by architecture";
            tell(
                &["payload", "upstream"],
                "nothing says what the archive's digest is".to_owned(),
                remedy.to_owned(),
            );
        }
    }
    for (name, declared) in &part.file.settings {
        if let Some((message, remedy)) = setting(name, declared) {
            tell(&["settings", name], message, remedy);
        }
    }
    problems.extend(defaults(part));
    problems
}

fn setting(name: &str, declared: &SettingFile) -> Option<(String, String)> {
    let fit = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if RESERVED.contains(&name) {
        return Some((
            format!("`{name}` means something else in an inventory"),
            "give the setting another name".to_owned(),
        ));
    }
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(fit) {
        let remedy = "use lower-case letters, digits and `_`".to_owned();
        return Some((format!("`{name}` cannot be named in a template"), remedy));
    }
    let is_enum = declared.kind == SettingKind::Enum;
    if is_enum == declared.values.is_empty() {
        let message = if is_enum { "an enum has `values`" } else { "only an enum has `values`" };
        return Some((format!("setting `{name}`: {message}"), "see docs/components.md".to_owned()));
    }
    if declared.kind != SettingKind::Map && declared.keys.is_some() {
        return Some((format!("setting `{name}`: only a map has `keys`"), "remove `keys`".to_owned()));
    }
    let holds = matches!(declared.kind, SettingKind::List | SettingKind::Map);
    if !holds && declared.of.is_some() {
        return Some((format!("setting `{name}`: only a list or map has `of`"), "remove `of`".to_owned()));
    }
    None
}

fn defaults(part: &LoadedComponent) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (name, declared) in &part.file.settings {
        let Some(node) = part.tree.find(&["settings", name, "default"]).filter(|node| !node.is_null()) else {
            continue;
        };
        let schema: Value = setting_schema(declared);
        let key = format!("settings.{name}.default");
        problems.extend(Walk::new(&part.source.shown, &part.source.text, &schema).run(node, &schema, &key));
    }
    problems
}

// What is left when every component whose predecessors are gone is taken away again and again.
fn cycle(stack: &Stack) -> Option<Problem> {
    let mut left: BTreeSet<&ComponentName> = stack.components.keys().collect();
    loop {
        let ready = left.iter().copied().find(|name| {
            let part = stack.components.get(*name);
            part.is_none_or(|part| !part.file.after.iter().any(|before| left.contains(before)))
        });
        match ready {
            Some(name) => left.remove(name),
            None => break,
        };
    }
    let first = stack.components.get(*left.first()?)?;
    let names: Vec<&str> = left.iter().map(|name| name.as_str()).collect();
    let message = format!("`after` goes in a circle through {}", names.join(", "));
    let place = first.locate(&["after"]).unwrap_or_default();
    Some(Problem::at(&first.source.shown, place, "after", message, "remove one of these `after`"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::stack::{Sources, TextFile};

    const STACK: &str =
        "summary: s\nrequires: {cpu: 1, memory_mb: 1, disk_gb: 1}\nroot: /opt/s\nowner: root:root\n";

    fn load(files: &[(&str, &str)]) -> Result<Catalog, Vec<String>> {
        let mut sources = Sources::default();
        let all = [("targets/s/stack.yaml", STACK)].iter().chain(files);
        for (path, text) in all {
            let file = TextFile { shown: (*path).to_owned(), text: Arc::from(*text) };
            sources.0.insert((*path).to_owned(), file);
        }
        Catalog::parse(&sources).map_err(|problems| {
            problems.iter().map(|p| format!("{}:{} {} | {}", p.file, p.line, p.message, p.remedy)).collect()
        })
    }

    #[test]
    fn a_component_and_an_included_one_are_found() {
        let other = format!("{STACK}includes: [s/a]\n");
        let catalog = load(&[
            ("targets/s/a.yaml", "summary: a\nfiles:\n  - { path: /x, mode: 0644 }\n"),
            ("targets/t/stack.yaml", &other),
            ("targets/README.md", "words"),
            ("templates/s/a.tera", "t"),
        ])
        .unwrap();
        let part = &catalog.stacks["t"].components["a"];
        assert_eq!(part.home.as_str(), "s");
        assert_eq!(part.file.files[0]["mode"], "0644");
        assert_eq!(part.locate(&["files", "0", "mode"]), Some((3, 23)));
        assert_eq!(part.locate(&["files", "0", "absent"]), Some((3, 5)));
        assert_eq!(catalog.templates.keys().collect::<Vec<_>>(), ["s/a.tera"]);
    }

    #[test]
    fn every_mistake_is_told_at_its_place() {
        for (text, says) in [
            (
                "summary: a\nenbaled: true\n",
                "targets/s/a.yaml:2 unknown key `enbaled` | did you mean `enabled`?",
            ),
            ("enabled: true\n", "targets/s/a.yaml:1 the file has no `summary` | add `summary: ...`"),
            (
                "summary: a\nafter: [bb]\n",
                "targets/s/a.yaml:2 there is no component `bb` | did you mean `b`?",
            ),
            (
                "summary: a\nafter: [b]\n",
                "targets/s/a.yaml:2 `after` goes in a circle through a, b | remove one of these `after`",
            ),
            (
                "summary: a\npayload: { source: upstream }\n",
                "targets/s/a.yaml:2 the payload has no `upstream` block | write `payload.upstream`",
            ),
            (
                "summary: a\nsettings:\n  port: { type: port, default: 0, help: x }\n",
                "targets/s/a.yaml:3 `settings.port.default` is 0, out of its range | it goes from 1 to 65535",
            ),
            (
                "summary: a\nsettings:\n  version: { type: string, help: x }\n",
                "targets/s/a.yaml:3 `version` means something else in an inventory | give the setting another name",
            ),
            (
                "summary: a\nsettings:\n  x: { type: enum, help: x }\n",
                "targets/s/a.yaml:3 setting `x`: an enum has `values` | see docs/components.md",
            ),
            (
                "summary: a\nsettings:\n  x: { type: prot, help: x }\n",
                "targets/s/a.yaml:3 `prot` is no value of `settings.x.type` | did you mean `port`? it is one of: string, \
                 text, bool, integer, port, duration, size, url, network, name, mail, short_size, crypt_hash, address, path, list, map, enum, secret_file",
            ),
            (
                "summary: a\npayload:\n  source: debian\n  debian: { pacakges: [x] }\n",
                "targets/s/a.yaml:4 unknown key `pacakges` in `payload.debian` | did you mean `packages`?",
            ),
        ] {
            let problems =
                load(&[("targets/s/a.yaml", text), ("targets/s/b.yaml", "summary: b\nafter: [a]\n")])
                    .unwrap_err();
            assert!(problems.iter().any(|problem| problem == says), "{problems:#?}\n{says}");
        }
    }

    #[test]
    fn files_in_the_wrong_place_are_named() {
        for (path, says) in [
            ("targets/s/a.yml", "targets/s/a.yml:0 this is neither a stack nor a component"),
            ("targets/a.yaml", "targets/a.yaml:0 this is neither a stack nor a component"),
            ("targets/u/a.yaml", "targets/u/a.yaml:0 component `a` lies in a folder without a stack.yaml"),
            ("targets/s/A.yaml", "targets/s/A.yaml:0 `A` is not a component name"),
        ] {
            let problems = load(&[(path, "summary: a\n")]).unwrap_err();
            assert!(problems.iter().any(|problem| problem.starts_with(says)), "{problems:#?}");
        }
    }
}
