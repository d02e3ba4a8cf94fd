//! From text to tree, with bounds: a bomb is refused before it grows.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_saphyr::granit_parser::{
    Event, Parser, ScalarStyle, ScanError, Span, StrInput, StructureStyle, Tag,
};

use super::node::{Entry, Kind, Node, Place};
use super::scalar::Scalar;
use crate::problem::Problem;

/// The longest file that is read.
pub const MAX_BYTES: u64 = 1024 * 1024;
// The parts of a tree, each alias counted as all that it stands for. The largest honest inventory seen has 3 000.
const MAX_WEIGHT: usize = 200_000;
const MAX_DEPTH: usize = 64;

/// Reads one document. `file` is its name in problems; they are at most one, for broken YAML cannot be read on.
pub fn read(file: &str, text: &str) -> Result<Arc<Node>, Problem> {
    if text.len() as u64 > MAX_BYTES {
        return Err(too_large(file));
    }
    let mut reader = Reader { file, events: Parser::new_from_str(text), anchors: HashMap::new(), weight: 0 };
    reader.document()
}

/// The problem of a file that is larger than [`MAX_BYTES`].
pub fn too_large(file: &str) -> Problem {
    let message = format!("the file is larger than {} KiB", MAX_BYTES / 1024);
    Problem::whole(file, message, "an inventory or component is a few kilobytes: is this the right file?")
}

struct Reader<'t> {
    file: &'t str,
    events: Parser<'t, StrInput<'t>>,
    anchors: HashMap<usize, (Arc<Node>, usize)>,
    weight: usize,
}

// How a node is written.
#[derive(Default)]
struct Written {
    flow: bool,
    block: bool,
}

impl From<StructureStyle> for Written {
    fn from(style: StructureStyle) -> Self {
        Self { flow: style == StructureStyle::Flow, block: false }
    }
}

type Result_<T> = Result<T, Problem>;

impl<'t> Reader<'t> {
    fn document(&mut self) -> Result_<Arc<Node>> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => break,
                Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
                _ if root.is_some() => {
                    let remedy = "remove the second `---` and all that follows it";
                    return Err(self.problem(&span, "the file holds more than one document", remedy));
                }
                event => root = Some(self.node(event, &span, 0)?),
            }
        }
        root.ok_or_else(|| {
            Problem::whole(
                self.file,
                "the file is empty",
                "`chom-bundle init` writes an inventory to start from",
            )
        })
    }

    fn next(&mut self) -> Result_<(Event<'t>, Span)> {
        match self.events.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(self.broken(&error)),
            None => Err(Problem::whole(self.file, "the file ends too early", "")),
        }
    }

    fn node(&mut self, event: Event<'t>, span: &Span, depth: usize) -> Result_<Arc<Node>> {
        if depth > MAX_DEPTH {
            return Err(self.problem(span, "nested too deeply", "nothing here needs more than a few levels"));
        }
        self.grow(1, span)?;
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let text_tag = self.tag(tag.as_deref(), span)?;
                let weight = 1 + text.len() / 32;
                self.grow(weight, span)?;
                let plain = style == ScalarStyle::Plain && !text_tag;
                let kind = Kind::Scalar(Scalar { text: text.into_owned(), plain });
                let block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
                Ok(self.done(kind, place(span), Written { block, ..Written::default() }, anchor, weight))
            }
            Event::SequenceStart(style, anchor, tag) => {
                self.tag(tag.as_deref(), span)?;
                self.list(style, anchor, span, depth)
            }
            Event::MappingStart(style, anchor, tag) => {
                self.tag(tag.as_deref(), span)?;
                self.map(style, anchor, span, depth)
            }
            Event::Alias(id) => self.alias(id, span),
            _ => Err(self.problem(span, "this is no value", "")),
        }
    }

    fn list(
        &mut self,
        style: StructureStyle,
        anchor: usize,
        start: &Span,
        depth: usize,
    ) -> Result_<Arc<Node>> {
        let (before, mut items) = (self.weight, Vec::new());
        loop {
            let (event, span) = self.next()?;
            if event == Event::SequenceEnd {
                let weight = self.weight - before + 1;
                return Ok(self.done(Kind::List(items), reach(start, &span), style.into(), anchor, weight));
            }
            items.push(self.node(event, &span, depth + 1)?);
        }
    }

    fn map(
        &mut self,
        style: StructureStyle,
        anchor: usize,
        start: &Span,
        depth: usize,
    ) -> Result_<Arc<Node>> {
        let (before, mut entries, mut merged) = (self.weight, Vec::new(), Vec::new());
        loop {
            let (event, key_span) = self.next()?;
            if event == Event::MappingEnd {
                adopt(&mut entries, merged);
                let weight = self.weight - before + 1;
                return Ok(self.done(
                    Kind::Map(entries),
                    reach(start, &key_span),
                    style.into(),
                    anchor,
                    weight,
                ));
            }
            let Event::Scalar(key, key_style, _, _) = event else {
                let remedy = "a key is plain text: quote it if it holds any of `{ } [ ] * &`";
                return Err(self.problem(&key_span, "this is no key", remedy));
            };
            self.grow(1 + key.len() / 32, &key_span)?;
            let (event, span) = self.next()?;
            let borrowed = matches!(event, Event::Alias(_));
            let value = self.node(event, &span, depth + 1)?;
            let value_place = if borrowed { place(&span) } else { value.place };
            if key == "<<" && key_style == ScalarStyle::Plain {
                merged.extend(self.mergeable(&value, &span)?);
                continue;
            }
            entries.push(Entry {
                key: key.into_owned(),
                key_place: place(&key_span),
                value,
                value_place,
                borrowed,
            });
        }
    }

    fn mergeable(&mut self, value: &Node, span: &Span) -> Result_<Vec<Entry>> {
        let sources = match &value.kind {
            Kind::Map(_) => vec![value.entries()],
            Kind::List(items) => items.iter().map(|item| item.entries()).collect(),
            Kind::Scalar(_) => {
                let remedy = "`<<` takes an alias of a mapping, such as `<<: *common`";
                return Err(self.problem(span, "`<<` merges a mapping, and this is none", remedy));
            }
        };
        let all = sources.into_iter().flatten();
        Ok(all.map(|entry| Entry { borrowed: true, ..entry.clone() }).collect())
    }

    fn alias(&mut self, id: usize, span: &Span) -> Result_<Arc<Node>> {
        let Some((node, weight)) = self.anchors.get(&id).cloned() else {
            return Err(self.problem(span, "the alias stands inside its own anchor", "write the value out"));
        };
        self.grow(weight, span)?;
        Ok(node)
    }

    fn done(
        &mut self,
        kind: Kind,
        place: Place,
        written: Written,
        anchor: usize,
        weight: usize,
    ) -> Arc<Node> {
        let node =
            Arc::new(Node { kind, place, flow: written.flow, block: written.block, anchored: anchor != 0 });
        if anchor != 0 {
            self.anchors.insert(anchor, (Arc::clone(&node), weight));
        }
        node
    }

    /// Whether the tag says that the value is text.
    fn tag(&self, tag: Option<&Tag>, span: &Span) -> Result_<bool> {
        match tag {
            None => Ok(false),
            Some(tag) if tag.is_yaml_core_schema_tag("str") => Ok(true),
            Some(tag) => {
                let message = format!("the tag `{}` has no meaning here", tag.original());
                Err(self.problem(span, message, "remove the tag"))
            }
        }
    }

    fn grow(&mut self, weight: usize, span: &Span) -> Result_<()> {
        self.weight = self.weight.saturating_add(weight);
        if self.weight > MAX_WEIGHT {
            let message = "the file stands for too many values once its aliases are written out";
            return Err(self.problem(span, message, "use fewer aliases of aliases"));
        }
        Ok(())
    }

    fn problem(&self, span: &Span, message: impl Into<String>, remedy: &str) -> Problem {
        Problem::at(self.file, place(span).at(), "", message, remedy)
    }

    // No excerpt: what a broken file shows at that place may be the middle of a secret.
    fn broken(&self, error: &ScanError) -> Problem {
        let marker = error.marker();
        let message = format!("this is not YAML: {}", error.info());
        let remedy = "check indentation (spaces, no tabs), colons and quotes here and on the line before";
        Problem::at(self.file, (marker.line(), marker.col() + 1), "", message, remedy)
    }
}

// What stands in the mapping itself wins over what is merged, and the first of several sources over the next.
fn adopt(entries: &mut Vec<Entry>, merged: Vec<Entry>) {
    if merged.is_empty() {
        return;
    }
    let mut known: HashSet<String> = entries.iter().map(|entry| entry.key.clone()).collect();
    entries.extend(merged.into_iter().filter(|entry| known.insert(entry.key.clone())));
}

fn place(span: &Span) -> Place {
    Place {
        line: span.start.line(),
        column: span.start.col() + 1,
        start: span.start.byte_offset().unwrap_or_default(),
        end: span.end.byte_offset().unwrap_or_default(),
    }
}

fn reach(start: &Span, end: &Span) -> Place {
    Place { end: place(end).end, ..place(start) }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use serde_json::json;

    use super::*;

    fn value(text: &str) -> serde_json::Value {
        read("t.yaml", text).unwrap().value()
    }

    #[test]
    fn every_style_gives_its_value_and_place() {
        let text = "a: {b: [1, 'x'], c: \"y\"}\nd:\n  - >-\n    fold\n    ed\n  - |\n    block\n# end\n";
        assert_eq!(value(text), json!({"a": {"b": [1, "x"], "c": "y"}, "d": ["fold ed", "block\n"]}));
        let tree = read("t.yaml", text).unwrap();
        let place = tree.find(&["a", "c"]).unwrap().place;
        assert_eq!((place.line, place.column, &text[place.start..place.end]), (1, 21, "\"y\""));
        assert_eq!(tree.entry("d").unwrap().key_place.line, 2);
    }

    #[test]
    fn anchors_and_merges_are_followed_and_marked() {
        let text = "base: &b {x: 1, y: 2}\none: {<<: *b, y: 3}\ntwo: *b\n";
        assert_eq!(
            value(text),
            json!({"base": {"x": 1, "y": 2}, "one": {"y": 3, "x": 1}, "two": {"x": 1, "y": 2}})
        );
        let tree = read("t.yaml", text).unwrap();
        assert!(tree.get("base").unwrap().anchored);
        assert!(tree.entry("two").unwrap().borrowed);
        assert!(tree.get("one").unwrap().entry("x").unwrap().borrowed);
        assert!(!tree.get("one").unwrap().entry("y").unwrap().borrowed);
    }

    #[test]
    fn broken_files_are_refused_with_their_place() {
        for (text, line, says) in [
            ("a: [1\nb: 2\n", 2, "not YAML"),
            ("a:\n\t- 1\n", 2, "not YAML"),
            ("a: *nope\n", 1, "not YAML"),
            ("a: &x [*x]\n", 1, "own anchor"),
            ("? [a]\n: 1\n", 1, "no key"),
            ("a: !!python/object:os.system x\n", 1, "tag"),
            ("a: 1\n---\nb: 2\n", 3, "more than one"),
            ("a: {<<: 1}\n", 1, "merges a mapping"),
            ("", 0, "empty"),
            ("# only a comment\n", 0, "empty"),
        ] {
            let problem = read("t.yaml", text).unwrap_err();
            assert!(problem.message.contains(says), "{text:?}: {problem}");
            assert_eq!(problem.line, line, "{text:?}: {problem}");
        }
    }

    #[test]
    fn bombs_are_refused_at_once() {
        let mut aliases = "a: &a [x,x,x,x,x,x,x,x,x]\n".to_owned();
        for (name, below) in "bcdefghi".chars().zip("abcdefgh".chars()) {
            let nine = vec![format!("*{below}"); 9].join(",");
            aliases.push_str(&format!("{name}: &{name} [{nine}]\n"));
        }
        let mut wide = format!("a: &a {}\nb:\n", "x".repeat(100_000));
        wide.push_str(&"  - *a\n".repeat(20_000));
        let deep = "[".repeat(20_000);
        let merges = format!("a: &a {{{}}}\nb:\n{}", "k: v, ".repeat(400), "  - {<<: *a}\n".repeat(20_000));
        for bomb in [aliases, wide, deep, merges] {
            let start = Instant::now();
            let problem = read("t.yaml", &bomb).map(|_| ()).unwrap_err();
            assert!(start.elapsed().as_millis() < 1500, "{problem}");
        }
    }
}
