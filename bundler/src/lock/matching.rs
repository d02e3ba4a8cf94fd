//! Whether a lock still is the answer to what the inventory asks.

use std::collections::BTreeMap;
use std::fmt;

use chom_format::{ComponentName, Exit, HostName, HostState, exit::Explain};

use super::model::{BasePin, Lock};
use super::request::{Base, HostRequest, LockRequest};

/// A lock that is not the answer to a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("chom.lock does not match the inventory:{}", Listed(.0))]
pub struct LockMismatch(pub Vec<String>);

struct Listed<'a>(&'a [String]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|reason| write!(f, "\n  {reason}"))
    }
}

impl Explain for LockMismatch {
    fn exit(&self) -> Exit {
        Exit::BadInput
    }

    fn hint(&self) -> Option<String> {
        Some("run `chom-bundle lock`, and look at what changed in chom.lock".to_owned())
    }

    fn host(&self) -> HostState {
        HostState::NotConcerned
    }
}

impl Lock {
    /// Whether every host of the request has its payloads in this lock. Hosts that nobody asks for do not
    /// matter: a lock serves the whole inventory, a request may be for one host.
    pub fn matches(&self, request: &LockRequest) -> Result<(), LockMismatch> {
        let differences =
            |host| self.debian_differences(host).into_iter().chain(self.upstream_differences(host));
        let reasons: Vec<String> = request.hosts.iter().flat_map(differences).collect();
        if reasons.is_empty() { Ok(()) } else { Err(LockMismatch(reasons)) }
    }

    /// In what the Debian packages of one host differ from what is asked for.
    pub(super) fn debian_differences(&self, want: &HostRequest) -> Vec<String> {
        let host = &want.host;
        let Some(pins) = self.hosts.get(host) else { return vec![format!("host {host} is not in it")] };
        let mut reasons = Vec::new();
        if pins.archive != want.archive() {
            reasons.push(format!("host {host} is locked for {}, not for {}", pins.archive, want.archive()));
        }
        if pins.base != BasePin::of(&want.base) {
            reasons.push(format!(
                "host {host} is locked against base {}, not {}",
                pins.base,
                BasePin::of(&want.base)
            ));
        }
        let roots = pins.packages.iter().map(|(component, closure)| (component, &closure.roots));
        let text = |names: &Vec<_>| list(names);
        compare(&mut reasons, host, "packages", roots.collect(), want.packages.iter().collect(), text);
        // The first is the one that was asked for; what carries members besides follows from it.
        let asked =
            pins.members.iter().filter_map(|(component, packages)| Some((component, packages.first()?)));
        let text = ToString::to_string;
        compare(&mut reasons, host, "members of", asked.collect(), want.members.iter().collect(), text);
        reasons
    }

    fn upstream_differences(&self, want: &HostRequest) -> Vec<String> {
        let host = &want.host;
        // That the host is missing is said once.
        let Some(pins) = self.hosts.get(host) else { return Vec::new() };
        let mut reasons = Vec::new();
        let asked = want.upstream.iter().map(|(component, upstream)| (component, &upstream.url));
        compare(
            &mut reasons,
            host,
            "upstream",
            pins.upstream.iter().collect(),
            asked.collect(),
            String::clone,
        );
        for (component, upstream) in &want.upstream {
            let Some(pin) = self.upstream.get(&upstream.url) else { continue };
            if pin.version != upstream.version {
                reasons.push(format!(
                    "host {host}, {component}: version {} is locked, not {}",
                    pin.version, upstream.version
                ));
            }
            if let Some(sha256) = upstream.sha256.filter(|sha256| *sha256 != pin.sha256) {
                reasons
                    .push(format!("host {host}, {component}: sha256 {} is locked, not {sha256}", pin.sha256));
            }
        }
        reasons
    }
}

impl BasePin {
    /// How the lock notes a base.
    pub fn of(base: &Base) -> Self {
        match base {
            Base::Minimal => Self::Minimal,
            Base::None => Self::None,
            Base::StatusFile { sha256, .. } => Self::Status(*sha256),
        }
    }
}

fn compare<T: PartialEq>(
    reasons: &mut Vec<String>,
    host: &HostName,
    what: &str,
    locked: BTreeMap<&ComponentName, &T>,
    asked: BTreeMap<&ComponentName, &T>,
    text: impl Fn(&T) -> String,
) {
    for (component, value) in &asked {
        match locked.get(component) {
            None => reasons.push(format!("host {host}, {component}: {what} {} is not locked", text(value))),
            Some(before) if before != value => reasons.push(format!(
                "host {host}, {component}: {what} {} is locked, not {}",
                text(before),
                text(value)
            )),
            Some(_) => {}
        }
    }
    for (component, value) in locked.iter().filter(|(component, _)| !asked.contains_key(*component)) {
        reasons
            .push(format!("host {host}, {component}: {what} {} is locked, but not asked for", text(value)));
    }
}

fn list(names: &[impl ToString]) -> String {
    names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
