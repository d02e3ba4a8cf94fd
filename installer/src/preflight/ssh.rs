//! The ports by which a person gets in, and whether everybody means the same ones. Whatever they say stays open;
//! who is mistaken is told before the firewall is touched.

use chom_format::manifest::Manifest;
use chom_format::step::ExposeSpec;

use super::Finding;
use crate::step::{SshPorts, list_ports};
use crate::sys::Sys;

const CHECK: &str = "ssh-ports";

/// None when the bundle leaves the firewall alone.
pub(super) fn check(sys: &dyn Sys, manifest: &Manifest) -> Option<Finding> {
    let ExposeSpec::Firewall(spec) = &manifest.phases.expose.first()?.spec;
    Some(match SshPorts::ask(sys, spec.ssh_port) {
        Ok(ports) => judge(&ports),
        Err(error) => Finding::warn(
            CHECK,
            format!("the ports of ssh could not be read: {error}"),
            "sshd -T, and compare `port` with `ssh.port` of the inventory",
        ),
    })
}

fn judge(ports: &SshPorts) -> Finding {
    let open = list_ports(&ports.all());
    if let Some(Err(why)) = &ports.daemon {
        let reason =
            format!("sshd refuses its configuration, and would not start anew: {why}; open stays {open}");
        return Finding::warn(CHECK, reason, "sshd -t, and mend what it names");
    }
    let Some(disagreement) = ports.disagreement() else {
        return Finding::pass(CHECK, format!("{open} stays open"));
    };
    let daemon = ports.daemon.as_ref().and_then(|daemon| daemon.as_ref().ok());
    let remedy = match daemon {
        Some(daemon) if !ports.listening.is_empty() && *daemon != ports.listening => {
            "start sshd anew where it shall listen: systemctl restart ssh".to_owned()
        }
        _ => format!("set `ssh.port` of this host in the inventory to one of {}", list_ports(reached(ports))),
    };
    Finding::warn(CHECK, format!("{disagreement}: all of {open} stay open"), remedy)
}

fn reached(ports: &SshPorts) -> &std::collections::BTreeSet<u16> {
    if ports.listening.is_empty() { &ports.configured } else { &ports.listening }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::Level;
    use super::*;

    fn told(listening: u16, daemon: Result<u16, &str>, inventory: u16) -> (Level, String, Option<String>) {
        let finding = judge(&SshPorts {
            daemon: Some(daemon.map(|port| BTreeSet::from([port])).map_err(str::to_owned)),
            listening: BTreeSet::from([listening]),
            configured: BTreeSet::new(),
            connection: None,
            inventory,
        });
        (finding.level, finding.reason, finding.remedy)
    }

    #[test]
    fn who_is_mistaken_is_told_and_nobody_is_locked_out() {
        assert_eq!(told(22, Ok(22), 22), (Level::Pass, "22 stays open".to_owned(), None));
        let (level, reason, remedy) = told(2222, Ok(2222), 22);
        assert_eq!(level, Level::Warn);
        assert!(reason.ends_with("the inventory says 22: all of 22 and 2222 stay open"), "{reason}");
        assert!(remedy.unwrap().ends_with("to one of 2222"));
        assert!(told(22, Ok(2222), 22).2.unwrap().contains("systemctl restart ssh"));
        let (level, reason, _) = told(22, Err("line 3: Bad configuration option"), 22);
        assert!(
            level == Level::Warn && reason.contains("Bad configuration option; open stays 22"),
            "{reason}"
        );
    }
}
