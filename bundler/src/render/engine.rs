//! The template engine: tera, made strict, with errors that can be placed.

use serde_json::Value;
use tera::{Context, ErrorKind, Tera};

use super::filters;
use super::sources::Sources;
use crate::problem::Problem;

/// What is wrong in a text, by place in that text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// The template that it is in; none for a text of a component file.
    pub(super) template: Option<String>,
    /// From 1.
    pub(super) line: usize,
    /// From 1, in characters.
    pub(super) column: usize,
    /// What is wrong, and what there is instead.
    pub(super) message: String,
}

// What tera calls a text that has no name.
const NAMELESS: &str = "__tera_one_off";
const TYPED: &str = "chom_typed";

/// tera with all templates.
pub(super) struct Engine(Tera);

impl Engine {
    /// Parses every template.
    pub(super) fn new(sources: &Sources) -> Result<Self, Box<Problem>> {
        let mut tera = Tera::default();
        tera.autoescape_on(Vec::<&str>::new());
        filters::register(&mut tera);
        tera.register_filter(TYPED, filters::typed);
        let texts = sources.templates.iter().map(|(name, text)| (name.as_str(), &*text.text));
        match tera.add_raw_templates(texts) {
            Ok(()) => Ok(Self(tera)),
            Err(error) => Err(Box::new(Fault::of(&error).in_template("", sources))),
        }
    }

    /// Whether there is such a template.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.get_template_names().any(|known| known == name)
    }

    /// Fills a template in.
    pub(super) fn template(&self, name: &str, context: &Context) -> Result<String, Fault> {
        self.0.render(name, context).map_err(|error| Fault::of(&error))
    }

    /// Fills a text in.
    pub(super) fn text(&self, text: &str, context: &Context) -> Result<String, Fault> {
        if !is_template(text) {
            return Ok(text.to_owned());
        }
        self.0.render_str(text, context, false).map_err(|error| Fault::of(&error))
    }

    /// Fills a text in; one expression and nothing else keeps its type.
    pub(super) fn value(&self, text: &str, context: &Context) -> Result<Value, Fault> {
        // Rendered as text first: a filter would take an undefined value without a word.
        let plain = self.text(text, context)?;
        let Some(expression) = lone_expression(text) else { return Ok(Value::String(plain)) };
        let typed = format!("{{{{ ({expression}) | {TYPED} }}}}");
        let json = self.0.render_str(&typed, context, false).map_err(|error| Fault::of(&error))?;
        Ok(serde_json::from_str(&json).unwrap_or(Value::String(plain)))
    }
}

/// Whether a text has anything to fill in.
pub(super) fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%") || text.contains("{#")
}

/// The expression of a text that is `{{ expression }}` and nothing else.
fn lone_expression(text: &str) -> Option<&str> {
    let inner = text.trim().strip_prefix("{{")?.strip_suffix("}}")?;
    let inner = inner.strip_prefix('-').unwrap_or(inner);
    let inner = inner.strip_suffix('-').unwrap_or(inner).trim();
    let alone = !["{{", "}}", "{%", "{#"].iter().any(|mark| inner.contains(mark));
    (alone && !inner.is_empty()).then_some(inner)
}

impl Fault {
    /// The fault that tera reports.
    fn of(error: &tera::Error) -> Self {
        match error.kind() {
            ErrorKind::SyntaxError(report) | ErrorKind::RenderingError(report) => Self {
                template: Some(report.filename().to_owned()).filter(|name| name != NAMELESS),
                line: report.span().start_line,
                column: report.span().start_col + 1,
                message: plain_words(report.message()),
            },
            other => Self { template: None, line: 1, column: 1, message: plain_words(&other.to_string()) },
        }
    }

    /// The problem of a fault in a template; `name` is taken when tera names none.
    pub(super) fn in_template(self, name: &str, sources: &Sources) -> Problem {
        let name = self.template.as_deref().unwrap_or(name);
        let (file, text) = match sources.templates.get(name) {
            Some(found) => (found.shown.as_str(), &*found.text),
            None => ("templates", ""),
        };
        let message = with_expression(&self.message, text, self.line, self.column);
        Problem::at(file, (self.line, self.column), "", message, REMEDY).with_excerpt(text)
    }
}

/// What mends any fault of a text.
pub(super) const REMEDY: &str = "docs/components.md lists what a template sees";

/// The message with the whole expression, when it can be told.
pub(super) fn with_expression(message: &str, text: &str, line: usize, column: usize) -> String {
    match expression_at(text, line, column) {
        Some(expression) => format!("{message} (in `{expression}`)"),
        None => message.to_owned(),
    }
}

// The tag around a place, when it stands on one line.
fn expression_at(text: &str, line: usize, column: usize) -> Option<&str> {
    let line = text.lines().nth(line.checked_sub(1)?)?;
    let at = line.char_indices().nth(column.checked_sub(1)?).map(|(at, _)| at)?;
    let start = line.get(..at)?.rfind("{{").max(line.get(..at)?.rfind("{%"))?;
    let rest = line.get(start..)?;
    let end = [rest.find("}}"), rest.find("%}")].into_iter().flatten().min()? + 2;
    rest.get(..end).filter(|tag| tag.len() <= 120)
}

// tera's sentences in our style: lower case, and the list behind a semicolon.
fn plain_words(message: &str) -> String {
    let message = message
        .replace(". Available variables: ", "; there are: ")
        .replace(". Available fields: ", "; there are: ");
    let mut chars = message.chars();
    match chars.next() {
        Some(first) => first.to_lowercase().chain(chars).collect(),
        None => message,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn engine() -> Engine {
        Engine::new(&Sources::default()).unwrap()
    }

    fn context() -> Context {
        Context::from_serialize(&json!({
            "settings": { "port": 9090, "on": true, "name": "a<b>", "list": [1, "x"], "map": { "z": 1, "a": 2 } },
        }))
        .unwrap()
    }

    #[test]
    fn one_expression_keeps_its_type_and_text_stays_text() {
        for (text, value) in [
            ("plain", json!("plain")),
            ("{{ settings.port }}", json!(9090)),
            (" {{- settings.port + 1 -}} ", json!(9091)),
            ("{{ settings.on and settings.port == 9090 }}", json!(true)),
            ("{{ settings.list }}", json!([1, "x"])),
            ("{{ settings.map }}", json!({"a": 2, "z": 1})),
            ("{{ settings.name }}", json!("a<b>")),
            ("{{ settings.port }}0", json!("90900")),
            ("{{ settings.port }}{{ settings.port }}", json!("90909090")),
            ("{{ \"a}}b\" }}", json!("a}}b")),
        ] {
            assert_eq!(engine().value(text, &context()).unwrap(), value, "{text}");
        }
    }

    #[test]
    fn an_undefined_value_is_a_fault_wherever_it_stands() {
        for text in [
            "{{ nope }}",
            "{{ settings.nope }}",
            "{{ settings.nope | json }}",
            "{{ nope | quote }}",
            "a\n {{ nope }}",
        ] {
            let fault = engine().value(text, &context()).unwrap_err();
            assert!(fault.message.contains("not defined"), "{text}: {fault:?}");
        }
        let fault = engine().text("a\n {{ settings.nope }}", &context()).unwrap_err();
        assert_eq!((fault.line, fault.column), (2, 14));
        assert_eq!(fault.message, "field `nope` is not defined; there are: list, map, name, on, port");
    }

    #[test]
    fn a_loop_over_a_map_has_one_order() {
        let text = "{% for key, value in settings.map %}{{ key }}={{ value }} {% endfor %}";
        assert_eq!(engine().text(text, &context()).unwrap(), "a=2 z=1 ");
    }

    #[test]
    fn the_expression_around_a_place() {
        assert_eq!(expression_at("x {{ a.b }} {{ c }}", 1, 8), Some("{{ a.b }}"));
        assert_eq!(expression_at("x {% if a %} {{ c }}", 1, 9), Some("{% if a %}"));
        assert_eq!(expression_at("plain", 1, 2), None);
    }
}
