//! The ports that must stay open: where sshd really listens, what the present connection came in by, and
//! what the inventory says. None of them is believed alone: sshd may be configured for a port that it does not
//! listen on before it is started anew, and an inventory may be older than the host.

use std::collections::BTreeSet;

use super::super::StepError;
use crate::sys::{Command, Sys, named, text_at};

const SSHD: &str = "/usr/sbin/sshd";
const LISTEN: &str = "0A";
const MOST_ANCESTORS: u32 = 32;

/// Each source by itself, for they may disagree: a person is told so, and every one of them stays open.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SshPorts {
    /// What `sshd -T` says that sshd would listen on if it were started now; none when it was not asked, or its
    /// reason when it cannot tell.
    pub(crate) daemon: Option<Result<BTreeSet<u16>, String>>,
    /// Where sshd, or systemd for it, listens at this moment.
    pub(crate) listening: BTreeSet<u16>,
    /// What its configuration says by our own reading, which starts no program.
    pub(crate) configured: BTreeSet<u16>,
    /// What the present connection came in by.
    pub(crate) connection: Option<u16>,
    /// What the inventory says.
    pub(crate) inventory: u16,
}

impl SshPorts {
    /// Everything that can be read without starting sshd.
    pub(crate) fn read(sys: &dyn Sys, inventory: u16) -> Result<Self, StepError> {
        let mut listening = listening(sys)?;
        listening.extend(by_socket(sys)?);
        let (configured, connection) = (configured(sys)?.into_iter().collect(), connection(sys)?);
        Ok(Self { daemon: None, listening, configured, connection, inventory })
    }

    /// The same, and sshd is asked. A directory that is looked at as if it were a host has nobody to ask.
    pub(crate) fn ask(sys: &dyn Sys, inventory: u16) -> Result<Self, StepError> {
        let mut ports = Self::read(sys, inventory)?;
        if sys.root() == std::path::Path::new("/") && sys.meta(&named(SSHD)?)?.is_some() {
            let asked = sys.ask(&Command::new([SSHD, "-T"]))?;
            let refused = || Err(asked.complaint().lines().last().unwrap_or("no reason given").to_owned());
            ports.daemon = Some(if asked.success() { Ok(effective(&asked.text())) } else { refused() });
        }
        Ok(ports)
    }

    /// All of them, sorted: these stay open.
    pub(crate) fn all(&self) -> BTreeSet<u16> {
        let mut all = BTreeSet::from([self.inventory]);
        all.extend(&self.listening);
        all.extend(&self.configured);
        all.extend(self.connection);
        all.extend(self.daemon.iter().flatten().flatten());
        all
    }

    /// The sources with what each says, when not all say the same.
    pub(crate) fn disagreement(&self) -> Option<String> {
        let said = [
            ("sshd listens on", Some(&self.listening).filter(|ports| !ports.is_empty()).cloned()),
            ("`sshd -T` says", self.daemon.as_ref().and_then(|daemon| daemon.as_ref().ok()).cloned()),
            ("this connection came in by", self.connection.map(|port| BTreeSet::from([port]))),
            ("the inventory says", Some(BTreeSet::from([self.inventory]))),
        ];
        let said: Vec<(&str, BTreeSet<u16>)> =
            said.into_iter().filter_map(|(who, ports)| Some((who, ports?))).collect();
        // One connection comes in by one of several ports, and the inventory names one: that is no disagreement.
        let widest = said.iter().map(|(_, ports)| ports).max_by_key(|ports| ports.len())?;
        let whole = |who: &str| who.starts_with("sshd") || who.starts_with('`');
        let agree = |(who, ports): &(&str, BTreeSet<u16>)| {
            ports.is_subset(widest) && (!whole(who) || ports == widest)
        };
        if said.iter().all(agree) {
            return None;
        }
        Some(said.iter().map(|(who, ports)| format!("{who} {}", list(ports))).collect::<Vec<_>>().join(", "))
    }
}

/// Ports for a person.
pub(crate) fn list(ports: &BTreeSet<u16>) -> String {
    ports.iter().map(u16::to_string).collect::<Vec<_>>().join(" and ")
}

// `port 22`, a line for each; every `listenaddress` has its port by then.
fn effective(said: &str) -> BTreeSet<u16> {
    let port = |line: &str| match line.split_once(' ')? {
        ("port", port) => port.trim().parse().ok(),
        ("listenaddress", address) => address.trim().rsplit_once(':')?.1.parse().ok(),
        _ => None,
    };
    said.lines().filter_map(port).collect()
}

// The kernel knows better than any file which ports the processes called sshd listen on.
fn listening(sys: &dyn Sys) -> Result<BTreeSet<u16>, StepError> {
    let mut inodes = BTreeSet::new();
    for pid in sys.list(&named("/proc")?)?.into_iter().filter(|name| name.bytes().all(|b| b.is_ascii_digit()))
    {
        // Processes end while we look at them: whatever cannot be read any more is not listening.
        if text_at(sys, &format!("/proc/{pid}/comm")).unwrap_or_default().trim() == "sshd" {
            let handles = format!("/proc/{pid}/fd");
            for handle in sys.list(&named(&handles)?).unwrap_or_default() {
                let target = sys.link(&named(&format!("{handles}/{handle}"))?).unwrap_or_default();
                inodes.extend(
                    target
                        .strip_prefix("socket:[")
                        .and_then(|rest| rest.strip_suffix(']'))
                        .map(str::to_owned),
                );
            }
        }
    }
    let mut ports = BTreeSet::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        ports.extend(sockets(&text_at(sys, table).unwrap_or_default(), &inodes));
    }
    Ok(ports)
}

// `0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 12345 ...`
fn sockets(table: &str, inodes: &BTreeSet<String>) -> Vec<u16> {
    let port = |line: &str| -> Option<u16> {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
        let wanted = *state == LISTEN && inodes.contains(*inode);
        wanted.then(|| u16::from_str_radix(local.rsplit_once(':')?.1, 16).ok()).flatten()
    };
    table.lines().filter_map(port).collect()
}

// With socket activation it is systemd that listens.
fn by_socket(sys: &dyn Sys) -> Result<Vec<u16>, StepError> {
    let enabled = named("/etc/systemd/system/sockets.target.wants/ssh.socket")?;
    if sys.meta(&enabled)?.is_none() || sys.root() != std::path::Path::new("/") {
        return Ok(Vec::new());
    }
    let asked =
        sys.ask(&Command::new(["systemctl", "show", "--value", "--property", "Listen", "ssh.socket"]))?;
    Ok(streams(&asked.text()))
}

// `[::]:22 (Stream)`
fn streams(listen: &str) -> Vec<u16> {
    let port = |line: &str| line.strip_suffix("(Stream)")?.trim().rsplit_once(':')?.1.parse().ok();
    listen.lines().filter_map(port).collect()
}

fn configured(sys: &dyn Sys) -> Result<Vec<u16>, StepError> {
    let folder = "/etc/ssh/sshd_config.d";
    let mut text = text_at(sys, "/etc/ssh/sshd_config")?;
    for name in sys.list(&named(folder)?)?.iter().filter(|name| name.ends_with(".conf")) {
        text.push('\n');
        text.push_str(&text_at(sys, &format!("{folder}/{name}"))?);
    }
    let ports = config_ports(&text);
    Ok(if ports.is_empty() { vec![22] } else { ports })
}

fn config_ports(text: &str) -> Vec<u16> {
    let port = |line: &str| -> Option<u16> {
        let mut words = line.split(|c: char| c.is_whitespace() || c == '=').filter(|word| !word.is_empty());
        match words.next()?.to_ascii_lowercase().as_str() {
            "port" => words.next()?.parse().ok(),
            // `host:port` or `[v6]:port`; a bare IPv6 address has no port.
            "listenaddress" => {
                let (host, port) = words.next()?.rsplit_once(':')?;
                (!host.contains(':') || host.ends_with(']')).then(|| port.parse().ok()).flatten()
            }
            _ => None,
        }
    };
    text.lines().map(str::trim).filter(|line| !line.starts_with('#')).filter_map(port).collect()
}

// sudo takes the variable away, so the processes that started us are asked as well.
fn connection(sys: &dyn Sys) -> Result<Option<u16>, StepError> {
    let mut pid = "self".to_owned();
    for _ in 0..MOST_ANCESTORS {
        let environment = text_at(sys, &format!("/proc/{pid}/environ")).unwrap_or_default();
        let found = environment.split('\0').find_map(|variable| variable.strip_prefix("SSH_CONNECTION="));
        if let Some(connection) = found {
            return Ok(connection.split_whitespace().nth(3).and_then(|port| port.parse().ok()));
        }
        let status = text_at(sys, &format!("/proc/{pid}/status")).unwrap_or_default();
        match status.lines().find_map(|line| line.strip_prefix("PPid:")).map(str::trim) {
            Some(parent) if parent != "0" => pid = parent.to_owned(),
            _ => break,
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listening_sockets_are_found_by_inode() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 00000000:08AE 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 700 1 x\n\
            1: 0100007F:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 701 1 x\n\
            2: 00000000:0016 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 700 1 x\n";
        assert_eq!(sockets(table, &BTreeSet::from(["700".to_owned()])), [2222]);
    }

    fn ports(listening: &[u16], daemon: &[u16], connection: Option<u16>, inventory: u16) -> SshPorts {
        SshPorts {
            daemon: Some(Ok(daemon.iter().copied().collect())),
            listening: listening.iter().copied().collect(),
            configured: BTreeSet::new(),
            connection,
            inventory,
        }
    }

    #[test]
    fn every_source_stays_open_and_a_disagreement_names_each() {
        assert_eq!(ports(&[22], &[22], Some(22), 22).disagreement(), None);
        assert_eq!(ports(&[22, 2222], &[22, 2222], Some(2222), 22).disagreement(), None);
        assert_eq!(ports(&[], &[22], None, 22).disagreement(), None);
        let moved = ports(&[22], &[2222], Some(22), 22);
        assert_eq!(moved.all(), BTreeSet::from([22, 2222]));
        assert_eq!(
            moved.disagreement().unwrap(),
            "sshd listens on 22, `sshd -T` says 2222, this connection came in by 22, the inventory says 22"
        );
        let elsewhere = ports(&[2222], &[2222], None, 22);
        assert_eq!(elsewhere.all(), BTreeSet::from([22, 2222]));
        assert!(elsewhere.disagreement().unwrap().ends_with("the inventory says 22"));
        assert!(ports(&[22], &[22], Some(2200), 22).disagreement().is_some(), "a port that is forwarded");
    }

    #[test]
    fn sshd_says_its_ports() {
        let said =
            "port 22\nport 2222\naddressfamily any\nlistenaddress [::]:2201\nlistenaddress 0.0.0.0:22\n";
        assert_eq!(effective(said), BTreeSet::from([22, 2201, 2222]));
    }

    #[test]
    fn a_socket_unit_names_its_ports() {
        assert_eq!(
            streams("0.0.0.0:22 (Stream)\n[::]:2222 (Stream)\n/run/x (Stream)\n[::]:9 (Datagram)\n"),
            [22, 2222]
        );
    }

    #[test]
    fn a_configuration_names_its_ports() {
        let text = "#Port 1\nPort 22\nport=2200\nListenAddress 0.0.0.0:2201\nListenAddress [::]:2202\nListenAddress ::1\n";
        assert_eq!(config_ports(text), [22, 2200, 2201, 2202]);
    }
}
