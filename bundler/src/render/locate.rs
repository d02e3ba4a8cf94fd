//! From a place in a text to the place in the file that holds the text.

use super::engine::{Fault, REMEDY, with_expression};
use super::sources::Sources;
use super::wanted::Spot;
use crate::problem::Problem;
use crate::yaml::Node;

/// Where the value at a path of keys and indices stands; the nearest known value above it otherwise.
pub(super) fn spot(sources: &Sources, file: &str, path: &[String]) -> Spot {
    let nowhere = Spot { file: file.to_owned(), line: 0, column: 0 };
    let Some((_, Some(tree))) = sources.component(file) else { return nowhere };
    match nearest(tree, path) {
        Some(node) => Spot { file: file.to_owned(), line: node.place.line, column: node.place.column },
        None => nowhere,
    }
}

/// The problem of a fault in the text at a path of a component file.
pub(super) fn problem(fault: Fault, text: &str, sources: &Sources, file: &str, path: &[String]) -> Problem {
    if let Some(name) = fault.template.clone() {
        return fault.in_template(&name, sources);
    }
    let message = with_expression(&fault.message, text, fault.line, fault.column);
    let key = path.join(".");
    let at = spot(sources, file, path);
    let Some((source, Some(tree))) = sources.component(file) else {
        return Problem::at(file, (at.line, at.column), key, message, REMEDY);
    };
    let place = nearest(tree, path)
        .and_then(|node| within(source, node, text, &fault))
        .unwrap_or((at.line, at.column));
    Problem::at(file, place, key, message, REMEDY).with_excerpt(source)
}

fn nearest<'t>(tree: &'t Node, path: &[String]) -> Option<&'t Node> {
    let keys: Vec<&str> = path.iter().map(String::as_str).collect();
    (0..=keys.len()).rev().find_map(|length| tree.find(keys.get(..length)?))
}

// The line of the text that has the fault is searched for in the bytes of the scalar: whatever quotes and
// indentation are around it, the line itself stands there, unless it has escapes.
fn within(source: &str, node: &Node, text: &str, fault: &Fault) -> Option<(usize, usize)> {
    let wrong = text.lines().nth(fault.line.checked_sub(1)?)?;
    let start = node.place.start;
    let end = node.place.end.max(start + text.len()).min(source.len());
    let found = start + source.get(start..end).or_else(|| source.get(start..))?.find(wrong.trim())?;
    let before = source.get(..found)?;
    let line = before.matches('\n').count() + 1;
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let indent = wrong.chars().take_while(|c| c.is_whitespace()).count();
    let column = before.get(line_start..)?.chars().count() + fault.column.saturating_sub(indent);
    Some((line, column))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::TextFile;

    const FILE: &str = "summary: x\nfiles:\n  - { path: \"/etc/{{ nope }}\", mode: \"0644\" }\n  - path: /b\n    content: |\n      one\n        {{ nope }} two\n";

    fn place(path: &[&str], text: &str, line: usize, column: usize) -> (usize, usize) {
        let mut sources = Sources::default();
        sources.add_component(TextFile { shown: "c.yaml".into(), text: FILE.into() });
        let path: Vec<String> = path.iter().map(|&key| key.to_owned()).collect();
        let fault = Fault { template: None, line, column, message: "m".into() };
        let found = problem(fault, text, &sources, "c.yaml", &path);
        (found.line, found.column)
    }

    #[test]
    fn quoted_and_block_texts_are_found() {
        assert_eq!(place(&["files", "0", "path"], "/etc/{{ nope }}", 1, 9), (3, 22));
        assert_eq!(place(&["files", "1", "content"], "one\n  {{ nope }} two\n", 2, 6), (7, 12));
        assert_eq!(place(&["files", "1", "gone"], "no such text", 1, 1), (4, 5), "the nearest that is there");
    }
}
