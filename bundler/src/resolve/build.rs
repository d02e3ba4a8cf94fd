//! From leaves to types.

use std::collections::BTreeMap;
use std::sync::Arc;

use chom_format::ComponentName;
use chom_format::backup::BackupPolicy;
use chom_format::manifest::{Arch, Suite};
use serde_json::Value;

use super::fleet::{Address, Backup, Component, Fleet, Host, Mirrors, Specs, Ssh, Tls};
use super::leaves::{self, Leaf};
use super::merge::{MergedHost, definition};
use super::origin::{Layer, Origin};
use super::trace::Trace;
use crate::inventory::Inventory;
use crate::inventory::model::{self, HostFile};
use crate::problem::Problem;
use crate::render::fields::seconds;
use crate::stack::component::Source;
use crate::stack::setting::{component_schema, setting_schema};
use crate::stack::{Catalog, LoadedComponent};
use crate::yaml::walk::{self, join};
use crate::yaml::{Entry, Kind, Node};

/// Builds the fleet. None when a host could not be built, for reasons that stand in `problems`.
pub fn fleet(
    inventory: &Inventory,
    catalog: &Catalog,
    merged: &[MergedHost<'_>],
    trace: &mut Trace,
    problems: &mut Vec<Problem>,
) -> Option<Fleet> {
    let schema = model::schema();
    for host in merged {
        note(host, &schema, trace);
    }
    let head = head(inventory, &schema, trace);
    let mut hosts = BTreeMap::new();
    for host in merged {
        match self::host(host, catalog, &schema) {
            Ok(built) => {
                hosts.insert(host.name.clone(), built);
            }
            // What is missing or misspelt was told before, in better words.
            Err(_) if !problems.is_empty() => {}
            Err(told) => problems.push(Problem::at(
                &inventory.file,
                host.place.at(),
                format!("hosts.{}", host.name),
                told,
                "see `chom-bundle schema`",
            )),
        }
    }
    if merged.is_empty() || hosts.len() < merged.len() {
        return None;
    }
    let (version, environment, mirrors) = head;
    Some(Fleet { version, environment, hosts, mirrors, origins: trace.origins() })
}

fn note(host: &MergedHost<'_>, schema: &Value, trace: &mut Trace) {
    for (key, leaves) in &host.leaves {
        for leaf in leaves {
            let value = walk::value(&leaf.node, schema, &leaf_schema(host, schema, key));
            trace.add(format!("hosts.{}.{key}", host.name), value, leaf.origin.clone());
        }
    }
}

// The schema of one leaf, so that `1.4` is text where text is wanted.
fn leaf_schema(host: &MergedHost<'_>, schema: &Value, key: &str) -> Value {
    let parts: Vec<&str> = key.split('.').collect();
    if let ["components", name, setting] = parts.as_slice() {
        let part = host.components.get(*name).map(|(_, part)| component_schema(&part.file));
        return part
            .and_then(|part| part.pointer(&format!("/properties/{setting}")).cloned())
            .unwrap_or_default();
    }
    let mut below = definition(schema, "HostFile");
    for part in parts {
        let resolved = walk::resolve(schema, below);
        let some = resolved.pointer("/anyOf/0").map_or(resolved, |some| walk::resolve(schema, some));
        below = some.pointer(&format!("/properties/{part}")).unwrap_or(&Value::Null);
    }
    below.clone()
}

fn head(inventory: &Inventory, schema: &Value, trace: &mut Trace) -> (String, String, Mirrors) {
    let mut text = |key: &str, otherwise: &str| {
        let stated = inventory.tree.get(key).filter(|node| !node.is_null());
        let value = stated.and_then(|node| node.scalar()).map_or(otherwise, |scalar| scalar.text.as_str());
        let origin = stated.map_or_else(built_in, |node| stated_at(inventory, node));
        trace.add(key, value.into(), origin);
        value.to_owned()
    };
    // The old shape knows neither; both only name things.
    let (version, environment) = (text("version", "0.1.0"), text("environment", "production"));
    let mirrors = inventory.tree.get("mirrors").filter(|node| !node.is_null());
    for entry in mirrors.map(|node| node.entries()).unwrap_or_default() {
        trace.add(join("mirrors", &entry.key), entry.value.value(), stated_at(inventory, &entry.value));
    }
    let mirrors = mirrors.map(|node| walk::value(node, schema, definition(schema, "Mirrors")));
    (version, environment, mirrors.and_then(|value| serde_json::from_value(value).ok()).unwrap_or_default())
}

fn built_in() -> Origin {
    Origin { layer: Layer::BuiltIn, source: "built in".to_owned(), line: 0, column: 0 }
}

fn stated_at(inventory: &Inventory, node: &Node) -> Origin {
    let (line, column) = node.place.at();
    Origin { layer: Layer::Defaults, source: inventory.file.clone(), line, column }
}

fn host(merged: &MergedHost<'_>, catalog: &Catalog, schema: &Value) -> Result<Host, String> {
    let own = merged.leaves.iter().filter(|(key, _)| !key.starts_with("components."));
    let winners: Vec<&Leaf> = own.filter_map(|(_, leaves)| leaves.last()).collect();
    let tree = tree_of(&winners);
    let value = walk::value(&tree, schema, definition(schema, "HostFile"));
    let file: HostFile =
        serde_json::from_value(value).map_err(|error| format!("host `{}`: {error}", merged.name))?;
    let address = file.address.parse().map_or_else(|_| Address::Name(file.address.clone()), Address::Ip);
    let fqdn = match (&file.domain, &address) {
        (Some(domain), _) => domain.clone(),
        (None, Address::Name(name)) => name.clone(),
        (None, Address::Ip(_)) => merged.name.to_string(),
    };
    let tls = file.tls.unwrap_or_default();
    let ssh = file.ssh.unwrap_or_default();
    let specs = file.specs.unwrap_or_default();
    let backup = backup(file.backup.unwrap_or_default());
    let mut components = BTreeMap::new();
    for (name, (stack, part)) in &merged.components {
        components.insert(name.clone(), component(merged, stack, part)?);
    }
    let stack_file = |name: &ComponentName| Some((name.clone(), Arc::clone(&catalog.stacks.get(name)?.file)));
    Ok(Host {
        name: merged.name.clone(),
        address,
        fqdn,
        domain: file.domain,
        names: file.names.unwrap_or_default(),
        tls: Tls { mode: tls.mode.unwrap_or_default(), certificate: tls.certificate, key: tls.key },
        ssh: Ssh {
            user: ssh.user.unwrap_or_else(|| "root".to_owned()),
            port: ssh.port.unwrap_or(22),
            key: ssh.key,
            host_key: ssh.host_key,
        },
        arch: file.arch.unwrap_or(Arch::X86_64),
        suite: file.suite.unwrap_or(Suite::Trixie),
        machine_id: file.machine_id,
        specs: Specs {
            cpu: specs.cpu,
            memory_mb: specs.memory_mb,
            disk_gb: specs.disk_gb,
            detected_at: specs.detected_at,
            detection_source: specs.detection_source,
        },
        backup,
        dwell_s: file.dwell_s.unwrap_or(20),
        stack_files: merged.stacks.iter().filter_map(stack_file).collect(),
        stacks: merged.stacks.clone(),
        components,
    })
}

fn backup(file: model::BackupFile) -> Backup {
    let usual = BackupPolicy::default();
    // The form of each text was checked with all others.
    let policy = BackupPolicy {
        dir: file.directory.and_then(|text| text.parse().ok()).unwrap_or(usual.dir),
        keep: file.keep.unwrap_or(usual.keep),
        max_age_s: file.max_age.as_deref().and_then(seconds),
        recipients: file.recipients.iter().flatten().filter_map(|text| text.parse().ok()).collect(),
        before_install: file.before_install.unwrap_or(usual.before_install),
    };
    Backup { policy, schedule: file.schedule }
}

// Groups are put together again; two levels are all there is below a host.
fn tree_of(winners: &[&Leaf]) -> Arc<Node> {
    let mut root: Vec<Entry> = Vec::new();
    for leaf in winners {
        let path: Vec<String> = leaf.key.split('.').map(str::to_owned).collect();
        let one = leaves::tree(&path, Arc::clone(&leaf.node));
        for entry in one.entries() {
            match root.iter_mut().find(|there| there.key == entry.key) {
                Some(there) => {
                    let both = there.value.entries().iter().chain(entry.value.entries()).cloned().collect();
                    there.value = Arc::new(Node::detached(Kind::Map(both)));
                }
                None => root.push(entry.clone()),
            }
        }
    }
    Arc::new(Node::detached(Kind::Map(root)))
}

fn component(
    host: &MergedHost<'_>,
    stack: &ComponentName,
    part: &LoadedComponent,
) -> Result<Component, String> {
    let key = |name: &str| format!("components.{}.{name}", part.name);
    let stated =
        |name: &str| host.winner(&key(name)).map(|leaf| leaf.node.value()).filter(|value| !value.is_null());
    let enabled = stated("enabled").and_then(|value| value.as_bool()).unwrap_or(part.file.enabled);
    let source = match (&part.file.payload, stated("source")) {
        (None, _) => None,
        (Some(payload), None) => Some(payload.source),
        (Some(_), Some(value)) => Some(
            serde_json::from_value::<Source>(value).map_err(|error| format!("{}: {error}", key("source")))?,
        ),
    };
    let upstream = part.file.payload.as_ref().and_then(|payload| payload.upstream.as_ref());
    let wanted =
        host.winner(&key("version")).and_then(|leaf| leaf.node.scalar()).map(|scalar| scalar.text.clone());
    let version = upstream.filter(|_| source == Some(Source::Upstream));
    let version = version.map(|upstream| wanted.unwrap_or_else(|| upstream.version.clone()));
    let settings = part.file.settings.iter().map(|(name, declared)| {
        let schema = setting_schema(declared);
        let leaf = host.winner(&key(name));
        let value = leaf.map_or(Value::Null, |leaf| walk::value(&leaf.node, &schema, &schema));
        (name.clone(), value)
    });
    Ok(Component {
        stack: stack.clone(),
        name: part.name.clone(),
        enabled,
        source,
        version,
        settings: settings.collect(),
        file: Arc::clone(&part.file),
        path: part.source.shown.clone(),
    })
}
