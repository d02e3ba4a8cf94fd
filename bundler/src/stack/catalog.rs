//! Every stack that can be deployed, with its components and templates.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::thread;

use chom_format::ComponentName;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::check;
use super::component::{ComponentFile, StackFile};
use super::parse::Shape;
use super::sources::{Sources, TextFile};
use crate::problem::{Problem, Problems};
use crate::yaml::Node;

// With more, each has too little to do.
const MOST_WORKERS: usize = 4;

static STACK: LazyLock<Shape<StackFile>> = LazyLock::new(Shape::of);
static COMPONENT: LazyLock<Shape<ComponentFile>> = LazyLock::new(Shape::of);

/// All stacks and templates.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    /// The stacks by name.
    pub stacks: BTreeMap<ComponentName, Stack>,
    /// The templates by their path below `templates/`: `observability/prometheus.yml.tera`.
    pub templates: BTreeMap<String, TextFile>,
}

/// One stack.
#[derive(Debug, Clone)]
pub struct Stack {
    /// Its name.
    pub name: ComponentName,
    /// Its `stack.yaml`.
    pub file: Arc<StackFile>,
    /// The name of that file for messages.
    pub shown: String,
    /// Its own and its included components.
    pub components: BTreeMap<ComponentName, LoadedComponent>,
}

/// One component.
#[derive(Debug, Clone)]
pub struct LoadedComponent {
    /// Its name.
    pub name: ComponentName,
    /// The stack in whose folder it is written.
    pub home: ComponentName,
    /// What its file says.
    pub file: Arc<ComponentFile>,
    /// The file's name for messages, and its text.
    pub source: TextFile,
    /// The same, as it is written there.
    pub tree: Arc<Node>,
}

impl LoadedComponent {
    /// Line and column of a value in the component's file, by keys and indices: `files`, `2`, `path`. The
    /// nearest part above it when the value itself is not there.
    pub fn locate(&self, path: &[&str]) -> Option<(usize, usize)> {
        let found = (0..=path.len()).rev().find_map(|length| self.tree.find(path.get(..length)?));
        found.map(|node| node.place.at())
    }
}

impl Catalog {
    /// Built in, then the folder of the inventory, then each folder of `--targets`; all problems at once.
    pub fn load(beside: &Path, over: &[PathBuf]) -> Result<Self, Problems> {
        Self::parse(&Sources::gather(beside, over)?)
    }

    /// Reads and checks all texts.
    pub fn parse(sources: &Sources) -> Result<Self, Problems> {
        let mut loading = Loading::of(sources);
        let mut catalog = loading.assemble();
        if loading.problems.is_empty() {
            loading.problems.extend(check::catalog(&catalog));
        }
        Problems::check(std::mem::take(&mut loading.problems))?;
        catalog.templates = loading.templates;
        Ok(catalog)
    }

    /// The components of that name in any stack.
    pub fn named<'c>(&'c self, name: &'c str) -> impl Iterator<Item = &'c LoadedComponent> {
        self.stacks.values().filter_map(move |stack| stack.components.get(name))
    }
}

#[derive(Default)]
struct Loading {
    stacks: BTreeMap<ComponentName, (StackFile, TextFile)>,
    components: BTreeMap<(ComponentName, ComponentName), LoadedComponent>,
    templates: BTreeMap<String, TextFile>,
    problems: Vec<Problem>,
}

impl Loading {
    // Most of the time of a build that has all it needs would go here, one file after the other.
    fn of(sources: &Sources) -> Self {
        let files: Vec<(&String, &TextFile)> = sources.0.iter().collect();
        let workers = thread::available_parallelism().map_or(1, usize::from).min(MOST_WORKERS);
        thread::scope(|scope| {
            let parts: Vec<_> = (0..workers)
                .map(|first| {
                    let part = files.iter().skip(first).step_by(workers);
                    scope.spawn(move || {
                        let mut loading = Self::default();
                        part.for_each(|(path, file)| loading.file(path, file));
                        loading
                    })
                })
                .collect();
            let mut all = Self::default();
            for part in parts {
                match part.join() {
                    Ok(part) => all.add(part),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            // As if read in their order.
            all.problems.sort_by(|one, other| one.file.cmp(&other.file));
            all
        })
    }

    fn add(&mut self, part: Self) {
        self.stacks.extend(part.stacks);
        self.components.extend(part.components);
        self.templates.extend(part.templates);
        self.problems.extend(part.problems);
    }

    fn file(&mut self, path: &str, file: &TextFile) {
        if let Some(name) = path.strip_prefix("templates/") {
            self.templates.insert(name.to_owned(), file.clone());
            return;
        }
        let Some((stack, rest)) = path.strip_prefix("targets/").and_then(|below| below.split_once('/'))
        else {
            return self.stray(file);
        };
        let Some(stem) = rest.strip_suffix(".yaml").filter(|stem| !stem.contains('/')) else {
            return self.stray(file);
        };
        let (Some(stack), Some(stem)) = (self.name(stack, file), self.name(stem, file)) else { return };
        if stem.as_str() == "stack" {
            if let Some((read, _)) = self.read(&STACK, file) {
                self.stacks.insert(stack, (read, file.clone()));
            }
        } else if let Some((read, tree)) = self.read(&COMPONENT, file) {
            let (file, source) = (Arc::new(read), file.clone());
            let loaded = LoadedComponent { name: stem.clone(), home: stack.clone(), file, source, tree };
            self.components.insert((stack, stem), loaded);
        }
    }

    fn stray(&mut self, file: &TextFile) {
        if !file.shown.ends_with(".md") {
            let remedy =
                "`targets/<stack>/stack.yaml` and `targets/<stack>/<component>.yaml` are read, nothing else";
            self.problems.push(Problem::whole(
                &file.shown,
                "this is neither a stack nor a component",
                remedy,
            ));
        }
    }

    fn name(&mut self, text: &str, file: &TextFile) -> Option<ComponentName> {
        let name = text.parse::<ComponentName>();
        if let Err(error) = &name {
            self.problems.push(Problem::whole(&file.shown, error.to_string(), "rename the file or folder"));
        }
        name.ok()
    }

    fn read<T: JsonSchema + DeserializeOwned>(
        &mut self,
        shape: &Shape<T>,
        file: &TextFile,
    ) -> Option<(T, Arc<Node>)> {
        shape.parse(file).map_err(|problems| self.problems.extend(problems)).ok()
    }

    fn assemble(&mut self) -> Catalog {
        let mut catalog = Catalog::default();
        for (name, (file, source)) in &self.stacks {
            let own = self.components.iter().filter(|((home, _), _)| home == name);
            let mut components: BTreeMap<_, _> =
                own.map(|((_, part), loaded)| (part.clone(), loaded.clone())).collect();
            for include in &file.includes {
                match self.components.iter().find(|((home, part), _)| *include == format!("{home}/{part}")) {
                    Some(((_, part), loaded)) => {
                        components.insert(part.clone(), loaded.clone());
                    }
                    None => {
                        let message = format!("`includes` names `{include}`, and there is no such component");
                        self.problems.push(Problem::whole(
                            &source.shown,
                            message,
                            "check its folder and file name",
                        ));
                    }
                }
            }
            let (name, file, shown) = (name.clone(), Arc::new(file.clone()), source.shown.clone());
            catalog.stacks.insert(name.clone(), Stack { name, file, shown, components });
        }
        for ((home, name), loaded) in &self.components {
            if !self.stacks.contains_key(home) {
                let message = format!("component `{name}` lies in a folder without a stack.yaml");
                self.problems.push(Problem::whole(
                    &loaded.source.shown,
                    message,
                    format!("write targets/{home}/stack.yaml"),
                ));
            }
        }
        catalog
    }
}
