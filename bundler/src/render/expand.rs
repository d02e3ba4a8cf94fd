//! Fills in the entries of one component: `each`, `when`, every text at any depth, and the templates of files.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tera::Context;

use super::Work;
use super::engine::{Fault, is_template};
use super::lint::{self, Known};
use super::locate;
use super::wanted::{Account, File, Placed, Refusal, RenderedComponent, Spot, Unit};
use crate::problem::Problem;
use crate::stack::component::Entry;

/// One entry, filled in.
struct Filled {
    path: Vec<String>,
    map: Map<String, Value>,
    context: Context,
}

impl Work<'_> {
    /// Everything of the component.
    pub(super) fn component(&mut self) -> RenderedComponent {
        let file = std::sync::Arc::clone(&self.component.file);
        RenderedComponent {
            name: self.component.name.clone(),
            stack: self.component.stack.clone(),
            accounts: self.list::<Account>("accounts", &file.accounts),
            dirs: self.list("dirs", &file.dirs),
            files: self.files(&file.files),
            links: self.list("links", &file.links),
            absent: self.list("absent", &file.absent),
            validate: self.list("validate", &file.validate),
            units: self.units(&file.units),
            commands: self.list("commands", &file.commands),
            ports: self.list("ports", &file.ports),
            scrape: self.list("scrape", &file.scrape),
            checks: self.list("checks", &file.checks),
            backup: self.list("backup", &file.backup),
        }
    }

    /// What the component itself says is wrong: its settings do not go together, or with the rest of the host.
    pub(super) fn refusals(&mut self) -> Vec<Placed<Refusal>> {
        let file = std::sync::Arc::clone(&self.component.file);
        self.list("refuse", &file.refuse)
    }

    /// The entries of one list, typed.
    pub(super) fn list<T: DeserializeOwned>(&mut self, list: &str, entries: &[Entry]) -> Vec<Placed<T>> {
        self.fill(list, entries).into_iter().filter_map(|filled| self.typed(filled)).collect()
    }

    fn files(&mut self, entries: &[Entry]) -> Vec<Placed<File>> {
        let mut files = Vec::new();
        for mut filled in self.fill("files", entries) {
            match (filled.map.contains_key("template"), filled.map.contains_key("content")) {
                (true, false) => self.put_template(&mut filled),
                (false, true) => {}
                _ => {
                    let message = "a file has either `template` or `content`";
                    self.complain(&filled.path, message, "name one of the two");
                    continue;
                }
            }
            files.extend(self.typed(filled));
        }
        files
    }

    fn units(&mut self, entries: &[Entry]) -> Vec<Placed<Unit>> {
        let mut units = Vec::new();
        for mut filled in self.fill("units", entries) {
            if filled.map.contains_key("template") {
                self.put_template(&mut filled);
            }
            units.extend(self.typed(filled));
        }
        units
    }

    // Fills the named template in and puts its text in the place of `content`.
    fn put_template(&mut self, filled: &mut Filled) {
        let Some(Value::String(name)) = filled.map.get("template").cloned() else { return };
        if filled.map.contains_key("content") {
            return self.complain(
                &filled.path,
                "there are both `template` and `content`",
                "name one of the two",
            );
        }
        if !self.engine.has(&name) {
            let mut path = filled.path.clone();
            path.push("template".to_owned());
            let remedy = "templates lie in templates/<stack>/, and are named from there: <stack>/<path>";
            return self.complain(&path, &format!("there is no template `{name}`"), remedy);
        }
        let text = match self.sources.templates.get(&name) {
            Some(found) => std::sync::Arc::clone(&found.text),
            None => std::sync::Arc::default(),
        };
        let mut faults = lint::lint(&text, &self.known());
        match self.engine.template(&name, &filled.context) {
            Ok(content) => {
                filled.map.insert("content".to_owned(), Value::String(content));
            }
            Err(fault) => {
                filled.map.insert("content".to_owned(), Value::String(String::new()));
                // What the look at all names found at the same place says it better.
                if !faults.iter().any(|found| found.line == fault.line)
                    || fault.template.as_ref() != Some(&name)
                {
                    faults.push(self.explained(fault));
                }
            }
        }
        self.problems.extend(faults.into_iter().map(|fault| fault.in_template(&name, self.sources)));
    }

    fn fill(&mut self, list: &str, entries: &[Entry]) -> Vec<Filled> {
        let mut filled = Vec::new();
        for (index, entry) in entries.iter().enumerate() {
            let path = vec![list.to_owned(), index.to_string()];
            if let Err(problem) = self.entry(&path, entry, &mut filled) {
                self.problems.push(*problem);
            }
        }
        filled
    }

    fn entry(&self, path: &[String], entry: &Entry, filled: &mut Vec<Filled>) -> Result<(), Box<Problem>> {
        let when = entry.get("when");
        // A condition that does not speak of the item decides before the list is looked at.
        let about_item = when.is_some_and(|when| when.to_string().contains("item"));
        if !about_item && !self.when(path, when, &self.context)? {
            return Ok(());
        }
        for context in self.each(path, entry.get("each"))? {
            if about_item && !self.when(path, when, &context)? {
                continue;
            }
            let mut map = Map::new();
            for (key, value) in entry.iter().filter(|(key, _)| !matches!(key.as_str(), "when" | "each")) {
                let below = with(path, key);
                let value = match (key.as_str(), value) {
                    // The content of a file is text, whatever it looks like.
                    ("content", Value::String(text)) => Value::String(self.text(&below, text, &context)?),
                    _ => self.value(&below, value, &context)?,
                };
                map.insert(key.clone(), value);
            }
            filled.push(Filled { path: path.to_vec(), map, context });
        }
        Ok(())
    }

    fn when(&self, path: &[String], when: Option<&Value>, context: &Context) -> Result<bool, Box<Problem>> {
        let Some(when) = when else { return Ok(true) };
        let path = with(path, "when");
        match self.value(&path, when, context)? {
            Value::Bool(stays) => Ok(stays),
            Value::String(text) if text.trim() == "true" => Ok(true),
            Value::String(text) if text.trim() == "false" => Ok(false),
            other => {
                let message = format!("`when` gives {other}, which is neither true nor false");
                Err(Box::new(self.problem(&path, message, "compare with something: `{{ settings.x == 1 }}`")))
            }
        }
    }

    fn each(&self, path: &[String], each: Option<&Value>) -> Result<Vec<Context>, Box<Problem>> {
        let Some(each) = each else { return Ok(vec![self.context.clone()]) };
        let path = with(path, "each");
        match self.value(&path, each, &self.context)? {
            Value::Array(items) => Ok(items
                .iter()
                .map(|item| {
                    let mut context = self.context.clone();
                    context.insert("item", item);
                    context
                })
                .collect()),
            other => {
                let message = format!("`each` gives {other}, which is no list");
                Err(Box::new(self.problem(&path, message, "name a list: `{{ settings.users }}`")))
            }
        }
    }

    fn value(&self, path: &[String], value: &Value, context: &Context) -> Result<Value, Box<Problem>> {
        match value {
            Value::String(text) => {
                self.look(path, text)?;
                self.engine.value(text, context).map_err(|fault| self.fault(path, text, fault))
            }
            Value::Array(items) => items
                .iter()
                .enumerate()
                .map(|(index, item)| self.value(&with(path, &index.to_string()), item, context))
                .collect(),
            Value::Object(map) => map
                .iter()
                .map(|(key, value)| Ok((key.clone(), self.value(&with(path, key), value, context)?)))
                .collect::<Result<Map<_, _>, _>>()
                .map(Value::Object),
            scalar => Ok(scalar.clone()),
        }
    }

    fn text(&self, path: &[String], text: &str, context: &Context) -> Result<String, Box<Problem>> {
        self.look(path, text)?;
        self.engine.text(text, context).map_err(|fault| self.fault(path, text, fault))
    }

    // Names that cannot be there are told whether or not they would be rendered.
    fn look(&self, path: &[String], text: &str) -> Result<(), Box<Problem>> {
        if !is_template(text) {
            return Ok(());
        }
        match lint::lint(text, &self.known()).into_iter().next() {
            Some(fault) => Err(self.fault(path, text, fault)),
            None => Ok(()),
        }
    }

    fn typed<T: DeserializeOwned>(&mut self, filled: Filled) -> Option<Placed<T>> {
        let at = self.spot(&filled.path);
        match T::deserialize(Value::Object(filled.map)) {
            Ok(value) => Some(Placed { at, value }),
            Err(error) => {
                let message = format!("this entry of `{}`: {error}", filled.path.join("."));
                self.problems.push(at.problem(message, "docs/components.md lists the fields of each entry"));
                None
            }
        }
    }

    fn known(&self) -> Known<'_> {
        Known {
            settings: self.component.file.settings.keys().map(String::as_str).collect(),
            trees: self.trees,
        }
    }

    // tera knows no settings without a value: they are hidden from it.
    fn explained(&self, mut fault: Fault) -> Fault {
        let unset = self.component.settings.iter().filter(|(_, value)| value.is_null()).map(|(name, _)| name);
        for name in unset {
            if fault.message.starts_with(&format!("field `{name}` is not defined")) {
                fault.message = format!(
                    "setting `{name}` has no value: set it in the inventory, or stand the text in `{{% if settings.{name} %}}`"
                );
            }
        }
        fault
    }

    fn fault(&self, path: &[String], text: &str, fault: Fault) -> Box<Problem> {
        let fault = self.explained(fault);
        Box::new(locate::problem(fault, text, self.sources, &self.component.path, path))
    }

    fn problem(&self, path: &[String], message: impl Into<String>, remedy: &str) -> Problem {
        self.spot(path).problem(message, remedy)
    }

    fn spot(&self, path: &[String]) -> Spot {
        Spot::new(self.sources.component(&self.component.path), path.to_vec())
    }

    fn complain(&mut self, path: &[String], message: &str, remedy: &str) {
        let problem = self.problem(path, message, remedy);
        self.problems.push(problem);
    }
}

fn with(path: &[String], key: &str) -> Vec<String> {
    let mut below = path.to_vec();
    below.push(key.to_owned());
    below
}
