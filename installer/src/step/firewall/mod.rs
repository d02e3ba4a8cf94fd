//! Openings in the host's firewall.
//!
//! Where there is a ufw they are rules of [`ufw`], elsewhere a table of nftables that is ours: see [`sieve`]. Both keep open
//! what [`ssh`] says, read the host's own files, so that a second run starts no program, and know their rules by our tag.

mod sieve;
mod ssh;
mod ufw;

use chom_format::HostPath;
use chom_format::step::{FirewallSpec, Proto, Rule};

use super::command::words;
use super::kind::{Stated, USUAL};
use super::{Change, Context, Decision, Detail, FirewallMove, Step, StepError};
use crate::resource::Resource;
use crate::sys::{Command, Effect, Sys};
use crate::ufw::tag;
pub(crate) use ssh::{SshPorts, list as list_ports};

/// See [`FirewallSpec`].
pub(super) struct FirewallStep(pub FirewallSpec);

/// See [`Stated`].
pub(super) fn stated(_: &FirewallSpec) -> Stated<'_> {
    Stated {
        deadline: USUAL,
        owns: Vec::new(),
        writes: Vec::new(),
        unit: None,
        needs: &[],
        brings_bytes: false,
    }
}

impl Step for FirewallStep {
    fn decide(&self, sys: &dyn Sys, context: &Context) -> Result<Decision, StepError> {
        let brought = |name: &str| context.packages.iter().any(|package| package.as_str() == name);
        if !sieve::is_there(sys)? && (ufw::is_there(sys)? || brought("ufw")) {
            return ufw::decide(sys, &self.0);
        }
        if sieve::can_be(sys)? || brought("nftables") {
            return sieve::decide(sys, &self.0);
        }
        Ok(Decision::Refuse {
            conflict: "neither ufw nor nftables is on this host, and no earlier step brings one".to_owned(),
            remedy: "give the firewall's component the package ufw".to_owned(),
        })
    }

    fn touches(&self, _: &dyn Sys, _: &Context, change: &Change) -> Result<Vec<Resource>, StepError> {
        let planned = planned(change);
        if planned.sieve { sieve::touches() } else { ufw::touches(&planned) }
    }

    fn apply(&self, sys: &mut dyn Sys, _: &Context, change: &Change) -> Result<(), StepError> {
        let planned = planned(change);
        if planned.sieve { sieve::apply(sys, &planned) } else { ufw::apply(sys, &self.0, &planned) }
    }

    fn paths(&self) -> Vec<HostPath> {
        ufw::paths().chain(sieve::paths()).collect()
    }
}

fn planned(change: &Change) -> FirewallMove {
    if let Detail::Firewall(planned) = &change.detail { planned.clone() } else { FirewallMove::default() }
}

fn shown_rule(rule: &Rule) -> String {
    let proto = match rule.proto {
        Proto::Tcp => "tcp",
        Proto::Udp => "udp",
    };
    let from = rule.from.as_deref().unwrap_or("anyone");
    format!("{}/{proto} from {from} ({})", rule.port, tag(rule))
}

fn run(sys: &mut dyn Sys, command: &Command) -> Result<(), StepError> {
    let output = sys.effect(&Effect::Run(command))?;
    if output.success() {
        return Ok(());
    }
    Err(StepError::Refused {
        what: format!("`{}` ended with {}:\n{}", command.argv.join(" "), output.code, words(&output)),
        hint: Some("ufw status numbered".to_owned()),
    })
}
