//! From a place in a text to the place in the file that holds the text.

use super::engine::{Fault, REMEDY, with_expression};
use super::sources::Sources;
use crate::problem::Problem;
use crate::yaml::Node;

/// The problem of a fault in the text at a path of a component file.
pub(super) fn problem(fault: Fault, text: &str, sources: &Sources, file: &str, path: &[String]) -> Problem {
    if let Some(name) = fault.template.clone() {
        return fault.in_template(&name, sources);
    }
    let message = with_expression(&fault.message, text, fault.line, fault.column);
    let component = sources.component(file);
    let node = component.nearest(path);
    let place = node
        .and_then(|node| within(&component.file.text, node, text, &fault).or(Some(node.place.at())))
        .unwrap_or_default();
    Problem::at(file, place, path.join("."), message, REMEDY).with_excerpt(&component.file.text)
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
