//! The step of `expose`: the openings that follow from the ports of every component and from the other hosts.

use std::collections::BTreeSet;

use chom_format::ComponentName;
use chom_format::step::{ExposeSpec, FirewallSpec, Proto, Rule, Step};

use super::{Work, ids};
use crate::render::wanted::{Open, Placed, Port};
use crate::resolve::Address;

/// The component whose presence means that the host has a firewall.
const FIREWALL: &str = "firewall";

impl Work<'_> {
    pub(super) fn expose(&mut self) -> Vec<Step<ExposeSpec>> {
        let Some(firewall) = self.host.components.get(FIREWALL).filter(|component| component.enabled) else {
            return Vec::new();
        };
        let mut rules = BTreeSet::new();
        let rendered = self.rendered;
        for component in &rendered.components {
            for port in &component.ports {
                rules.extend(self.openings(&component.name, port));
            }
        }
        let spec = FirewallSpec { rules: rules.into_iter().collect(), ssh_port: self.host.ssh.port };
        let id = ids::of(&firewall.name, "rules");
        vec![Step { id, component: firewall.name.clone(), spec: ExposeSpec::Firewall(spec) }]
    }

    fn openings(&mut self, component: &ComponentName, port: &Placed<Port>) -> Vec<Rule> {
        let rule = |from, why| Rule { port: port.value.port, proto: Proto::Tcp, from, why };
        let peer = match &port.value.open {
            Open::No => return Vec::new(),
            Open::Public => return vec![rule(None, component.to_string())],
            Open::PeersWith(peer) => peer,
        };
        let mut rules = Vec::new();
        for other in self.fleet.hosts.values().filter(|other| other.name != self.host.name) {
            if !other.components.get(peer).is_some_and(|component| component.enabled) {
                continue;
            }
            match &other.address {
                Address::Ip(ip) => {
                    rules.push(rule(Some(ip.to_string()), format!("{component} from {}", other.name)));
                }
                // A packet filter looks a name up once, when the rule is made, and never again.
                Address::Name(name) => {
                    let message = format!(
                        "port {} is opened to {}, whose address {name} is a name",
                        port.value.port, other.name
                    );
                    self.problems.push(
                        port.at
                            .problem(message, format!("set hosts.{}.address to an IP address", other.name)),
                    );
                }
            }
        }
        rules
    }
}
