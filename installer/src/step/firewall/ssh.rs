//! The ports that must stay open: where sshd really listens, what the present connection came in by, and
//! what the inventory says.

use std::collections::BTreeSet;

use chom_format::HostPath;

use super::super::StepError;
use super::super::owners::small_file;
use crate::sys::{Command, Sys};

const LISTEN: &str = "0A";
const MOST_ANCESTORS: u32 = 32;

/// All of them, sorted.
pub(crate) fn ports(sys: &dyn Sys, inventory: u16) -> Result<BTreeSet<u16>, StepError> {
    let mut ports = BTreeSet::from([inventory]);
    let listening = listening(sys)?;
    if listening.is_empty() {
        ports.extend(configured(sys)?);
    }
    ports.extend(listening);
    ports.extend(by_socket(sys)?);
    ports.extend(connection(sys)?);
    Ok(ports)
}

// The kernel knows better than any file which ports the processes called sshd listen on.
fn listening(sys: &dyn Sys) -> Result<BTreeSet<u16>, StepError> {
    let mut inodes = BTreeSet::new();
    for pid in sys.list(&path("/proc")?)?.into_iter().filter(|name| name.bytes().all(|b| b.is_ascii_digit()))
    {
        // Processes end while we look at them: whatever cannot be read any more is not listening.
        if small_file(sys, &format!("/proc/{pid}/comm")).unwrap_or_default().trim() == "sshd" {
            let handles = format!("/proc/{pid}/fd");
            for handle in sys.list(&path(&handles)?).unwrap_or_default() {
                let target = sys.link(&path(&format!("{handles}/{handle}"))?).unwrap_or_default();
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
        ports.extend(sockets(&small_file(sys, table).unwrap_or_default(), &inodes));
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
    let enabled = path("/etc/systemd/system/sockets.target.wants/ssh.socket")?;
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
    let mut text = small_file(sys, "/etc/ssh/sshd_config")?;
    for name in sys.list(&path(folder)?)?.iter().filter(|name| name.ends_with(".conf")) {
        text.push('\n');
        text.push_str(&small_file(sys, &format!("{folder}/{name}"))?);
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
        let environment = small_file(sys, &format!("/proc/{pid}/environ")).unwrap_or_default();
        let found = environment.split('\0').find_map(|variable| variable.strip_prefix("SSH_CONNECTION="));
        if let Some(connection) = found {
            return Ok(connection.split_whitespace().nth(3).and_then(|port| port.parse().ok()));
        }
        let status = small_file(sys, &format!("/proc/{pid}/status")).unwrap_or_default();
        match status.lines().find_map(|line| line.strip_prefix("PPid:")).map(str::trim) {
            Some(parent) if parent != "0" => pid = parent.to_owned(),
            _ => break,
        }
    }
    Ok(None)
}

fn path(text: &str) -> Result<HostPath, StepError> {
    text.parse().map_err(|why| StepError::Refused { what: format!("{why}"), hint: None })
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
