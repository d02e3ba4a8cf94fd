//! Rules that hold between entries: what each of them cannot see alone.
//!
//! Each rule is one file and one function from the rendered host to problems. They are general: none of them
//! names a component.

mod datasources;
mod owners;
mod paths;
mod ports;
mod prefixes;
mod syntax;
mod unused;

use std::cell::OnceCell;
use std::sync::Arc;

use chom_format::HostPath;

use super::sources::Sources;
use super::wanted::{Rendered, Spot};
use crate::problem::Problem;
use crate::resolve::Host;
use crate::yaml::{self, Node};

pub(super) use unused::unused_templates;

/// Everything that is wrong between entries. `stated` knows where somebody has set a component's port.
pub(super) fn broken<'o>(
    rendered: &Rendered,
    host: &Host,
    sources: &Sources,
    stated: &ports::Stated<'o>,
) -> Vec<Problem> {
    let texts = texts(rendered);
    let clash = ports::broken(rendered, stated);
    // Whose port it is decides what stands right below it: one clash would be told once more for each address.
    let prefixes =
        if clash.is_empty() { prefixes::broken(rendered, &texts, host, sources) } else { Vec::new() };
    [
        paths::broken(rendered, host),
        clash,
        owners::broken(rendered),
        syntax::broken(&texts, sources),
        datasources::broken(&texts, sources),
        prefixes,
    ]
    .concat()
}

/// A rendered text, whatever kind of entry brings it.
struct Shown<'a> {
    component: usize,
    path: HostPath,
    content: &'a str,
    template: Option<&'a str>,
    at: &'a Spot,
    tree: OnceCell<Result<Arc<Node>, Problem>>,
}

fn texts(rendered: &Rendered) -> Vec<Shown<'_>> {
    let mut texts = Vec::new();
    for (number, component) in rendered.components.iter().enumerate() {
        texts.extend(component.files.iter().map(|file| Shown {
            component: number,
            path: file.value.path.clone(),
            content: &file.value.content,
            template: file.value.template.as_deref(),
            at: &file.at,
            tree: OnceCell::new(),
        }));
        texts.extend(component.units.iter().filter_map(|unit| {
            Some(Shown {
                component: number,
                path: unit.value.path()?,
                content: unit.value.content.as_deref()?,
                template: unit.value.template.as_deref(),
                at: &unit.at,
                tree: OnceCell::new(),
            })
        }));
    }
    texts
}

impl Shown<'_> {
    /// The text as YAML, when its name says that it is some; read once for all rules.
    fn yaml(&self) -> Option<&Result<Arc<Node>, Problem>> {
        let suffix = self.path.name().rsplit_once('.').map(|(_, suffix)| suffix);
        matches!(suffix, Some("yml" | "yaml"))
            .then(|| self.tree.get_or_init(|| yaml::read(self.path.as_str(), self.content)))
    }

    /// A problem with one line of the text: in the template when the line stands there as it is, else at the entry.
    fn problem(&self, line: usize, sources: &Sources, message: &str, remedy: &str) -> Problem {
        let template = self.template.and_then(|name| sources.templates.get(name));
        match template.and_then(|text| Some((text, self.line_in(&text.text, line)?))) {
            Some((text, line)) => Problem::at(&text.shown, (line, 1), "", message, remedy),
            None => self.at.problem(format!("{message} (line {line} of {})", self.path), remedy),
        }
    }

    // The template's line that became this one: told only when every line with these words stands there as it is.
    fn line_in(&self, template: &str, line: usize) -> Option<usize> {
        let wrong = self.content.lines().nth(line.checked_sub(1)?)?.trim();
        let same = |text: &str| -> Vec<usize> {
            (1..)
                .zip(text.lines())
                .filter(|(_, line)| line.trim() == wrong)
                .map(|(number, _)| number)
                .collect()
        };
        let (rendered, written) = (same(self.content), same(template));
        let position = rendered.iter().position(|number| *number == line)?;
        (rendered.len() == written.len()).then(|| written.get(position).copied())?
    }
}
