//! Finds names that cannot be there, also where rendering would not look: in a branch that is not taken, in a
//! condition (tera takes an undefined value there for false).
//!
//! Only names whose every possible value is known are looked at: `settings.<name>`, and `host` and `fleet`.

use std::collections::BTreeSet;

use serde_json::Value;

use super::engine::Fault;

/// What may stand behind a root name.
pub(super) struct Known<'a> {
    /// The declared settings.
    pub(super) settings: BTreeSet<&'a str>,
    /// `host` and `fleet` with all their fields, the empty ones too.
    pub(super) trees: &'a Value,
}

/// The faults of one text.
pub(super) fn lint(text: &str, known: &Known<'_>) -> Vec<Fault> {
    let paths = paths(text);
    let bound = bound(text);
    let asked: BTreeSet<&[String]> =
        paths.iter().filter(|found| found.asked).map(|found| found.parts.as_slice()).collect();
    paths
        .iter()
        .filter(|found| !found.parts.first().is_some_and(|root| bound.contains(root)))
        .filter(|found| !asked.iter().any(|asked| found.parts.starts_with(asked)))
        .filter_map(|found| {
            let message = wrong(&found.parts, known)?;
            let (line, column) = place(text, found.at);
            Some(Fault { template: None, line, column, message })
        })
        .collect()
}

fn wrong(parts: &[String], known: &Known<'_>) -> Option<String> {
    let (root, rest) = parts.split_first()?;
    if root == "settings" {
        let name = rest.first()?;
        let names: Vec<&str> = known.settings.iter().copied().collect();
        return (!known.settings.contains(name.as_str())).then(|| {
            format!("setting `{name}` is not declared by this component; there are: {}", names.join(", "))
        });
    }
    let mut tree = known.trees.get(root)?;
    for name in rest {
        let fields = tree.as_object()?;
        let Some(below) = fields.get(name) else {
            let names: Vec<&str> = fields.keys().map(String::as_str).collect();
            return Some(format!(
                "field `{name}` of `{root}` is not defined; there are: {}",
                names.join(", ")
            ));
        };
        tree = below;
    }
    None
}

#[derive(Debug, PartialEq, Eq)]
struct Found {
    parts: Vec<String>,
    at: usize,
    // Followed by `is defined` or `| default`: whoever writes that knows that it may be missing.
    asked: bool,
}

fn paths(text: &str) -> Vec<Found> {
    let mut found = Vec::new();
    for (start, tag) in tags(text) {
        let mut at = 0;
        while let Some(rest) = tag.get(at..).filter(|rest| !rest.is_empty()) {
            let Some(first) = rest.chars().next() else { break };
            if matches!(first, '"' | '\'' | '`') {
                at += 1 + rest.get(1..).and_then(|tail| tail.find(first)).map_or(rest.len(), |end| end + 1);
            } else if first.is_ascii_alphabetic() || first == '_' {
                let fit = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
                let word: String = rest.chars().take_while(|c| fit(*c)).collect();
                let behind = rest.get(word.len()..).unwrap_or_default().trim_start();
                let before = tag.get(..at).unwrap_or_default().trim_end();
                if !before.ends_with(['.', '|']) {
                    let parts = word.trim_end_matches('.').split('.').map(str::to_owned).collect();
                    found.push(Found { parts, at: start + at, asked: is_asked(behind) });
                }
                at += word.len();
            } else {
                at += first.len_utf8();
            }
        }
    }
    found
}

fn is_asked(behind: &str) -> bool {
    let mut words = behind.split_whitespace();
    let (first, second) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    first == "is" || (first == "|" && second.starts_with("default")) || first.starts_with("|default")
}

// The inside of every `{{ }}` and `{% %}`, with its offset; comments and raw parts are left out.
fn tags(text: &str) -> Vec<(usize, &str)> {
    let mut tags = Vec::new();
    let mut at = 0;
    let mut raw = false;
    while let Some(next) = text.get(at..).and_then(|rest| rest.find('{')).map(|found| at + found) {
        let close = match text.get(next..next + 2) {
            Some("{{") => "}}",
            Some("{%") => "%}",
            Some("{#") => "#}",
            _ => {
                at = next + 1;
                continue;
            }
        };
        let inside = next + 2;
        let Some(length) = text.get(inside..).and_then(|rest| rest.find(close)) else { break };
        let tag = text.get(inside..inside + length).unwrap_or_default();
        let word = tag.trim_matches(['-', ' ', '\n', '\t']);
        match (close, word) {
            ("%}", "raw") => raw = true,
            ("%}", "endraw") => raw = false,
            ("#}", _) => {}
            _ if !raw => tags.push((inside, tag)),
            _ => {}
        }
        at = inside + length + 2;
    }
    tags
}

// Names that the text itself binds: they hide the ones that we know.
fn bound(text: &str) -> BTreeSet<String> {
    let mut bound = BTreeSet::new();
    for (_, tag) in tags(text) {
        let mut words = tag.split([' ', '\n', '\t', ',', '-', '=']).filter(|word| !word.is_empty());
        match words.next() {
            Some("for") => bound.extend(words.take_while(|word| *word != "in").map(str::to_owned)),
            Some("set" | "set_global") => bound.extend(words.next().map(str::to_owned)),
            _ => {}
        }
    }
    bound
}

fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or_default();
    let start = before.rfind('\n').map_or(0, |found| found + 1);
    (before.matches('\n').count() + 1, before.get(start..).unwrap_or_default().chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn faults(text: &str) -> Vec<(usize, usize, String)> {
        let host = json!({ "name": "m", "domain": null, "ssh": { "port": 22 } });
        let trees = json!({ "host": host, "fleet": { "version": "1" } });
        let known = Known { settings: ["port", "map"].into(), trees: &trees };
        lint(text, &known).into_iter().map(|fault| (fault.line, fault.column, fault.message)).collect()
    }

    #[test]
    fn unknown_names_are_found_in_any_branch() {
        let found = faults("a\n{% if settings.prot %}{{ host.ssh.prot }}{% endif %}");
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].0, found[0].1), (2, 7));
        assert!(found[0].2.contains("`prot` is not declared"), "{found:?}");
        assert!(found[1].2.contains("there are: port"), "{found:?}");
    }

    #[test]
    fn what_may_be_there_is_left_alone() {
        for text in [
            "{{ settings.port }} {{ settings.map.any.thing }} {{ host.domain }}",
            "{{ settings.maybe | default(value=1) }}",
            "{% if settings.maybe is defined and settings.maybe.x %}{% endif %}",
            "{# settings.nope #} settings.nope { settings.nope }",
            "{% raw %}{{ settings.nope }}{% endraw %}",
            "{% for host in hosts %}{{ host.components }}{% endfor %}",
            "{{ 'settings.nope' }} {{ x.settings.nope }} {{ components.a.settings.nope }}",
            "{{ $labels.instance }}",
        ] {
            assert_eq!(faults(text), [], "{text}");
        }
    }
}
