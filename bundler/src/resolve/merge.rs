//! The layers of each host, laid over each other and compared with what the host's components take.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chom_format::backup::DIRECTORY;
use chom_format::{ComponentName, HostName};
use serde_json::Value;

use super::Request;
use super::leaves::{self, Leaf};
use super::origin::{Layer, Origin};
use super::overrides::{self, Names, Override};
use crate::inventory::{Inventory, model, placeholder};
use crate::problem::Problem;
use crate::stack::setting::component_schema;
use crate::stack::{Catalog, LoadedComponent};
use crate::yaml::scalar::Scalar;
use crate::yaml::walk::{Walk, nearest};
use crate::yaml::{self, Kind, Node, Place};

/// One host with everything that any layer says of it.
pub struct MergedHost<'a> {
    /// Its name.
    pub name: HostName,
    /// Where the inventory begins to speak of it.
    pub place: Place,
    /// By key, lowest layer first.
    pub leaves: BTreeMap<String, Vec<Leaf>>,
    /// Its stacks, in the inventory's order, without those that do not exist.
    pub stacks: Vec<ComponentName>,
    /// Its components, with the stack that brings each.
    pub components: BTreeMap<ComponentName, (ComponentName, &'a LoadedComponent)>,
}

impl MergedHost<'_> {
    /// What counts for a key.
    pub fn winner(&self, key: &str) -> Option<&Leaf> {
        self.leaves.get(key).and_then(|leaves| leaves.last())
    }

    fn add(&mut self, leaf: Leaf) {
        self.leaves.entry(leaf.key.clone()).or_default().push(leaf);
    }
}

/// Lays the layers over each other; what is wrong goes to `problems`.
pub struct Merger<'a, 'p> {
    inventory: &'p Inventory,
    catalog: &'a Catalog,
    schema: Value,
    problems: &'p mut Vec<Problem>,
}

/// A mapping of components and where it comes from.
struct Stated<'n> {
    components: &'n Node,
    source: &'n str,
    text: &'n str,
    key: String,
}

impl<'a, 'p> Merger<'a, 'p> {
    /// A merger of this inventory with these stacks.
    pub fn new(inventory: &'p Inventory, catalog: &'a Catalog, problems: &'p mut Vec<Problem>) -> Self {
        Self { inventory, catalog, schema: model::schema(), problems }
    }

    /// All hosts, in the order of the file.
    pub fn run(mut self, request: &Request) -> Vec<MergedHost<'a>> {
        let inventory = self.inventory;
        let named = named_hosts(inventory);
        let names: Vec<HostName> = named.iter().map(|(name, ..)| name.clone()).collect();
        let above = self.overrides(&names, request);
        let defaults = inventory.tree.get("defaults").map(|node| &**node);
        self.defaults(defaults);
        named
            .into_iter()
            .map(|(name, place, node)| {
                let own: Vec<&Override> = above.iter().filter(|one| one.host == name).collect();
                self.host(name, place, defaults, node, &own)
            })
            .collect()
    }

    fn host(
        &mut self,
        name: HostName,
        place: Place,
        defaults: Option<&Node>,
        node: &Node,
        above: &[&Override],
    ) -> MergedHost<'a> {
        let file = &self.inventory.file;
        let mut stated: Vec<Leaf> =
            defaults.map(|node| leaves::of(node, Layer::Defaults, file)).unwrap_or_default();
        stated.extend(leaves::of(node, Layer::Host, file));
        stated.extend(above.iter().map(|one| one.leaf()));
        let mut host = MergedHost {
            name,
            place,
            leaves: BTreeMap::new(),
            stacks: Vec::new(),
            components: BTreeMap::new(),
        };
        self.stacks(&mut host, &stated);
        self.components(&mut host);
        self.stated_components(&host, node, above);
        let lowest =
            built_in().into_iter().chain(host.components.values().flat_map(|(_, part)| defaults_of(part)));
        let all: Vec<Leaf> = lowest.chain(stated).collect();
        for leaf in all.into_iter().filter(|leaf| taken(&host, &leaf.key)).collect::<Vec<_>>() {
            host.add(leaf);
        }
        host
    }

    fn overrides(&mut self, hosts: &[HostName], request: &Request) -> Vec<Override> {
        let keys = known_keys(&self.schema, self.catalog);
        let names = Names { hosts, keys: &keys };
        let (mut all, wrong) = overrides::from_environment(&request.environment, &names);
        self.problems.extend(wrong);
        let (more, wrong) = overrides::from_options(&request.set, &names);
        self.problems.extend(wrong);
        all.extend(more);
        all.retain(|one| {
            let wrong = self.override_problems(one);
            let good = wrong.is_empty();
            self.problems.extend(wrong);
            good
        });
        all
    }

    // Components are compared later, with the host's own.
    fn override_problems(&self, one: &Override) -> Vec<Problem> {
        let (tree, source) = (one.tree(), one.origin.to_string());
        let key = format!("hosts.{}", one.host);
        let schema = definition(&self.schema, "HostFile");
        let wrong =
            Walk::new(&source, "", &self.schema).partial().excusing(placeholder::is).run(&tree, schema, &key);
        let path = one.path.join(".");
        let is_leaf = leaves::of(&tree, Layer::Host, "").iter().any(|leaf| leaf.key == path);
        if wrong.is_empty() && !is_leaf {
            let deeper = one.path.len() > 2;
            let message = if deeper { "is part of one value" } else { "holds several values" };
            let remedy = if deeper {
                "set the whole of it: `[a, b]` or `{a: b}`"
            } else {
                "set one of the keys below it"
            };
            return vec![Problem::whole(source, format!("`{path}` {message}"), remedy)];
        }
        wrong
    }

    fn stacks(&mut self, host: &mut MergedHost<'_>, stated: &[Leaf]) {
        let Some(leaf) = stated.iter().rev().find(|leaf| leaf.key == "stacks") else { return };
        let known: Vec<&str> = self.catalog.stacks.keys().map(ComponentName::as_str).collect();
        let there_are = format!("there are: {}", known.join(", "));
        if matches!(leaf.node.kind, Kind::List(_)) && leaf.node.items().is_empty() {
            self.tell(leaf, &leaf.node, "the list of stacks is empty".to_owned(), there_are.clone());
        }
        for item in leaf.node.items() {
            let Some(text) = item.scalar().map(|scalar| scalar.text.as_str()) else { continue };
            match self.catalog.stacks.get_key_value(text) {
                Some((name, _)) if host.stacks.contains(name) => {
                    self.tell(leaf, item, format!("stack `{text}` stands here twice"), "keep one".to_owned());
                }
                Some((name, _)) => host.stacks.push(name.clone()),
                None => {
                    let near = nearest(text, &known).map(|near| format!("did you mean `{near}`?"));
                    let remedy = near.unwrap_or_else(|| there_are.clone());
                    self.tell(leaf, item, format!("there is no stack `{text}`"), remedy);
                }
            }
        }
    }

    // A component that two stacks bring belongs to the one in whose folder it is written.
    fn components(&mut self, host: &mut MergedHost<'a>) {
        for name in &host.stacks {
            let Some(stack) = self.catalog.stacks.get(name) else { continue };
            for (part_name, part) in &stack.components {
                if part.home == *name || !host.components.contains_key(part_name) {
                    host.components.insert(part_name.clone(), (name.clone(), part));
                }
            }
        }
    }

    fn stated_components(&mut self, host: &MergedHost<'a>, node: &Node, above: &[&Override]) {
        // With an unknown stack every one of its components would be unknown too.
        let named = node.get("stacks").map_or(0, |stacks| stacks.items().len());
        if host.stacks.len() < named {
            return;
        }
        let known: BTreeMap<&str, &LoadedComponent> =
            host.components.iter().map(|(name, (_, part))| (name.as_str(), *part)).collect();
        let stacks: Vec<&str> = host.stacks.iter().map(ComponentName::as_str).collect();
        let within = format!("in {} of `{}`", stacks.join(", "), host.name);
        let key = format!("hosts.{}.components", host.name);
        if let Some(components) = node.get("components") {
            let (source, text) = (self.inventory.file.as_str(), &*self.inventory.text);
            self.compare(&Stated { components, source, text, key: key.clone() }, &known, &within);
        }
        for one in above {
            let (tree, source) = (one.tree(), one.origin.to_string());
            if let Some(components) = tree.get("components") {
                self.compare(
                    &Stated { components, source: &source, text: "", key: key.clone() },
                    &known,
                    &within,
                );
            }
        }
    }

    fn defaults(&mut self, defaults: Option<&Node>) {
        let Some(components) = defaults.and_then(|node| node.get("components")) else { return };
        let all = self.catalog.stacks.values().flat_map(|stack| &stack.components);
        let known = all.map(|(name, part)| (name.as_str(), part)).collect();
        let (source, text) = (self.inventory.file.as_str(), &*self.inventory.text);
        let stated = Stated { components, source, text, key: "defaults.components".to_owned() };
        self.compare(&stated, &known, "in any stack");
    }

    fn compare(&mut self, stated: &Stated<'_>, known: &BTreeMap<&str, &LoadedComponent>, within: &str) {
        for entry in stated.components.entries() {
            let key = format!("{}.{}", stated.key, entry.key);
            if let Some(part) = known.get(entry.key.as_str()) {
                let schema = component_schema(&part.file);
                let walk = Walk::new(stated.source, stated.text, &schema).partial();
                let walk = walk.excusing(placeholder::is_in_setting);
                self.problems.extend(walk.run(&entry.value, &schema, &key));
                continue;
            }
            let names: Vec<&str> = known.keys().copied().collect();
            let near = nearest(&entry.key, &names).map(|near| format!("did you mean `{near}`?"));
            let remedy = near.unwrap_or_else(|| format!("there are: {}", names.join(", ")));
            let message = format!("there is no component `{}` {within}", entry.key);
            let problem = Problem::at(stated.source, entry.key_place.at(), key, message, remedy);
            self.problems.push(problem.with_excerpt(stated.text));
        }
    }

    fn tell(&mut self, leaf: &Leaf, node: &Node, message: String, remedy: String) {
        self.problems.push(problem(self.inventory, leaf, node, &leaf.key, message, remedy));
    }
}

/// A problem with a part of a leaf, at the place where its layer states it.
pub fn problem(
    inventory: &Inventory,
    leaf: &Leaf,
    node: &Node,
    key: &str,
    message: String,
    remedy: String,
) -> Problem {
    match leaf.origin.layer {
        Layer::Defaults | Layer::Host => {
            Problem::at(&inventory.file, node.place.at(), key, message, remedy).with_excerpt(&inventory.text)
        }
        Layer::BuiltIn | Layer::ComponentDefault => {
            Problem::at(&leaf.origin.source, node.place.at(), key, message, remedy)
        }
        Layer::Environment | Layer::CommandLine => {
            Problem::at(leaf.origin.to_string(), (0, 0), key, message, remedy)
        }
    }
}

/// A type's part of the inventory's schema.
pub fn definition<'s>(schema: &'s Value, name: &str) -> &'s Value {
    schema.pointer(&format!("/$defs/{name}")).unwrap_or(&Value::Null)
}

// The first of two hosts with one name counts; the second is told as a duplicate key.
fn named_hosts(inventory: &Inventory) -> Vec<(HostName, Place, &Node)> {
    let mut seen = BTreeSet::new();
    let entries = inventory.tree.get("hosts").map(|hosts| hosts.entries()).unwrap_or_default();
    let named =
        entries.iter().filter_map(|entry| Some((entry.key.parse().ok()?, entry.key_place, &*entry.value)));
    named.filter(|(name, ..): &(HostName, _, _)| seen.insert(name.clone())).collect()
}

fn built_in() -> Vec<Leaf> {
    let origin = Origin { layer: Layer::BuiltIn, source: "built in".to_owned(), line: 0, column: 0 };
    let values = [
        ("suite", "trixie"),
        ("arch", "x86_64"),
        ("ssh.user", "root"),
        ("ssh.port", "22"),
        ("tls.mode", "off"),
        ("backup.directory", DIRECTORY),
        ("backup.keep", "7"),
        ("backup.before_install", "false"),
        ("dwell_s", "20"),
    ];
    let leaf = |(key, value): (&str, &str)| {
        let node = Arc::new(Node::detached(Kind::Scalar(Scalar::plain(value))));
        Leaf { key: key.to_owned(), node, origin: origin.clone() }
    };
    values.into_iter().map(leaf).collect()
}

fn defaults_of(part: &LoadedComponent) -> Vec<Leaf> {
    let Ok(tree) = yaml::read(&part.source.shown, &part.source.text) else { return Vec::new() };
    let null = Arc::new(Node::detached(Kind::Scalar(Scalar::plain(""))));
    let enabled = Arc::new(Node::detached(Kind::Scalar(Scalar::plain(part.file.enabled.to_string()))));
    let leaf = |key: &str, node: Arc<Node>| {
        let (line, column) = node.place.at();
        let origin =
            Origin { layer: Layer::ComponentDefault, source: part.source.shown.clone(), line, column };
        Leaf { key: format!("components.{}.{key}", part.name), node, origin }
    };
    let mut leaves = vec![leaf("enabled", tree.get("enabled").cloned().unwrap_or(enabled))];
    if let Some(source) = tree.get("payload").and_then(|payload| payload.get("source")) {
        leaves.push(leaf("source", Arc::clone(source)));
    }
    let settings = tree.get("settings").map(|settings| settings.entries()).unwrap_or_default();
    leaves.extend(settings.iter().map(|entry| {
        leaf(&entry.key, entry.value.get("default").cloned().unwrap_or_else(|| Arc::clone(&null)))
    }));
    leaves
}

// What defaults say of components that this host does not have is not meant for it.
fn taken(host: &MergedHost<'_>, key: &str) -> bool {
    let Some(rest) = key.strip_prefix("components.") else { return true };
    let Some((name, setting)) = rest.split_once('.') else { return false };
    let part = host.components.get(name).map(|(_, part)| part);
    part.is_some_and(|part| component_schema(&part.file).pointer(&format!("/properties/{setting}")).is_some())
}

/// Every dotted key that some host may have.
fn known_keys(schema: &Value, catalog: &Catalog) -> Vec<String> {
    let keys_of = |schema: &Value| -> Vec<String> {
        schema
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flat_map(|map| map.keys().cloned())
            .collect()
    };
    let groups = [("ssh", "SshFile"), ("tls", "TlsFile"), ("specs", "SpecsFile"), ("backup", "BackupFile")];
    let mut keys: BTreeSet<String> = keys_of(definition(schema, "HostFile")).into_iter().collect();
    keys.remove("components");
    for (group, name) in groups {
        keys.remove(group);
        keys.extend(keys_of(definition(schema, name)).into_iter().map(|key| format!("{group}.{key}")));
    }
    for part in catalog.stacks.values().flat_map(|stack| stack.components.values()) {
        let own = keys_of(&component_schema(&part.file));
        keys.extend(own.into_iter().map(|key| format!("components.{}.{key}", part.name)));
    }
    keys.into_iter().collect()
}
