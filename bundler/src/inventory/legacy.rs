//! The old shape: two roles at the top level, one host each.
//!
//! It is turned into the present shape node by node, so every later message still points at the line of the old
//! file. Each of its keys either has an effect here or is refused by name; none is silently dropped, as most of
//! them once were.

use std::sync::Arc;

use schemars::JsonSchema;
use serde_json::Value;

use crate::problem::Problem;
use crate::yaml::scalar::Scalar;
use crate::yaml::shape::{AccountText, AddressText, DomainText, Line};
use crate::yaml::walk::Walk;
use crate::yaml::{Entry, Kind, Node};

use super::model::SpecsFile;
use super::placeholder;

/// The roles, which are the stacks' names too.
pub const ROLES: [&str; 2] = ["observability", "vpsmanager"];

/// The old file.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
struct LegacyFile {
    observability: Option<RoleFile<ObservabilityConfig>>,
    vpsmanager: Option<RoleFile<ManagerConfig>>,
    ssh_key_path: Option<Line>,
    log_collector: Option<Collector>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
struct RoleFile<C> {
    hostname: DomainText,
    ip: AddressText,
    ssh_user: Option<AccountText>,
    #[schemars(range(min = 1, max = 65535))]
    ssh_port: Option<u16>,
    specs: Option<SpecsFile>,
    components: Option<Vec<Line>>,
    config: Option<C>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
struct ObservabilityConfig {
    grafana_domain: Option<DomainText>,
    alertmanager_email: Option<Line>,
    #[schemars(range(min = 1, max = 36500))]
    retention_days: Option<u32>,
    smtp: Option<Smtp>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
struct Smtp {
    host: Option<Line>,
    #[schemars(range(min = 1, max = 65535))]
    port: Option<u16>,
    user: Option<Line>,
    password: Option<String>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
struct ManagerConfig {
    php_versions: Option<Vec<Line>>,
    default_php: Option<Line>,
    observability_server: Option<Line>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
#[expect(dead_code, reason = "only its schema is used")]
enum Collector {
    Promtail,
    Alloy,
}

/// Whether a tree has the old shape.
pub fn is_legacy(tree: &Node) -> bool {
    tree.get("hosts").is_none() && ROLES.iter().any(|role| tree.get(role).is_some())
}

/// The role whose host the present shape calls `host`.
pub fn role_of(old: &Node, host: &str) -> Option<&'static str> {
    ROLES.into_iter().find(|role| old.get(role).is_some_and(|node| host_name(role, node) == host))
}

// The first label of the host's own name.
fn host_name(role: &str, old: &Node) -> String {
    let full = old.get("hostname").and_then(|node| node.scalar()).map_or("", |scalar| scalar.text.as_str());
    let name = full.split('.').next().unwrap_or_default().to_lowercase();
    if name.is_empty() { role.to_owned() } else { name }
}

/// An old inventory in the present shape.
pub struct Converted {
    /// The tree; its nodes stand where they stand in the old file.
    pub tree: Arc<Node>,
    /// What is wrong with the old file as such.
    pub problems: Vec<Problem>,
    /// What it says rightly and nothing does any more.
    pub refused: Vec<Problem>,
}

/// Converts an old inventory.
pub fn convert(file: &str, text: &str, old: &Node) -> Converted {
    let schema: Value = schemars::schema_for!(LegacyFile).into();
    let problems = Walk::new(file, text, &schema).excusing(placeholder::is).run(old, &schema, "");
    let mut conversion = Conversion { file, text, old, refused: Vec::new() };
    let tree = conversion.tree();
    Converted { tree, problems, refused: conversion.refused }
}

struct Conversion<'a> {
    file: &'a str,
    text: &'a str,
    old: &'a Node,
    refused: Vec<Problem>,
}

impl Conversion<'_> {
    fn tree(&mut self) -> Arc<Node> {
        let mut hosts = Vec::new();
        for role in ROLES {
            if let Some(entry) = self.old.entry(role)
                && matches!(entry.value.kind, Kind::Map(_))
            {
                hosts.push(self.host(entry));
            }
        }
        let mut root = Vec::new();
        if let Some(collector) = self.old.entry("log_collector") {
            root.extend(self.collector(collector));
        }
        root.push(made("hosts", self.old, map_at(self.old, hosts)));
        self.old_server();
        map_at(self.old, root)
    }

    fn host(&mut self, role: &Entry) -> Entry {
        let old = &*role.value;
        let hostname = old.get("hostname");
        let full = hostname.and_then(|node| node.scalar()).map_or("", |scalar| scalar.text.as_str());
        let mut host = Vec::new();
        host.extend(moved("address", old.entry("ip")));
        host.extend(self.names(old, full));
        let stack =
            Node { place: role.key_place, ..Node::detached(Kind::Scalar(Scalar::quoted(role.key.as_str()))) };
        let stacks = Node { place: role.key_place, ..Node::detached(Kind::List(vec![Arc::new(stack)])) };
        host.push(Entry {
            key: "stacks".to_owned(),
            key_place: role.key_place,
            value: Arc::new(stacks),
            value_place: role.key_place,
            borrowed: true,
        });
        let ssh: Vec<Entry> = moved("user", old.entry("ssh_user"))
            .into_iter()
            .chain(moved("port", old.entry("ssh_port")))
            .chain(moved("key", self.old.entry("ssh_key_path")))
            .collect();
        if !ssh.is_empty() {
            host.push(made("ssh", old, map_at(old, ssh)));
        }
        host.extend(moved("specs", old.entry("specs")));
        let components = self.components(&role.key, old);
        if !components.is_empty() {
            host.push(made("components", old, map_at(old, components)));
        }
        let value = map_at(old, host);
        let key = host_name(&role.key, old);
        Entry {
            key,
            key_place: hostname.map_or(role.key_place, |node| node.place),
            value,
            value_place: role.key_place,
            borrowed: false,
        }
    }

    // The name that people browse to is the domain; the host's own full name is a further one.
    fn names(&self, old: &Node, full: &str) -> Vec<Entry> {
        let grafana = old.find(&["config"]).and_then(|config| config.entry("grafana_domain"));
        let given = grafana.filter(|entry| !is_blank(&entry.value));
        let own = old.entry("hostname").filter(|_| full.contains('.'));
        let mut entries: Vec<Entry> = moved("domain", given.or(own)).into_iter().collect();
        let same = |entry: &&Entry| entry.value.scalar().is_some_and(|scalar| scalar.text == full);
        if let (Some(own), None) = (own, given.filter(same))
            && given.is_some()
        {
            let list =
                Node { place: own.value.place, ..Node::detached(Kind::List(vec![Arc::clone(&own.value)])) };
            entries.push(Entry { key: "names".to_owned(), value: Arc::new(list), ..own.clone() });
        }
        entries
    }

    fn components(&mut self, role: &str, old: &Node) -> Vec<Entry> {
        let mut components: Vec<Entry> = Vec::new();
        for item in old.get("components").map(|list| list.items()).unwrap_or_default() {
            let Some(scalar) = item.scalar() else { continue };
            let name = scalar.text.replace('-', "_");
            // The role's own name stands for all that is not listed, and that is the stack.
            if name != role {
                set(&mut components, &name, "enabled", with_value(item, Scalar::plain("true")));
            }
        }
        let Some(config) = old.get("config") else { return components };
        if let Some(days) = config.get("retention_days").filter(|node| !is_blank(node)) {
            let text = days.scalar().map_or("", |scalar| scalar.text.as_str());
            set(
                &mut components,
                "prometheus",
                "retention",
                with_value(days, Scalar::quoted(format!("{text}d"))),
            );
        }
        if let Some(mail) = config.get("alertmanager_email").filter(|node| !is_blank(node)) {
            set(&mut components, "alertmanager", "email_to", Arc::clone(mail));
        }
        if let Some(smtp) = config.get("smtp") {
            self.smtp(&mut components, smtp);
        }
        for key in ["php_versions", "default_php"] {
            if let Some(entry) = config.entry(key) {
                let message = format!("`vpsmanager.config.{key}` has no effect: no component takes it");
                self.refuse(entry, message, "remove the key: Debian's release decides which PHP there is");
            }
        }
        components
    }

    fn smtp(&mut self, components: &mut Vec<Entry>, smtp: &Node) {
        for (old, new) in [("host", "smtp_host"), ("port", "smtp_port"), ("user", "smtp_user")] {
            if let Some(value) = smtp.get(old).filter(|node| !is_blank(node)) {
                set(components, "alertmanager", new, Arc::clone(value));
            }
        }
        let sender =
            smtp.get("user").filter(|node| node.scalar().is_some_and(|scalar| scalar.text.contains('@')));
        if let Some(sender) = sender {
            set(components, "alertmanager", "smtp_from", Arc::clone(sender));
        }
        if let Some(entry) = smtp.entry("password").filter(|entry| !is_blank(&entry.value)) {
            let remedy = "write it to a file on the host, leave `password` empty, and name the file with \
                          `--set <host>.components.alertmanager.smtp_password_file=/path`, or in the shape that \
                          `chom-bundle init --from` writes";
            self.refuse(entry, "a password does not stand in the inventory in clear".to_owned(), remedy);
        }
    }

    fn collector(&mut self, entry: &Entry) -> Option<Entry> {
        match entry.value.scalar()?.text.as_str() {
            "promtail" => {
                let mut components = Vec::new();
                set(&mut components, "promtail", "enabled", with_value(&entry.value, Scalar::plain("true")));
                let components = made("components", &entry.value, map_at(&entry.value, components));
                Some(made("defaults", &entry.value, map_at(&entry.value, vec![components])))
            }
            "alloy" => {
                let message = "`log_collector: alloy` is refused: there is no such component".to_owned();
                self.refuse(entry, message, "set `log_collector: promtail`, or remove the key");
                None
            }
            _ => None,
        }
    }

    // Peers follow from what each host runs. What is left of this key is that it must be true.
    fn old_server(&mut self) {
        let Some(entry) =
            self.old.find(&["vpsmanager", "config"]).and_then(|node| node.entry("observability_server"))
        else {
            return;
        };
        let said = entry.value.scalar().map_or("", |scalar| scalar.text.as_str());
        let known = ["hostname", "ip"]
            .into_iter()
            .filter_map(|key| Some(self.old.find(&["observability", key])?.scalar()?.text.as_str()));
        let known: Vec<&str> = known.collect();
        let fits = known.iter().any(|name| *name == said || name.split('.').next() == Some(said));
        if !said.is_empty() && !fits {
            let message =
                format!("`vpsmanager.config.observability_server` is `{said}`, and no host has that name");
            let remedy = if known.is_empty() {
                "remove the key: who watches whom follows from what each host runs".to_owned()
            } else {
                format!("it is one of: {}", known.join(", "))
            };
            self.refuse(&entry.clone(), message, &remedy);
        }
    }

    fn refuse(&mut self, entry: &Entry, message: String, remedy: &str) {
        let problem = Problem::at(self.file, entry.key_place.at(), entry.key.as_str(), message, remedy);
        self.refused.push(problem.with_excerpt(self.text));
    }
}

fn is_blank(node: &Node) -> bool {
    node.scalar().is_some_and(|scalar| scalar.text.is_empty()) || node.is_null()
}

fn moved(key: &str, old: Option<&Entry>) -> Option<Entry> {
    old.filter(|entry| !is_blank(&entry.value)).map(|entry| Entry { key: key.to_owned(), ..entry.clone() })
}

fn made(key: &str, near: &Node, value: Arc<Node>) -> Entry {
    Entry { key: key.to_owned(), key_place: near.place, value, value_place: near.place, borrowed: true }
}

fn map_at(near: &Node, entries: Vec<Entry>) -> Arc<Node> {
    Arc::new(Node { place: near.place, ..Node::detached(Kind::Map(entries)) })
}

fn with_value(near: &Node, scalar: Scalar) -> Arc<Node> {
    Arc::new(Node { place: near.place, ..Node::detached(Kind::Scalar(scalar)) })
}

// Sets one key of one component, which the list of components may have named before.
fn set(components: &mut Vec<Entry>, component: &str, key: &str, value: Arc<Node>) {
    let setting = made(key, &value, Arc::clone(&value));
    match components.iter_mut().find(|entry| entry.key == component) {
        Some(entry) => {
            let mut settings = entry.value.entries().to_vec();
            settings.push(setting);
            entry.value = map_at(&value, settings);
        }
        None => components.push(made(component, &value, map_at(&value, vec![setting]))),
    }
}
