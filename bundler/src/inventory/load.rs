//! The file into a tree of the present shape.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::{legacy, model, placeholder};
use crate::problem::{Problem, Problems};
use crate::stack::sources::read_text;
use crate::yaml::walk::Walk;
use crate::yaml::{self, Kind, Node};

/// An inventory that is well formed as far as its own file goes.
#[derive(Debug, Clone)]
pub struct Inventory {
    /// The file's name for messages.
    pub file: String,
    /// The text, for excerpts.
    pub text: Arc<str>,
    /// The tree in the present shape, whatever shape the file has.
    pub tree: Arc<Node>,
    /// Whether the file has the old shape of two roles.
    pub legacy: bool,
    /// What is wrong with it so far.
    pub problems: Vec<Problem>,
}

/// Reads an inventory. What is wrong with its content is collected, not returned, so that the later checks can add
/// theirs; what makes reading on impossible is returned.
pub fn load(path: &Path) -> Result<Inventory, Problems> {
    if !path.exists() {
        let remedy =
            "`chom-bundle init` writes one to start from; --inventory or CHOM_INVENTORY names another";
        return Err(Problem::whole(path.display().to_string(), "there is no inventory here", remedy).into());
    }
    let text = read_text(path)?;
    parse(&path.display().to_string(), text)
}

// A place for anchors, which no host has.
fn without_extras(tree: Arc<Node>) -> Arc<Node> {
    let Kind::Map(entries) = &tree.kind else { return tree };
    if !entries.iter().any(|entry| entry.key.starts_with("x-")) {
        return tree;
    }
    let kept = entries.iter().filter(|entry| !entry.key.starts_with("x-")).cloned().collect();
    Arc::new(Node { kind: Kind::Map(kept), ..(*tree).clone() })
}

// A blank that looks like one and is none, where only one can stand: YAML sees a text there, and complains elsewhere.
fn lookalike(file: &str, text: &str) -> Option<Problem> {
    let strange = |c: char| c.is_whitespace() && !matches!(c, ' ' | '\t' | '\r');
    (1..).zip(text.lines()).find_map(|(number, line)| {
        let indent = line.chars().take_while(|c| c.is_whitespace()).collect::<Vec<_>>();
        let key = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ' ');
        let at = indent.iter().position(|c| strange(*c)).or_else(|| {
            let colon = line.chars().position(|c| c == ':')?;
            let is_key = line.chars().take(colon).all(key);
            (is_key && line.chars().nth(colon + 1).is_some_and(strange)).then_some(colon + 1)
        })?;
        let blank = u32::from(line.chars().nth(at)?);
        let message = format!("U+{blank:04X} looks like a blank, and YAML reads it as a letter");
        Some(Problem::at(file, (number, at + 1), "", message, "replace it by an ordinary blank"))
    })
}

/// Reads an inventory from its text.
pub fn parse(file: &str, text: Arc<str>) -> Result<Inventory, Problems> {
    if let Some(problem) = lookalike(file, &text) {
        return Err(problem.into());
    }
    let tree = without_extras(yaml::read(file, &text)?);
    if !matches!(tree.kind, Kind::Map(_)) {
        let message = format!("an inventory is a mapping, and this is {}", tree.what());
        return Err(
            Problem::at(file, tree.place.at(), "", message, "`chom-bundle init` shows the shape").into()
        );
    }
    let legacy = legacy::is_legacy(&tree);
    let schema: Value = model::schema();
    let (tree, mut problems) = if legacy {
        let converted = legacy::convert(file, &text, &tree);
        let mut problems = converted.problems;
        // The same mistakes would be told again in words that the old file does not have.
        if problems.is_empty() {
            problems.extend(Walk::new(file, &text, &schema).partial().excusing(placeholder::is).run(
                &converted.tree,
                &schema,
                "",
            ));
        }
        problems.extend(converted.refused);
        (converted.tree, problems)
    } else {
        // Partial, for a host's keys may come from another layer.
        (
            Arc::clone(&tree),
            Walk::new(file, &text, &schema).partial().excusing(placeholder::is).run(&tree, &schema, ""),
        )
    };
    if !legacy {
        problems.extend(["version", "hosts"].into_iter().filter(|key| tree.get(key).is_none()).map(|key| {
            let message = format!("the inventory has no `{key}`");
            Problem::at(file, (1, 1), key, message, format!("add `{key}: ...`")).with_excerpt("")
        }));
    }
    Ok(Inventory { file: file.to_owned(), text, tree, legacy, problems })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str =
        "version: 1.0.0\nhosts:\n  mentat:\n    address: 10.0.0.1\n    stacks: [observability]\n";

    #[test]
    fn a_blank_that_is_none_is_named_at_its_line_and_alone() {
        for (from, to, place, name) in [
            ("    address", "   \u{a0}address", (4, 4), "U+00A0"),
            ("address: 10", "address:\u{2009}10", (4, 13), "U+2009"),
            ("  mentat", "\u{3000}mentat", (3, 1), "U+3000"),
        ] {
            let problems = parse("i", HEAD.replace(from, to).into()).unwrap_err();
            let found: Vec<_> = problems.iter().collect();
            assert_eq!(found.len(), 1, "{problems}");
            assert!(
                (found[0].line, found[0].column) == place && found[0].message.contains(name),
                "{problems}"
            );
        }
        let fine = HEAD.replace("version: 1.0.0", "# a:\u{a0}b\nversion: 1.0.0");
        assert_eq!(parse("i", fine.into()).unwrap().problems, []);
    }

    #[test]
    fn keys_that_begin_with_x_are_a_place_for_anchors() {
        let text = format!("x-small: &small {{ cpu: 1, memory_mb: 512 }}\n{HEAD}    specs: *small\n");
        let inventory = parse("i", text.into()).unwrap();
        assert_eq!(inventory.problems, []);
        assert!(inventory.tree.get("x-small").is_none());
        assert!(inventory.tree.find(&["hosts", "mentat", "specs", "cpu"]).is_some());
        let below = HEAD.replace("    stacks", "    x-a: 1\n    stacks");
        assert_eq!(parse("i", below.into()).unwrap().problems.len(), 1, "at the top alone");
    }
}
