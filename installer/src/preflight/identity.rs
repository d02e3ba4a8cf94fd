//! Is this the host that the bundle is for?
//!
//! What only one machine has decides: its machine id, its ssh host keys. A name decides only when nothing
//! better is known, for a fresh server is often still called by what its provider gave it.

use chom_format::Facts;
use chom_format::manifest::HostIdentity;

use super::Finding;

const CHECK: &str = "host";

/// What the comparison came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// It is, by this.
    Same(&'static str),
    /// It is, but its name is another.
    Renamed {
        /// By which fact it is the same.
        by: &'static str,
        /// What `hostname` says.
        found: String,
    },
    /// It is not: what was wanted and what is there.
    Other(String),
}

/// Compares a bundle's host with what was measured.
pub fn compare(wanted: &HostIdentity, facts: &Facts) -> Identity {
    let machine_id = match (&wanted.machine_id, &facts.machine_id) {
        (Some(wanted), Some(found)) => Some(wanted == found),
        _ => None,
    };
    let keys = (!wanted.ssh_host_keys.is_empty() && !facts.ssh_host_keys.is_empty())
        .then(|| wanted.ssh_host_keys.iter().any(|key| facts.ssh_host_keys.contains(key)));
    let named = wanted.hostnames.iter().any(|name| name.eq_ignore_ascii_case(&facts.hostname));
    if machine_id == Some(false) {
        let ids = [&wanted.machine_id, &facts.machine_id].map(|id| id.clone().unwrap_or_default());
        return Identity::Other(format!("machine id {} is wanted, this is {}", ids[0], ids[1]));
    }
    if keys == Some(false) {
        return Identity::Other(format!("none of its ssh host keys is here; this is {}", facts.hostname));
    }
    match (machine_id, keys, named) {
        (None, None, true) => Identity::Same("hostname"),
        (None, None, false) => {
            let names = wanted.hostnames.join(" or ");
            Identity::Other(format!("hostname {names} is wanted, this is {}", shown(&facts.hostname)))
        }
        (strong, _, true) => Identity::Same(if strong.is_some() { "machine id" } else { "ssh host key" }),
        (strong, _, false) => Identity::Renamed {
            by: if strong.is_some() { "machine id" } else { "ssh host key" },
            found: shown(&facts.hostname).to_owned(),
        },
    }
}

pub(super) fn check(wanted: &HostIdentity, facts: &Facts, any_host: bool) -> Finding {
    let name = &wanted.name;
    match compare(wanted, facts) {
        Identity::Same(by) => Finding::pass(CHECK, format!("this is {name}, by its {by}")),
        Identity::Renamed { by, found } => Finding::warn(
            CHECK,
            format!("this is {name} by its {by}, but its hostname is {found}"),
            format!("hostnamectl set-hostname {}", wanted.hostnames.first().map_or("NAME", String::as_str)),
        ),
        Identity::Other(why) if any_host => Finding::warn(
            CHECK,
            format!("the bundle is for {name}: {why}"),
            "--any-host said that this is meant",
        ),
        Identity::Other(why) => Finding::fail(
            CHECK,
            format!("the bundle is for {name}: {why}"),
            "take the bundle of this host, or say --any-host if this host is meant",
        ),
    }
}

fn shown(hostname: &str) -> &str {
    if hostname.is_empty() { "a host without a name" } else { hostname }
}

#[cfg(test)]
mod tests {
    use chom_format::manifest::{Arch, Suite};

    use super::super::Level;
    use super::*;

    fn wanted(machine_id: Option<&str>, keys: &[&str]) -> HostIdentity {
        HostIdentity {
            name: "mentat".parse().unwrap(),
            hostnames: vec!["mentat".into(), "mentat.example.org".into()],
            machine_id: machine_id.map(str::to_owned),
            ssh_host_keys: keys.iter().map(ToString::to_string).collect(),
            arch: Arch::X86_64,
            suite: Suite::Trixie,
        }
    }

    fn found(hostname: &str, machine_id: Option<&str>, keys: &[&str]) -> Facts {
        Facts {
            hostname: hostname.into(),
            machine_id: machine_id.map(str::to_owned),
            ssh_host_keys: keys.iter().map(ToString::to_string).collect(),
            ..crate::facts::measure(std::path::Path::new("/nonexistent"))
        }
    }

    #[test]
    fn table() {
        let cases = [
            (wanted(None, &[]), found("mentat", Some("a"), &["k"]), Some(Level::Pass)),
            (wanted(None, &[]), found("MENTAT.example.org", None, &[]), Some(Level::Pass)),
            (wanted(None, &[]), found("landsraad", None, &[]), None),
            (wanted(None, &[]), found("", None, &[]), None),
            (wanted(Some("a"), &[]), found("mentat", Some("a"), &[]), Some(Level::Pass)),
            (wanted(Some("a"), &[]), found("vps-1", Some("a"), &[]), Some(Level::Warn)),
            (wanted(Some("a"), &[]), found("mentat", Some("b"), &[]), None),
            (wanted(Some("a"), &["k"]), found("mentat", Some("a"), &["l"]), None),
            (wanted(None, &["k"]), found("vps-1", Some("b"), &["j", "k"]), Some(Level::Warn)),
            (wanted(None, &["k"]), found("mentat", None, &["l"]), None),
            // A fact that is not there on both sides decides nothing.
            (wanted(Some("a"), &[]), found("mentat", None, &[]), Some(Level::Pass)),
            (wanted(Some("a"), &[]), found("landsraad", None, &[]), None),
        ];
        for (wanted, found, level) in cases {
            let strict = check(&wanted, &found, false);
            assert_eq!(strict.level, level.unwrap_or(Level::Fail), "{wanted:?} {found:?}: {strict:?}");
            let lax = check(&wanted, &found, true);
            assert_eq!(lax.level, level.unwrap_or(Level::Warn), "{wanted:?} {found:?}: {lax:?}");
        }
    }
}
