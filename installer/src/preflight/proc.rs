//! Who owns a process or a socket, from `/proc`. The parsers are pure; what cannot be read is unknown.

use crate::sys::proc;

/// A process for a message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) pid: u32,
    /// Its program's name.
    pub(super) program: String,
    /// The systemd unit that it runs in.
    pub(super) unit: Option<String>,
}

impl Owner {
    pub(super) fn of(pid: u32) -> Self {
        let cgroup = proc::text(&format!("{pid}/cgroup")).unwrap_or_default();
        Self { pid, program: proc::program(pid), unit: unit(&cgroup) }
    }
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let program = if self.program.is_empty() { "unknown program" } else { &self.program };
        write!(f, "pid {} ({program}", self.pid)?;
        if let Some(unit) = &self.unit {
            write!(f, ", {unit}")?;
        }
        f.write_str(")")
    }
}

/// The local port and inode of every listening socket in `/proc/net/tcp` or `tcp6`.
pub(super) fn listeners(table: &str) -> Vec<(u16, u64)> {
    const LISTEN: &str = "0A";
    let line = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
        let port = u16::from_str_radix(local.rsplit_once(':')?.1, 16).ok()?;
        (*state == LISTEN).then_some((port, inode.parse().ok()?))
    };
    table.lines().skip(1).filter_map(line).collect()
}

/// The innermost unit in a process's `cgroup` file, of cgroup v2 or of v1's systemd hierarchy. A host in a
/// container may have both, and only one of them filled.
pub(super) fn unit(cgroup: &str) -> Option<String> {
    let is_unit = |part: &&str| [".service", ".scope", ".socket"].iter().any(|suffix| part.ends_with(suffix));
    let ours = cgroup.lines().filter(|line| line.starts_with("0::") || line.contains(":name=systemd:"));
    let mut paths = ours.filter_map(|line| line.splitn(3, ':').nth(2));
    paths.find_map(|path| path.split('/').rfind(is_unit).map(str::to_owned))
}

/// Which processes have these sockets open. Scans all of `/proc`, so it is asked only when there is a conflict.
pub(super) fn holders(inodes: &[u64]) -> Vec<(u64, u32)> {
    let mut found = Vec::new();
    for pid in proc::pids() {
        for fd in proc::names(&format!("{pid}/fd")) {
            let target = proc::link(&format!("{pid}/fd/{}", fd.display())).unwrap_or_default();
            let inode = target.to_str().and_then(socket_inode).filter(|inode| inodes.contains(inode));
            found.extend(inode.map(|inode| (inode, pid)));
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

fn socket_inode(target: &str) -> Option<u64> {
    target.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    // Real lines: 0.0.0.0:2024 listening, an established connection, 127.0.0.1:9090 listening.
    const TCP: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
        0: 00000000:07E8 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1139 1 0000000002562 100 0\n   \
        1: 020200C0:8CEE 507100CB:0050 01 00000000:00000000 00:00000000 00000000     0        0 2222 3 00000000ab0d2 20 4\n   \
        2: 0100007F:2382 00000000:0000 0A 00000000:00000000 00:00000000 00000000   998        0 3333 1 00000000025 100 0\n";
    const TCP6: &str = "  sl  local_address                         remote_address                        st tx_queue rx_queue\n   \
        0: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 \
        00000000     0        0 4444 1 0000000000000000 100 0 0 10 0\n";

    #[test]
    fn listening_sockets() {
        assert_eq!(listeners(TCP), [(2024, 1139), (9090, 3333)]);
        assert_eq!(listeners(TCP6), [(80, 4444)]);
        assert_eq!(listeners("header\ngarbage\n\n1: x:y z 0A"), []);
    }

    #[test]
    fn units_of_processes() {
        for (cgroup, wanted) in [
            ("0::/system.slice/nginx.service\n", Some("nginx.service")),
            ("0::/system.slice/system-getty.slice/getty@tty1.service\n", Some("getty@tty1.service")),
            ("0::/user.slice/user-0.slice/session-3.scope\n", Some("session-3.scope")),
            ("0::/user.slice/user-0.slice/user@0.service/app.slice/web.service\n", Some("web.service")),
            ("9:name=systemd:/system.slice/cron.service\n8:pids:/x\n0::/\n", Some("cron.service")),
            ("9:name=systemd:/\n0::/system.slice/web.service\n", Some("web.service")),
            ("0::/\n", None),
            ("", None),
        ] {
            assert_eq!(unit(cgroup).as_deref(), wanted, "{cgroup}");
        }
    }

    #[test]
    fn we_find_ourselves() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let table = proc::text("net/tcp").unwrap();
        let (_, inode) = listeners(&table).into_iter().find(|(found, _)| *found == port).unwrap();
        let holders = holders(&[inode]);
        assert!(holders.contains(&(inode, std::process::id())), "{holders:?}");
        let owner = Owner::of(std::process::id());
        assert!(owner.to_string().starts_with(&format!("pid {} (", std::process::id())), "{owner}");
    }
}
