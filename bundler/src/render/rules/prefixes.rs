//! A service that lives under a path prefix must be asked under it, by whoever asks.
//!
//! What prefix a port has is read from the rendered texts themselves: a `--web.route-prefix` flag (or the path of
//! `--web.external-url`, which is its default), `http_path_prefix` of a `server:` block, `serve_from_sub_path`
//! of an ini file. Every URL, metrics path, check and `path_prefix` that leads to such a port is then compared.

use std::collections::BTreeMap;

use chom_format::check::Probe;
use serde_json::Value;

use super::Shown;
use crate::problem::Problem;
use crate::render::sources::Sources;
use crate::render::wanted::Rendered;
use crate::resolve::Host;
use crate::yaml::Node;

type Prefixes = BTreeMap<u16, String>;

pub(super) fn broken(
    rendered: &Rendered,
    texts: &[Shown<'_>],
    host: &Host,
    sources: &Sources,
) -> Vec<Problem> {
    let prefixes = prefixes(rendered, texts);
    if prefixes.is_empty() {
        return Vec::new();
    }
    let here = Here::new(host);
    let mut problems = Vec::new();
    for text in texts {
        for (number, line) in (1..).zip(text.content.lines()) {
            for url in urls(line, &here).filter(|url| !is_bare_pass(line, url.path)) {
                if let Some(message) = mismatch(&prefixes, url.port, url.path, "this URL") {
                    problems.push(text.problem(number, sources, &message, REMEDY));
                }
            }
        }
        for (line, message) in scraping(text, &prefixes, &here) {
            problems.push(text.problem(line, sources, &message, REMEDY));
        }
    }
    for component in &rendered.components {
        for scrape in &component.scrape {
            let found = mismatch(&prefixes, scrape.value.port, &scrape.value.path, "this metrics path");
            problems.extend(found.map(|message| scrape.at.problem(message, REMEDY)));
        }
        for check in &component.checks {
            let (Probe::Http { url, .. } | Probe::Query { url, .. }) = &check.value.probe else { continue };
            let found =
                urls(url, &here).find_map(|url| mismatch(&prefixes, url.port, url.path, "this check"));
            problems.extend(found.map(|message| check.at.problem(message, REMEDY)));
        }
    }
    problems
}

const REMEDY: &str = "put the prefix in front of the path";

fn mismatch(prefixes: &Prefixes, port: u16, path: &str, what: &str) -> Option<String> {
    let prefix = prefixes.get(&port)?;
    let inside = path
        .strip_prefix(prefix.as_str())
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']));
    let shown = if path.is_empty() { "no path" } else { path };
    (!inside)
        .then(|| format!("{what} asks port {port} for {shown}, but the service there lives under {prefix}"))
}

fn prefixes(rendered: &Rendered, texts: &[Shown<'_>]) -> Prefixes {
    let mut prefixes = Prefixes::new();
    for text in texts {
        let component = rendered.components.get(text.component);
        let only_port = component.and_then(|component| match component.ports.as_slice() {
            [port] => Some(port.value.port),
            _ => None,
        });
        let found =
            flags(text.content, only_port).or_else(|| server_block(text)).or_else(|| sub_path(text.content));
        if let Some((port, prefix)) = found {
            let prefix = prefix.trim_end_matches('/');
            if prefix.starts_with('/') {
                prefixes.insert(port, prefix.to_owned());
            }
        }
    }
    prefixes
}

fn flags(content: &str, only_port: Option<u16>) -> Option<(u16, String)> {
    let words = || content.split_whitespace().map(|word| word.trim_matches(['"', '\'', '\\']));
    let flag = |name: &str| {
        words().find_map(|word| word.trim_start_matches('-').strip_prefix(name)?.strip_prefix('='))
    };
    let prefix = match flag("web.route-prefix") {
        Some(prefix) => prefix.to_owned(),
        None => path_of(flag("web.external-url")?).to_owned(),
    };
    let port = flag("web.listen-address").and_then(|address| address.rsplit_once(':')?.1.parse().ok());
    Some((port.or(only_port)?, prefix))
}

fn server_block(text: &Shown<'_>) -> Option<(u16, String)> {
    let tree = yaml_of(text)?;
    let server = tree.get("server")?.value();
    let port = u16::try_from(server.get("http_listen_port")?.as_u64()?).ok()?;
    Some((port, server.get("http_path_prefix")?.as_str()?.to_owned()))
}

fn sub_path(content: &str) -> Option<(u16, String)> {
    let set = |name: &str| {
        content.lines().find_map(|line| {
            let (key, value) = line.split_once('=')?;
            (key.trim() == name).then(|| value.trim())
        })
    };
    if set("serve_from_sub_path")? != "true" {
        return None;
    }
    Some((set("http_port")?.parse().ok()?, path_of(set("root_url")?).to_owned()))
}

fn path_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.find('/').and_then(|at| rest.get(at..)).unwrap_or_default()
}

fn yaml_of<'t>(text: &'t Shown<'_>) -> Option<&'t Node> {
    text.yaml()?.as_deref().ok()
}

// The names under which this host asks itself.
struct Here(Vec<String>);

impl Here {
    fn new(host: &Host) -> Self {
        let own = [host.address.in_url(), host.fqdn.clone(), host.name.to_string()];
        Self(["127.0.0.1", "localhost", "[::1]"].map(str::to_owned).into_iter().chain(own).collect())
    }

    // The port of `127.0.0.1:9090`, when that is us.
    fn port(&self, authority: &str) -> Option<u16> {
        let (name, port) = authority.rsplit_once(':')?;
        self.0.iter().any(|own| own == name).then(|| port.parse().ok())?
    }
}

struct Url<'a> {
    port: u16,
    path: &'a str,
}

// The URLs of a line that lead to this host; a comment has none.
fn urls<'a>(line: &'a str, here: &'a Here) -> impl Iterator<Item = Url<'a>> {
    let code = if line.trim_start().starts_with(['#', ';']) { "" } else { line };
    code.match_indices("://").filter_map(|(at, mark)| {
        let rest = code.get(at + mark.len()..)?;
        let end = |c: char| c.is_whitespace() || "\"'`;,()]}<>|\\".contains(c);
        // The bracket behind an IPv6 address is no end.
        let name = rest.starts_with('[').then(|| rest.find(']')).flatten().map_or(0, |at| at + 1);
        let length = rest.get(name..)?.find(end).unwrap_or(rest.len() - name);
        let whole = rest.get(..name + length)?;
        let (authority, path) = whole.split_at(whole.find(['/', '?', '$']).unwrap_or(whole.len()));
        Some(Url { port: here.port(authority)?, path })
    })
}

// `proxy_pass http://host:port;` hands on the path that was asked for, and a variable is not ours to read.
fn is_bare_pass(line: &str, path: &str) -> bool {
    path.contains('$') || (path.is_empty() && line.trim_start().starts_with("proxy_pass"))
}

// Prometheus' own way of saying where: targets without a path, and the path beside them.
fn scraping(text: &Shown<'_>, prefixes: &Prefixes, here: &Here) -> Vec<(usize, String)> {
    let Some(tree) = yaml_of(text) else { return Vec::new() };
    let jobs = tree.get("scrape_configs").map(|jobs| (jobs.items(), "metrics_path", "/metrics"));
    let alerting = tree.find(&["alerting", "alertmanagers"]).map(|list| (list.items(), "path_prefix", ""));
    let mut found = Vec::new();
    for (configs, key, default) in jobs.into_iter().chain(alerting) {
        for config in configs {
            let value = config.value();
            // With parameters the target is what a prober is asked about, and not who is asked.
            if value.get("params").is_some() {
                continue;
            }
            let path = value.get(key).and_then(Value::as_str).unwrap_or(default);
            let line = config.entry(key).map_or(config.place.line, |entry| entry.key_place.line);
            let targets = value.get("static_configs").and_then(Value::as_array).into_iter().flatten();
            let targets = targets.filter_map(|group| group.get("targets")?.as_array()).flatten();
            let ports: Vec<u16> = targets.filter_map(|target| here.port(target.as_str()?)).collect();
            found.extend(
                ports.into_iter().filter_map(|port| Some((line, mismatch(prefixes, port, path, key)?))),
            );
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_read_from_flags_blocks_and_ini_files() {
        let unit =
            "ExecStart=/x \\\n  --web.listen-address=127.0.0.1:9090 \\\n  --web.route-prefix=/prometheus/\n";
        assert_eq!(flags(unit, None), Some((9090, "/prometheus/".into())));
        assert_eq!(flags("--web.external-url=https://h/am", Some(9093)), Some((9093, "/am".into())));
        assert_eq!(flags("--web.external-url=https://h", Some(9093)), Some((9093, String::new())));
        assert_eq!(flags("--other", Some(9093)), None);
        let ini = "[server]\nhttp_port = 3000\nroot_url = https://h/grafana/\nserve_from_sub_path = true\n";
        assert_eq!(sub_path(ini), Some((3000, "/grafana/".into())));
        assert_eq!(sub_path(&ini.replace("= true", "= false")), None);
    }

    #[test]
    fn urls_to_this_host_are_found_with_their_paths() {
        let here = Here(vec!["127.0.0.1".into(), "[::1]".into(), "m.internal".into()]);
        let found = |line: &str| -> Vec<(u16, String)> {
            urls(line, &here).map(|url| (url.port, url.path.to_owned())).collect()
        };
        assert_eq!(found("url: \"http://127.0.0.1:9090/a/b?q\""), [(9090, "/a/b?q".into())]);
        assert_eq!(found("proxy_pass http://[::1]:9090;"), [(9090, String::new())]);
        assert_eq!(found("http://m.internal:1/x http://other:1/y http://127.0.0.1/z"), [(1, "/x".into())]);
        assert_eq!(found("# http://127.0.0.1:9090/"), []);
        assert!(
            is_bare_pass("  proxy_pass http://127.0.0.1:9090;", "") && !is_bare_pass("url: http://x:1", "")
        );
    }

    #[test]
    fn a_path_is_inside_of_a_prefix_by_whole_parts() {
        let prefixes = Prefixes::from([(9090, "/prometheus".to_owned())]);
        for path in ["/prometheus", "/prometheus/", "/prometheus/-/ready", "/prometheus?x"] {
            assert_eq!(mismatch(&prefixes, 9090, path, "x"), None, "{path}");
        }
        for path in ["", "/", "/metrics", "/prometheus2"] {
            assert!(mismatch(&prefixes, 9090, path, "x").is_some(), "{path}");
        }
        assert_eq!(mismatch(&prefixes, 9091, "/", "x"), None);
    }
}
