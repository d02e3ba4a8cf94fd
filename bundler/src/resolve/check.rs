//! What only the resolved hosts together can show. Pure.

use std::collections::BTreeMap;

use super::leaves::Leaf;
use super::merge::{MergedHost, problem};
use super::origin::Layer;
use crate::inventory::{Inventory, placeholder};
use crate::problem::{Problem, may_hold_secret};
use crate::yaml::{Kind, Node};

/// What a host has no value for although it must have one. No layer may give it: so it is asked of all together.
pub fn missing(inventory: &Inventory, merged: &[MergedHost<'_>]) -> Vec<Problem> {
    let wanted = [
        ("address", "add `address: ...`, where it is reached"),
        ("stacks", "add `stacks: [...]`, what it is for"),
    ];
    let mut problems = Vec::new();
    for host in merged {
        for (key, remedy) in wanted.iter().filter(|(key, _)| host.winner(key).is_none()) {
            let message = format!("host `{}` has no `{key}`", host.name);
            let full = format!("hosts.{}.{key}", host.name);
            let problem = Problem::at(&inventory.file, host.place.at(), full, message, *remedy);
            problems.push(problem.with_excerpt(&inventory.text));
        }
    }
    problems
}

/// All problems of the hosts as they are in the end.
pub fn fleet(inventory: &Inventory, merged: &[MergedHost<'_>]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for host in merged {
        for leaf in host.leaves.values().filter_map(|leaves| leaves.last()) {
            if leaf.origin.layer > Layer::ComponentDefault {
                let key = format!("hosts.{}.{}", host.name, leaf.key);
                placeholders(inventory, leaf, &leaf.node, &key, &mut problems);
            }
        }
        problems.extend(tls(inventory, host));
        problems.extend(idle_versions(inventory, host));
    }
    if let Some(mirrors) = inventory.tree.get("mirrors") {
        for leaf in super::leaves::of(mirrors, Layer::Defaults, &inventory.file) {
            placeholders(inventory, &leaf, &leaf.node, &format!("mirrors.{}", leaf.key), &mut problems);
        }
    }
    // A host whose name cannot be one was told as that.
    if inventory.tree.get("hosts").is_some_and(|hosts| hosts.entries().is_empty()) {
        problems.push(Problem::whole(&inventory.file, "the inventory has no hosts", "add one below `hosts`"));
    }
    problems
        .extend(unique(inventory, merged, "address", |leaf| leaf_texts(leaf).map(normal_address).collect()));
    problems.extend(unique_names(inventory, merged));
    problems
}

fn placeholders(inventory: &Inventory, leaf: &Leaf, node: &Node, key: &str, problems: &mut Vec<Problem>) {
    match &node.kind {
        Kind::Scalar(scalar) => {
            let in_setting = leaf.key.starts_with("components.");
            let reason = if in_setting { placeholder::reason_in_setting } else { placeholder::reason };
            if let Some(reason) = reason(&scalar.text) {
                let told = if may_hold_secret(key) { "this is a placeholder".to_owned() } else { reason };
                let remedy = "put in the real value";
                problems.push(problem(
                    inventory,
                    leaf,
                    node,
                    key,
                    format!("`{key}`: {told}"),
                    remedy.to_owned(),
                ));
            }
        }
        Kind::List(items) => {
            items.iter().for_each(|item| placeholders(inventory, leaf, item, key, problems));
        }
        Kind::Map(entries) => {
            entries.iter().for_each(|entry| placeholders(inventory, leaf, &entry.value, key, problems));
        }
    }
}

fn tls(inventory: &Inventory, host: &MergedHost<'_>) -> Vec<Problem> {
    let Some(mode) = host.winner("tls.mode") else { return Vec::new() };
    let is_files = mode.node.scalar().is_some_and(|scalar| scalar.text == "files");
    let stated = |key: &str| host.winner(key).filter(|leaf| !leaf.node.is_null());
    let mut problems = Vec::new();
    for key in ["tls.certificate", "tls.key"] {
        let full = format!("hosts.{}.{key}", host.name);
        match (is_files, stated(key)) {
            (true, None) => {
                let message = format!("`tls.mode` is `files`, and host `{}` has no `{key}`", host.name);
                let remedy = format!("set `{key}` to the path on the host");
                problems.push(problem(inventory, mode, &mode.node, &full, message, remedy));
            }
            (false, Some(leaf)) => {
                let message =
                    format!("`{key}` of host `{}` has no effect while `tls.mode` is `off`", host.name);
                let remedy = "set `tls.mode: files`, or remove the key".to_owned();
                problems.push(problem(inventory, leaf, &leaf.node, &full, message, remedy));
            }
            _ => {}
        }
    }
    problems
}

// A version that is silently not installed is worse than none.
fn idle_versions(inventory: &Inventory, host: &MergedHost<'_>) -> Vec<Problem> {
    let mut problems = Vec::new();
    for name in host.components.keys() {
        let winner = |key: &str| host.winner(&format!("components.{name}.{key}"));
        let debian = winner("source")
            .and_then(|leaf| leaf.node.scalar())
            .is_some_and(|scalar| scalar.text == "debian");
        if let Some(leaf) = winner("version").filter(|leaf| debian && !leaf.node.is_null()) {
            let key = format!("hosts.{}.{}", host.name, leaf.key);
            let message =
                format!("`{key}` has no effect: the payload comes from Debian, in Debian's version");
            let remedy = format!("set `components.{name}.source: upstream`, or remove the version");
            problems.push(problem(inventory, leaf, &leaf.node, &key, message, remedy));
        }
    }
    problems
}

fn leaf_texts(leaf: &Leaf) -> impl Iterator<Item = &str> {
    let one = leaf.node.scalar().into_iter();
    one.chain(leaf.node.items().iter().filter_map(|item| item.scalar())).map(|scalar| scalar.text.as_str())
}

// fd00::1 and FD00:0::1 are one host.
fn normal_address(text: &str) -> String {
    text.parse::<std::net::IpAddr>().map_or_else(|_| text.to_lowercase(), |ip| ip.to_string())
}

fn unique(
    inventory: &Inventory,
    merged: &[MergedHost<'_>],
    key: &str,
    values: impl Fn(&Leaf) -> Vec<String>,
) -> Vec<Problem> {
    let mut first: BTreeMap<String, &MergedHost<'_>> = BTreeMap::new();
    let mut problems = Vec::new();
    for host in merged {
        let Some(leaf) = host.winner(key).filter(|leaf| !leaf.node.is_null()) else { continue };
        for value in values(leaf) {
            if let Some(other) = first.get(&value) {
                let line = other.winner(key).map_or(0, |leaf| leaf.origin.line);
                let message =
                    format!("`{value}` is the {key} of host `{}` already (line {line})", other.name);
                let full = format!("hosts.{}.{key}", host.name);
                let remedy = "give each host its own".to_owned();
                problems.push(problem(inventory, leaf, &leaf.node, &full, message, remedy));
            } else {
                first.insert(value, host);
            }
        }
    }
    problems
}

// Two hosts that answer to one name are as wrong as two with one address.
fn unique_names(inventory: &Inventory, merged: &[MergedHost<'_>]) -> Vec<Problem> {
    let mut first: BTreeMap<String, (&MergedHost<'_>, &Leaf)> = BTreeMap::new();
    let mut problems = Vec::new();
    for host in merged {
        for leaf in ["domain", "names"].into_iter().filter_map(|key| host.winner(key)) {
            for name in leaf_texts(leaf).filter(|name| !name.is_empty()).map(str::to_lowercase) {
                match first.get(&name) {
                    Some((other, before)) => {
                        let line = before.origin.line;
                        let message =
                            format!("`{name}` is a name of host `{}` already (line {line})", other.name);
                        let full = format!("hosts.{}.{}", host.name, leaf.key);
                        let remedy = "a name leads to one host, and stands there once".to_owned();
                        problems.push(problem(inventory, leaf, &leaf.node, &full, message, remedy));
                    }
                    None => {
                        first.insert(name, (host, leaf));
                    }
                }
            }
        }
    }
    problems
}
