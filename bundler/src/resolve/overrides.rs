//! The two layers above the files: environment variables and `--set`. Pure: text in, values and problems out.

use std::sync::Arc;

use chom_format::HostName;

use super::leaves::{self, Leaf};
use super::origin::{Layer, Origin};
use crate::problem::Problem;
use crate::yaml::scalar::Scalar;
use crate::yaml::walk::nearest;
use crate::yaml::{self, Kind, Node};

/// What every variable of ours begins with.
pub const PREFIX: &str = "CHOM__";

/// One value that a variable or option states for one host.
#[derive(Debug, Clone)]
pub struct Override {
    /// For whom.
    pub host: HostName,
    /// The keys below the host.
    pub path: Vec<String>,
    /// The value.
    pub node: Arc<Node>,
    /// Who says so.
    pub origin: Origin,
}

impl Override {
    /// It as a leaf.
    pub fn leaf(&self) -> Leaf {
        Leaf { key: self.path.join("."), node: Arc::clone(&self.node), origin: self.origin.clone() }
    }

    /// It as a mapping of a host's shape.
    pub fn tree(&self) -> Arc<Node> {
        leaves::tree(&self.path, Arc::clone(&self.node))
    }
}

/// The hosts and the keys that may be named, for matching the upper-case spelling of variables.
pub struct Names<'a> {
    /// Host names.
    pub hosts: &'a [HostName],
    /// Every dotted key that a host may have.
    pub keys: &'a [String],
}

/// Reads the variables that begin with [`PREFIX`].
pub fn from_environment(variables: &[(String, String)], names: &Names<'_>) -> (Vec<Override>, Vec<Problem>) {
    split(variables.iter().filter_map(|(name, value)| {
        let rest = name.strip_prefix(PREFIX)?;
        Some(variable(name, rest, value, names))
    }))
}

/// Reads the `--set` options.
pub fn from_options(options: &[String], names: &Names<'_>) -> (Vec<Override>, Vec<Problem>) {
    split(options.iter().map(|option| set(option, names)))
}

fn split(all: impl Iterator<Item = Result<Override, Problem>>) -> (Vec<Override>, Vec<Problem>) {
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for one in all {
        match one {
            Ok(one) => good.push(one),
            Err(problem) => bad.push(problem),
        }
    }
    (good, bad)
}

fn variable(name: &str, rest: &str, value: &str, names: &Names<'_>) -> Result<Override, Problem> {
    let shown = format!("environment {name}");
    let shape = "a variable is CHOM__<HOST>__<KEY>__<KEY>, upper-case, with `_` for `-`";
    let (host, keys) = rest
        .split_once("__")
        .ok_or_else(|| Problem::whole(&shown, format!("the variable {name} names no key"), shape))?;
    let upper = |text: &str| text.to_uppercase().replace('-', "_");
    let host = names.hosts.iter().find(|known| upper(known.as_str()) == host).ok_or_else(|| {
        let spelled: Vec<String> = names.hosts.iter().map(|known| upper(known.as_str())).collect();
        unknown_host(&shown, host, &spelled)
    })?;
    let spelled = |key: &String| upper(&key.replace('.', "__"));
    let key = names.keys.iter().find(|key| spelled(key) == keys).ok_or_else(|| {
        let all: Vec<String> = names.keys.iter().map(spelled).collect();
        let candidates: Vec<&str> = all.iter().map(String::as_str).collect();
        let remedy = nearest(keys, &candidates).map_or_else(
            || shape.to_owned(),
            |near| format!("did you mean CHOM__{}__{near}?", upper(host.as_str())),
        );
        Problem::whole(&shown, format!("host `{host}` has no key that is spelled {keys}"), remedy)
    })?;
    let path = key.split('.').map(str::to_owned).collect();
    Ok(made(host, path, value, Layer::Environment, name))
}

fn set(option: &str, names: &Names<'_>) -> Result<Override, Problem> {
    // The value may be a secret's path or worse: only the key is ever shown.
    let (key, value) = option
        .split_once('=')
        .ok_or_else(|| Problem::whole("--set", "an option --set has no `=`", "write --set host.key=value"))?;
    let shown = format!("--set {key}");
    let (host, path) = key.split_once('.').ok_or_else(|| {
        Problem::whole(&shown, format!("`{key}` names a host and no key"), "write --set host.key=value")
    })?;
    let known = names.hosts.iter().find(|known| known.as_str() == host).ok_or_else(|| {
        let all: Vec<String> = names.hosts.iter().map(HostName::to_string).collect();
        unknown_host(&shown, host, &all)
    })?;
    let path = path.split('.').map(str::to_owned).collect();
    Ok(made(known, path, value, Layer::CommandLine, key))
}

fn unknown_host(shown: &str, host: &str, known: &[String]) -> Problem {
    let candidates: Vec<&str> = known.iter().map(String::as_str).collect();
    let remedy = match nearest(host, &candidates) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("hosts of this inventory: {}", known.join(", ")),
    };
    Problem::whole(shown, format!("there is no host `{host}`"), remedy)
}

fn made(host: &HostName, path: Vec<String>, value: &str, layer: Layer, source: &str) -> Override {
    let origin = Origin { layer, source: source.to_owned(), line: 0, column: 0 };
    Override { host: host.clone(), path, node: value_node(value), origin }
}

// `[a, b]`, `{a: b}` and `"80"` mean what they mean in the file; all else is one plain scalar, colons included.
fn value_node(value: &str) -> Arc<Node> {
    let plain = || Arc::new(Node::detached(Kind::Scalar(Scalar::plain(value))));
    if !value.starts_with(['[', '{', '"', '\'']) {
        return plain();
    }
    match yaml::read("value", value) {
        Ok(node) => Arc::new(Node { place: yaml::Place::default(), ..(*node).clone() }),
        Err(_) => plain(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn both(variables: &[(&str, &str)], options: &[&str]) -> (Vec<String>, Vec<String>) {
        let hosts = ["mentat".parse().unwrap(), "web-1".parse().unwrap()];
        let keys = ["ssh.port", "names", "components.node_exporter.port"].map(str::to_owned);
        let names = Names { hosts: &hosts, keys: &keys };
        let variables: Vec<_> = variables.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        let options: Vec<_> = options.iter().map(|option| (*option).to_owned()).collect();
        let (mut good, mut bad) = from_environment(&variables, &names);
        let (more, worse) = from_options(&options, &names);
        good.extend(more);
        bad.extend(worse);
        let shown = |one: &Override| format!("{} {} {}", one.host, one.path.join("."), one.node.value());
        (good.iter().map(shown).collect(), bad.iter().map(Problem::to_string).collect())
    }

    #[test]
    fn both_spellings_reach_their_key() {
        let (good, bad) = both(
            &[
                ("CHOM__WEB_1__SSH__PORT", "2222"),
                ("CHOM__MENTAT__COMPONENTS__NODE_EXPORTER__PORT", "9101"),
                ("CHOM_INVENTORY", "x"),
                ("HOME", "/root"),
            ],
            &["mentat.names=[a.b, c.d]", "mentat.ssh.port=\"22\"", "web-1.a.b=x=y: z"],
        );
        assert!(bad.is_empty(), "{bad:?}");
        assert_eq!(
            good,
            [
                "web-1 ssh.port 2222",
                "mentat components.node_exporter.port 9101",
                &format!("mentat names {}", json!(["a.b", "c.d"])),
                "mentat ssh.port \"22\"",
                "web-1 a.b \"x=y: z\"",
            ]
        );
    }

    #[test]
    fn what_names_nothing_is_told() {
        let (good, bad) = both(
            &[("CHOM__MENTTA__SSH__PORT", "1"), ("CHOM__MENTAT__SSH__PROT", "1"), ("CHOM__MENTAT", "1")],
            &["mentat.x", "mentat=1", "mentta.ssh.port=secret"],
        );
        assert!(good.is_empty(), "{good:?}");
        let told = bad.join("\n");
        for says in [
            "there is no host `MENTTA`",
            "did you mean `MENTAT`?",
            "no key that is spelled SSH__PROT",
            "did you mean CHOM__MENTAT__SSH__PORT?",
            "names no key",
            "has no `=`",
            "`mentat` names a host and no key",
            "there is no host `mentta`",
        ] {
            assert!(told.contains(says), "{says}\n{told}");
        }
        assert!(!told.contains("secret"));
    }
}
