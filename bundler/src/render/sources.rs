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
    components: BTreeMap<String, Arc<Component>>,
}

/// A component file whose parts can be found again.
#[derive(Debug)]
pub(super) struct Component {
    pub(super) file: TextFile,
    tree: Option<Arc<Node>>,
}

impl Sources {
    /// The texts of a catalog.
    pub fn new(catalog: &Catalog) -> Self {
        let mut sources = Self { templates: catalog.templates.clone(), components: BTreeMap::new() };
        for component in catalog.stacks.values().flat_map(|stack| stack.components.values()) {
            sources.add(component.source.clone(), Some(Arc::clone(&component.tree)));
        }
        sources
    }

    /// Adds a component file; its shown name is what `Component::path` has.
    pub fn add_component(&mut self, file: TextFile) {
        let tree = yaml::read(&file.shown, &file.text).ok();
        self.add(file, tree);
    }

    fn add(&mut self, file: TextFile, tree: Option<Arc<Node>>) {
        self.components.insert(file.shown.clone(), Arc::new(Component { file, tree }));
    }

    /// The component file with this name; an empty one when there is none.
    pub(super) fn component(&self, shown: &str) -> Arc<Component> {
        let empty = || {
            let file = TextFile { shown: shown.to_owned(), text: Arc::default() };
            Arc::new(Component { file, tree: None })
        };
        self.components.get(shown).cloned().unwrap_or_else(empty)
    }
}

impl Component {
    /// The value at a path of keys and indices, or the nearest one above it that is there.
    pub(super) fn nearest(&self, path: &[String]) -> Option<&Node> {
        let tree = self.tree.as_ref()?;
        let keys: Vec<&str> = path.iter().map(String::as_str).collect();
        (0..=keys.len()).rev().find_map(|length| tree.find(keys.get(..length)?))
    }
}
