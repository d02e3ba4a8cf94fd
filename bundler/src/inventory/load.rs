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

/// Reads an inventory from its text.
pub fn parse(file: &str, text: Arc<str>) -> Result<Inventory, Problems> {
    let tree = yaml::read(file, &text)?;
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
