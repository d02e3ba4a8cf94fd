//! What a host is beside its files: packages, accounts, units, firewall, sockets. Thin readers around pure
//! parsers.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::skip;
use crate::rehearse::error::RehearseError;
use crate::rehearse::host::Host;

/// A package as dpkg and apt know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// Its version.
    pub version: String,
    /// dpkg's three words: `install ok installed`.
    pub status: String,
    /// Whether apt may remove it when nothing needs it any more.
    pub auto: bool,
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// Its line in `/etc/passwd` without the name.
    pub line: String,
    /// Whether it has a line in `/etc/shadow`.
    pub shadow: bool,
}

/// A unit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnitState {
    /// `enabled`, `disabled`, `masked`, `static`...; empty for a unit without a file.
    pub file: String,
    /// `active running`...; empty when it is inactive.
    pub active: String,
}

/// How a running service was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Started {
    /// Main process, as the host numbers it.
    pub main_pid: u32,
    /// New at each start.
    pub invocation: String,
    /// Starts by systemd itself after a crash.
    pub restarts: u32,
}

pub(super) fn packages(root: &Path, host: &str) -> Result<BTreeMap<String, Package>, RehearseError> {
    let status = file(root, "var/lib/dpkg/status", host)?;
    // A host on which apt never chose anything has no such file.
    let states = fs::read_to_string(root.join("var/lib/apt/extended_states")).unwrap_or_default();
    Ok(parse_packages(&status, &states))
}

pub(super) fn users(root: &Path, host: &str) -> Result<BTreeMap<String, User>, RehearseError> {
    Ok(parse_users(&file(root, "etc/passwd", host)?, &file(root, "etc/shadow", host)?))
}

pub(super) fn groups(root: &Path, host: &str) -> Result<BTreeMap<String, String>, RehearseError> {
    Ok(named_lines(&file(root, "etc/group", host)?))
}

pub(super) fn units(host: &Host) -> Result<BTreeMap<String, UnitState>, RehearseError> {
    let files =
        said(host, "unit files", &["systemctl", "list-unit-files", "--no-legend", "--no-pager", "--plain"])?;
    let shown = said(host, "units", &["systemctl", "show", "*", "--property=Id,ActiveState,SubState"])?;
    Ok(parse_units(&files, &shown))
}

pub(super) fn services(host: &Host) -> Result<BTreeMap<String, Started>, RehearseError> {
    let properties = "--property=Id,ActiveState,MainPID,InvocationID,NRestarts";
    Ok(parse_services(&said(host, "services", &["systemctl", "show", "*.service", properties])?))
}

pub(super) fn firewall(host: &Host) -> Result<String, RehearseError> {
    outside(host, "firewall", &["nft", "-s", "list", "ruleset"])
}

pub(super) fn sockets(host: &Host) -> Result<BTreeSet<String>, RehearseError> {
    Ok(parse_sockets(&outside(host, "sockets", &["ss", "-H", "-lntup"])?))
}

fn file(root: &Path, path: &str, host: &str) -> Result<String, RehearseError> {
    let bytes = fs::read(root.join(path))
        .map_err(|error| failure("system files", host, format!("/{path}: {error}")))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn said(host: &Host, what: &'static str, argv: &[&str]) -> Result<String, RehearseError> {
    let ran = host.exec(argv)?;
    if ran.code == 0 { Ok(ran.text()) } else { Err(failure(what, host.name().as_str(), ran.tail())) }
}

/// A program of this machine in the host's network: a minimal host has none.
fn outside(host: &Host, what: &'static str, argv: &[&str]) -> Result<String, RehearseError> {
    let ran =
        host.in_network(argv)?.run(host.cancel()).map_err(RehearseError::tool(format!("read the {what}")))?;
    if ran.code == 0 { Ok(ran.text()) } else { Err(failure(what, host.name().as_str(), ran.tail())) }
}

pub(super) fn failure(what: &'static str, host: &str, why: String) -> RehearseError {
    RehearseError::Capture { what, host: host.to_owned(), why }
}

fn parse_packages(status: &str, states: &str) -> BTreeMap<String, Package> {
    let auto: BTreeSet<String> = stanzas(states)
        .filter(|stanza| field(stanza, "Auto-Installed") == "1")
        .map(|stanza| format!("{}:{}", field(stanza, "Package"), field(stanza, "Architecture")))
        .collect();
    let native = stanzas(status)
        .find(|stanza| field(stanza, "Package") == "dpkg")
        .map_or("", |stanza| field(stanza, "Architecture"));
    stanzas(status)
        .map(|stanza| {
            let (name, arch) = (field(stanza, "Package"), field(stanza, "Architecture"));
            let key = format!("{name}:{arch}");
            // apt notes packages for all architectures under the machine's own.
            let auto = auto.contains(&key) || arch == "all" && auto.contains(&format!("{name}:{native}"));
            let (version, status) = (field(stanza, "Version").to_owned(), field(stanza, "Status").to_owned());
            (key, Package { version, status, auto })
        })
        .collect()
}

fn stanzas(text: &str) -> impl Iterator<Item = &str> {
    text.split("\n\n").filter(|stanza| !stanza.trim().is_empty())
}

fn field<'a>(stanza: &'a str, name: &str) -> &'a str {
    stanza.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map_or("", str::trim)
}

fn parse_users(passwd: &str, shadow: &str) -> BTreeMap<String, User> {
    let shadow = named_lines(shadow);
    named_lines(passwd)
        .into_iter()
        .map(|(name, line)| {
            let shadow = shadow.contains_key(&name);
            (name, User { line, shadow })
        })
        .collect()
}

fn named_lines(text: &str) -> BTreeMap<String, String> {
    let pairs = text.lines().filter_map(|line| line.split_once(':'));
    pairs.map(|(name, rest)| (name.to_owned(), rest.to_owned())).collect()
}

fn parse_units(files: &str, shown: &str) -> BTreeMap<String, UnitState> {
    let mut units: BTreeMap<String, UnitState> = BTreeMap::new();
    for line in files.lines() {
        let mut words = line.split_whitespace();
        if let (Some(name), Some(state)) = (words.next(), words.next())
            && skip::unit_counts(name)
        {
            units.entry(name.to_owned()).or_default().file = state.to_owned();
        }
    }
    for block in stanzas(shown) {
        let name = property(block, "Id");
        let active = property(block, "ActiveState");
        // Inactive units are loaded and forgotten as systemd likes.
        if skip::unit_counts(name) && active != "inactive" && !skip::MILESTONES.contains(&name) {
            units.entry(name.to_owned()).or_default().active =
                format!("{active} {}", property(block, "SubState"));
        }
    }
    units
}

fn parse_services(shown: &str) -> BTreeMap<String, Started> {
    stanzas(shown)
        .filter_map(|block| {
            let main_pid = property(block, "MainPID").parse().ok().filter(|pid| *pid != 0)?;
            let restarts = property(block, "NRestarts").parse().unwrap_or_default();
            let invocation = property(block, "InvocationID").to_owned();
            let name = property(block, "Id");
            skip::unit_counts(name).then(|| (name.to_owned(), Started { main_pid, invocation, restarts }))
        })
        .collect()
}

fn property<'a>(block: &'a str, name: &str) -> &'a str {
    block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).unwrap_or("")
}

fn parse_sockets(listed: &str) -> BTreeSet<String> {
    listed
        .lines()
        .filter_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let (protocol, address) = (words.first()?, words.get(4)?);
            // users:(("sshd",pid=42,fd=3)): the name stays, the numbers change with each start.
            let program = line
                .split_once("((\"")
                .and_then(|(_, rest)| rest.split_once('"'))
                .map_or("?", |(name, _)| name);
            Some(format!("{protocol} {address} {program}"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_with_status_and_mark() {
        let status = "Package: dpkg\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.22\n\n\
                      Package: tzdata\nStatus: deinstall ok config-files\nArchitecture: all\nVersion: 2025b-1\n\
                      Description: zones\n Version: not this\n";
        let states = "Package: tzdata\nArchitecture: amd64\nAuto-Installed: 1\n";
        let packages = parse_packages(status, states);
        let package = |version: &str, status: &str, auto| Package {
            version: version.to_owned(),
            status: status.to_owned(),
            auto,
        };
        assert_eq!(packages["dpkg:amd64"], package("1.22", "install ok installed", false));
        assert_eq!(packages["tzdata:all"], package("2025b-1", "deinstall ok config-files", true));
    }

    #[test]
    fn accounts_without_their_secrets() {
        let users = parse_users(
            "root:x:0:0:root:/root:/bin/bash\nghost:x:9:9::/:/bin/sh\n",
            "root:$y$secret:1:::::\n",
        );
        assert_eq!(users["root"], User { line: "x:0:0:root:/root:/bin/bash".to_owned(), shadow: true });
        assert!(!users["ghost"].shadow);
        assert!(!serde_json::to_string(&users).unwrap().contains("secret"));
    }

    #[test]
    fn units_on_disk_and_active() {
        let files = "ssh.service enabled enabled\ntmp.mount generated -\nx.slice static -\n";
        let shown = "Id=ssh.service\nActiveState=active\nSubState=running\n\nId=a.timer\nActiveState=inactive\nSubState=dead\n\n\
                     Id=multi-user.target\nActiveState=active\nSubState=active\n\n\
                     Id=network-online.target\nActiveState=active\nSubState=active\n";
        let units = parse_units(files, shown);
        let names: Vec<&str> = units.keys().map(String::as_str).collect();
        assert_eq!(names, ["multi-user.target", "ssh.service", "tmp.mount"]);
        assert_eq!(
            units["ssh.service"],
            UnitState { file: "enabled".into(), active: "active running".into() }
        );
    }

    #[test]
    fn services_that_run() {
        let shown = "MainPID=42\nNRestarts=1\nId=ssh.service\nInvocationID=abc\n\nMainPID=0\nId=a.service\n";
        let services = parse_services(shown);
        assert_eq!(services.len(), 1);
        assert_eq!(services["ssh.service"], Started { main_pid: 42, invocation: "abc".into(), restarts: 1 });
    }

    #[test]
    fn sockets_without_what_changes_with_each_start() {
        let listed = "tcp   LISTEN 0      128    0.0.0.0:22   0.0.0.0:*    users:((\"sshd\",pid=42,fd=3))\n\
                      udp   UNCONN 0      0      [::]:53      [::]:*\n";
        let sockets: Vec<String> = parse_sockets(listed).into_iter().collect();
        assert_eq!(sockets, ["tcp 0.0.0.0:22 sshd", "udp [::]:53 ?"]);
    }
}
