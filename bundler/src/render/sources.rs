//! The texts that are rendered: templates by name, and component files for the places of their texts.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::stack::{Catalog, TextFile};
use crate::yaml::{self, Node};

/// All templates, and the component files.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// By the name that `template:` uses: `observability/nginx/site.tera`.
    pub templates: BTreeMap<String, TextFile>,
    components: BTreeMap<String, (TextFile, Option<Arc<Node>>)>,
}

impl Sources {
    /// The texts of a catalog.
    pub fn new(catalog: &Catalog) -> Self {
        let mut sources = Self { templates: catalog.templates.clone(), components: BTreeMap::new() };
        for component in catalog.stacks.values().flat_map(|stack| stack.components.values()) {
            sources.add_component(component.source.clone());
        }
        sources
    }

    /// Adds a component file; its shown name is what `Component::path` has.
    pub fn add_component(&mut self, file: TextFile) {
        // It was read before; should it not be readable here, messages name the file without a line.
        let tree = yaml::read(&file.shown, &file.text).ok();
        self.components.insert(file.shown.clone(), (file, tree));
    }

    /// The text and tree of a component file.
    pub(super) fn component(&self, file: &str) -> Option<(&str, Option<&Node>)> {
        self.components.get(file).map(|(file, tree)| (&*file.text, tree.as_deref()))
    }
}
