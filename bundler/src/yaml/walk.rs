//! A tree against the JSON schema of the types that it is meant for: every difference at once.
//!
//! The schema comes from the types (schemars), so keys, kinds and required fields are written down once. It may
//! say under `x-chom` what a text must look like ([`formats`]).

use std::collections::HashMap;

use serde_json::Value;

use super::formats;
use super::node::{Entry, Kind, Node, Place};
use super::scalar::Scalar;
use crate::problem::{Problem, may_hold_secret};

/// Compares `node` with `schema` and tells the differences.
pub struct Walk<'a> {
    file: &'a str,
    text: &'a str,
    root: &'a Value,
    required: bool,
    excused: fn(&str) -> bool,
    found: Vec<Problem>,
}

impl<'a> Walk<'a> {
    /// A walk over a file: its name, its text, and the schema that holds the `$defs`.
    pub fn new(file: &'a str, text: &'a str, root: &'a Value) -> Self {
        Self { file, text, root, required: true, excused: |_| false, found: Vec::new() }
    }

    /// The same, for a tree that is only one of several layers: what it leaves out may stand in another.
    #[must_use]
    pub fn partial(mut self) -> Self {
        self.required = false;
        self
    }

    /// The same, passing over texts that are judged elsewhere.
    #[must_use]
    pub fn excusing(mut self, excused: fn(&str) -> bool) -> Self {
        self.excused = excused;
        self
    }

    /// The differences between the tree and the schema, `key` being the dotted key of the tree's root.
    pub fn run(mut self, node: &Node, schema: &Value, key: &str) -> Vec<Problem> {
        self.node(node, schema, key);
        self.found
    }

    fn node(&mut self, node: &Node, schema: &Value, key: &str) {
        if node.scalar().is_some_and(|scalar| (self.excused)(&scalar.text)) {
            return;
        }
        let schema = resolve(self.root, schema);
        if let Some(branches) = alternatives(schema) {
            return self.any_of(node, branches, key);
        }
        if !self.kind_fits(node, schema, key) {
            return;
        }
        match &node.kind {
            Kind::Map(entries) => self.map(node, entries, schema, key),
            Kind::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.node(item, items_schema(schema), &join(key, &index.to_string()));
                }
            }
            Kind::Scalar(scalar) => self.scalar(node, scalar, schema, key),
        }
    }

    // The branch with the fewest differences is the one that was meant.
    fn any_of(&mut self, node: &Node, branches: &[Value], key: &str) {
        let of_kind: Vec<&Value> = branches
            .iter()
            .map(|branch| resolve(self.root, branch))
            .filter(|branch| fits(node, branch))
            .collect();
        if of_kind.is_empty() {
            let wanted: Vec<String> = branches
                .iter()
                .map(|branch| wanted(resolve(self.root, branch)))
                .filter(|wanted| wanted != "nothing")
                .collect();
            return self.wrong_kind(node, key, &wanted.join(" or "));
        }
        let fewest = of_kind
            .into_iter()
            .map(|branch| Walk { found: Vec::new(), ..*self }.run(node, branch, key))
            .min_by_key(Vec::len);
        self.found.extend(fewest.unwrap_or_default());
    }

    fn kind_fits(&mut self, node: &Node, schema: &Value, key: &str) -> bool {
        let good = fits(node, schema);
        if !good {
            self.wrong_kind(node, key, &wanted(schema));
        }
        good
    }

    fn wrong_kind(&mut self, node: &Node, key: &str, wanted: &str) {
        let remedy = match &node.kind {
            Kind::Scalar(scalar)
                if !scalar.plain && Scalar::plain(scalar.text.as_str()).value().is_number() =>
            {
                "write the number without quotes".to_owned()
            }
            _ if node.is_null() => "give it a value, or remove the key".to_owned(),
            _ => format!("give it {wanted}"),
        };
        let message = format!("`{key}` is {}, but {wanted} is wanted", node.what());
        self.tell(node.place, key, message, remedy);
    }

    fn map(&mut self, node: &Node, entries: &[Entry], schema: &Value, key: &str) {
        let properties = schema.get("properties").and_then(Value::as_object);
        let others = schema.get("additionalProperties");
        let mut seen: HashMap<&str, Place> = HashMap::new();
        for entry in entries {
            let below = join(key, &entry.key);
            if let Some(first) = seen.insert(&entry.key, entry.key_place) {
                let message = format!("duplicate key `{below}`: it stands on line {} already", first.line);
                self.tell(entry.key_place, &below, message, "keep one of the two".to_owned());
                continue;
            }
            match (properties.and_then(|known| known.get(&entry.key)), others) {
                (Some(schema), _) => self.node(&entry.value, schema, &below),
                (None, Some(Value::Bool(false))) => {
                    let known =
                        properties.into_iter().flat_map(|map| map.keys().map(String::as_str)).collect();
                    self.unknown(entry, key, known);
                }
                (None, Some(other)) => {
                    self.key(entry, schema, &below);
                    self.node(&entry.value, other, &below);
                }
                (None, None) => {}
            }
        }
        if self.required {
            self.missing(node, schema, key);
        }
    }

    fn key(&mut self, entry: &Entry, schema: &Value, below: &str) {
        let names = schema.get("propertyNames").map(|names| resolve(self.root, names));
        let format = names.and_then(|names| names.get("x-chom")).and_then(Value::as_str);
        if let Some(wanted) = format.and_then(|format| formats::check(format, &entry.key).err()) {
            let message = format!("`{}` is not {wanted}", entry.key);
            self.tell(entry.key_place, below, message, "rename it".to_owned());
        }
    }

    fn unknown(&mut self, entry: &Entry, key: &str, known: Vec<&str>) {
        let (message, remedy) = unknown_key(&entry.key, key, &known);
        self.tell(entry.key_place, &join(key, &entry.key), message, remedy);
    }

    fn missing(&mut self, node: &Node, schema: &Value, key: &str) {
        let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
        for name in required.filter_map(Value::as_str) {
            if node.get(name).is_none() {
                let whose = if key.is_empty() { "the file".to_owned() } else { format!("`{key}`") };
                let message = format!("{whose} has no `{name}`");
                self.tell(node.place, &join(key, name), message, format!("add `{name}: ...`"));
            }
        }
    }

    fn scalar(&mut self, node: &Node, scalar: &Scalar, schema: &Value, key: &str) {
        let value = scalar.value();
        if value.is_null() && allows(schema, "null") {
            return;
        }
        // What stands where a hash belongs may be the password itself.
        let secret = may_hold_secret(key) || schema.get("x-chom").is_some_and(|form| form == "crypt_hash");
        let told = if secret { "this".to_owned() } else { format!("`{}`", shorten(&scalar.text)) };
        if let Some(choices) = choices(schema) {
            if !choices.contains(&scalar.text.as_str()) {
                let nearest = nearest(&scalar.text, &choices)
                    .map_or_else(String::new, |near| format!("did you mean `{near}`? "));
                let remedy = format!("{nearest}it is one of: {}", choices.join(", "));
                self.tell(node.place, key, format!("{told} is no value of `{key}`"), remedy);
            }
            return;
        }
        if let Some(number) = value.as_i64().map(i128::from).or_else(|| value.as_u64().map(i128::from)) {
            self.range(node, number, schema, key);
        }
        let format = schema.get("x-chom").and_then(Value::as_str);
        if let Some(wanted) = format.and_then(|format| formats::check(format, &scalar.text).err()) {
            let (message, remedy) =
                (format!("{told} in `{key}` is not {wanted}"), format!("give it {wanted}"));
            match secret {
                true => self.found.push(Problem::at(self.file, node.place.at(), key, message, remedy)),
                false => self.tell(node.place, key, message, remedy),
            }
        }
    }

    fn range(&mut self, node: &Node, number: i128, schema: &Value, key: &str) {
        let bound = |name| schema.get(name).and_then(Value::as_i64).map(i128::from);
        let (low, high) = (bound("minimum"), bound("maximum"));
        if low.is_some_and(|low| number < low) || high.is_some_and(|high| number > high) {
            let wanted = match (low, high) {
                (Some(low), Some(high)) => format!("from {low} to {high}"),
                (Some(low), None) => format!("at least {low}"),
                (None, high) => format!("at most {}", high.unwrap_or_default()),
            };
            let message = format!("`{key}` is {number}, out of its range");
            self.tell(node.place, key, message, format!("it goes {wanted}"));
        }
    }

    fn tell(&mut self, place: Place, key: &str, message: String, remedy: String) {
        self.found.push(Problem::at(self.file, place.at(), key, message, remedy).with_excerpt(self.text));
    }
}

/// Message and remedy for a key that nobody knows.
pub fn unknown_key(name: &str, within: &str, known: &[&str]) -> (String, String) {
    let place = if within.is_empty() { String::new() } else { format!(" in `{within}`") };
    let message = format!("unknown key `{}`{place}", shorten(name));
    let file_form = format!("{name}_file");
    let remedy = if known.contains(&file_form.as_str()) {
        format!(
            "a secret does not stand in the inventory: put it in a file on the host and set `{file_form}`"
        )
    } else if let Some(near) = nearest(name, known) {
        format!("did you mean `{near}`?")
    } else if known.is_empty() {
        "it takes no keys".to_owned()
    } else {
        format!("known here: {}", known.join(", "))
    };
    (message, remedy)
}

/// The candidate that was probably meant.
pub fn nearest<'c>(text: &str, candidates: &[&'c str]) -> Option<&'c str> {
    let scored =
        candidates.iter().map(|candidate| (strsim::damerau_levenshtein(text, candidate), *candidate));
    let (distance, candidate) = scored.min()?;
    (distance <= 1.max(text.chars().count() / 3)).then_some(candidate)
}

/// A dotted key with one more part.
pub fn join(key: &str, part: &str) -> String {
    if key.is_empty() { part.to_owned() } else { format!("{key}.{part}") }
}

/// Follows `$ref` into the root's `$defs`.
pub fn resolve<'s>(root: &'s Value, schema: &'s Value) -> &'s Value {
    schema
        .get("$ref")
        .and_then(Value::as_str)
        .and_then(|reference| root.pointer(reference.trim_start_matches('#')))
        .unwrap_or(schema)
}

/// The tree as JSON for a type of that schema: a number where the type wants text becomes its digits.
pub fn value(node: &Node, root: &Value, schema: &Value) -> Value {
    let schema = resolve(root, schema);
    let branch = alternatives(schema).and_then(|branches| {
        let of_kind = branches.iter().map(|branch| resolve(root, branch)).filter(|branch| fits(node, branch));
        of_kind.min_by_key(|branch| Walk::new("", "", root).run(node, branch, "").len())
    });
    let schema = branch.unwrap_or(schema);
    match &node.kind {
        Kind::Map(entries) => {
            let properties = schema.get("properties");
            let others = schema.get("additionalProperties").unwrap_or(&Value::Null);
            let below = |key: &str| properties.and_then(|known| known.get(key)).unwrap_or(others);
            let typed = |entry: &Entry| (entry.key.clone(), value(&entry.value, root, below(&entry.key)));
            Value::Object(entries.iter().map(typed).collect())
        }
        Kind::List(items) => items.iter().map(|item| value(item, root, items_schema(schema))).collect(),
        Kind::Scalar(scalar) => match scalar.value() {
            Value::Number(_)
                if schema.is_object() && !allows(schema, "integer") && !allows(schema, "number") =>
            {
                Value::String(scalar.text.clone())
            }
            value => value,
        },
    }
}

fn alternatives(schema: &Value) -> Option<&[Value]> {
    let branches = schema.get("anyOf").or_else(|| schema.get("oneOf"))?.as_array()?;
    // A `oneOf` of constants is an enum whose values are documented one by one.
    branches.iter().any(|branch| branch.get("const").is_none()).then_some(branches.as_slice())
}

fn choices(schema: &Value) -> Option<Vec<&str>> {
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        return Some(values.iter().filter_map(Value::as_str).collect());
    }
    let documented = schema.get("oneOf").and_then(Value::as_array)?;
    Some(documented.iter().filter_map(|branch| branch.get("const")?.as_str()).collect())
}

fn items_schema(schema: &Value) -> &Value {
    schema.get("items").unwrap_or(&Value::Null)
}

fn allows(schema: &Value, kind: &str) -> bool {
    match schema.get("type") {
        Some(Value::String(one)) => one == kind,
        Some(Value::Array(many)) => many.iter().any(|one| one == kind),
        _ => choices(schema).is_none() || kind == "string",
    }
}

fn fits(node: &Node, schema: &Value) -> bool {
    match &node.kind {
        Kind::Map(_) => allows(schema, "object"),
        Kind::List(_) => allows(schema, "array"),
        Kind::Scalar(scalar) => match scalar.value() {
            Value::Null => allows(schema, "null"),
            Value::Bool(_) => allows(schema, "boolean"),
            // A number where text is wanted is taken by its digits: a version `1.4` needs no quotes.
            Value::Number(number) if number.is_f64() => allows(schema, "number") || allows(schema, "string"),
            Value::Number(_) => {
                allows(schema, "integer") || allows(schema, "number") || allows(schema, "string")
            }
            Value::String(_) | Value::Array(_) | Value::Object(_) => allows(schema, "string"),
        },
    }
}

fn wanted(schema: &Value) -> String {
    let names = ["object", "array", "integer", "number", "boolean", "string"];
    let words = ["a mapping", "a list", "a whole number", "a number", "true or false", "text"];
    let fitting: Vec<&str> =
        names.iter().zip(words).filter(|(name, _)| allows(schema, name)).map(|(_, word)| word).collect();
    if fitting.is_empty() { "nothing".to_owned() } else { fitting.join(" or ") }
}

fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(60).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short.escape_debug().to_string().replace("\\'", "'").replace("\\\"", "\"")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::yaml::read;

    fn told(schema: &Value, text: &str) -> Vec<String> {
        let tree = read("t", text).unwrap();
        let problems = Walk::new("t", text, schema).run(&tree, schema, "");
        problems.iter().map(|p| format!("{}:{} {} | {}", p.line, p.column, p.message, p.remedy)).collect()
    }

    fn schema() -> Value {
        json!({
            "type": "object",
            "additionalProperties": false,
            "required": ["name"],
            "properties": {
                "name": {"type": "string", "x-chom": "host"},
                "port": {"type": "integer", "minimum": 1, "maximum": 65535},
                "on": {"type": ["boolean", "null"]},
                "mode": {"$ref": "#/$defs/Mode"},
                "tags": {"type": "array", "items": {"type": "string"}},
                "smtp_password_file": {"type": "string"},
                "map": {"type": "object", "additionalProperties": {"type": "integer"}, "propertyNames": {"x-chom": "label"}},
                "either": {"anyOf": [{"$ref": "#/$defs/Mode"}, {"type": "null"}]},
            },
            "$defs": {"Mode": {"oneOf": [{"const": "off", "type": "string"}, {"const": "files", "type": "string"}]}},
        })
    }

    #[test]
    fn a_good_tree_has_no_problems() {
        let text = "name: a\nport: 80\non: ~\nmode: off\ntags: [x, 1.4]\nmap: {a: 1}\neither: files\n";
        assert_eq!(told(&schema(), text), Vec::<String>::new());
    }

    #[test]
    fn every_difference_is_told_with_its_place() {
        let text = "nmae: a\nport: '80'\non: yes\nmode: of\ntags: x\nmap: {A: b}\neither: []\nport: 1\n";
        assert_eq!(
            told(&schema(), text),
            [
                "1:1 unknown key `nmae` | did you mean `name`?",
                "2:7 `port` is text, but a whole number is wanted | write the number without quotes",
                "3:5 `on` is text, but true or false is wanted | give it true or false",
                "4:7 `of` is no value of `mode` | did you mean `off`? it is one of: off, files",
                "5:7 `tags` is text, but a list is wanted | give it a list",
                "6:7 `A` is not a name of lower-case letters, digits, `_` and `-` | rename it",
                "6:10 `map.A` is text, but a whole number is wanted | give it a whole number",
                "7:9 `either` is a list, but text is wanted | give it text",
                "8:1 duplicate key `port`: it stands on line 2 already | keep one of the two",
                "1:1 the file has no `name` | add `name: ...`",
            ]
        );
    }

    #[test]
    fn ranges_formats_and_secrets() {
        assert_eq!(
            told(&schema(), "name: A b\nport: 65536\nsmtp_password: hunter2\n"),
            [
                "1:7 `A b` in `name` is not a host name: lower-case letters, digits and inner hyphens, at most 63 \
                 | give it a host name: lower-case letters, digits and inner hyphens, at most 63",
                "2:7 `port` is 65536, out of its range | it goes from 1 to 65535",
                "3:1 unknown key `smtp_password` | a secret does not stand in the inventory: put it in a file on \
                 the host and set `smtp_password_file`",
            ]
        );
    }
}
