//! A template that nothing names is most often a typing mistake in the place that should name it.

use crate::problem::Problem;
use crate::render::sources::Sources;
use crate::resolve::Host;
use crate::stack::component::ComponentFile;

/// A warning for each template of the host's stacks that no component and no other template names.
pub(in crate::render) fn unused_templates(host: &Host, sources: &Sources) -> Vec<Problem> {
    let files: Vec<&ComponentFile> = host.components.values().map(|component| &*component.file).collect();
    let named = |name: &str| {
        files.iter().any(|file| names(file, name))
            || sources.templates.iter().any(|(other, text)| {
                let quoted = |quote| text.text.contains(&format!("{quote}{name}{quote}"));
                other != name && (quoted('"') || quoted('\''))
            })
    };
    sources
        .templates
        .iter()
        .filter(|(name, _)| {
            name.split_once('/')
                .is_some_and(|(stack, _)| host.stack_files.keys().any(|key| key.as_str() == stack))
        })
        .filter(|(name, _)| !named(name))
        .map(|(_, text)| {
            Problem::whole(
                &text.shown,
                "nothing uses this template",
                "name it in a component's `template:`, or remove it",
            )
        })
        .collect()
}

// A name that is itself made of expressions may stand for any template in its folder.
fn names(file: &ComponentFile, name: &str) -> bool {
    file.files.iter().chain(&file.units).filter_map(|entry| entry.get("template")?.as_str()).any(|template| {
        match template.split_once("{{") {
            Some((start, _)) => name.starts_with(start),
            None => template == name,
        }
    })
}
