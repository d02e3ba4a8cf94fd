//! What does not count when a host is compared with what it was. The list is short, each entry has its
//! reason, and the rehearsal prints it on demand: what stands here is not proved.

/// A path whose content a running host changes by itself, or that is not part of its disk.
#[derive(Debug, Clone, Copy)]
pub struct Skip {
    /// Absolute.
    pub path: &'static str,
    /// How much of it.
    pub what: What,
    /// Why.
    pub why: &'static str,
}

/// How much of a path does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// The path itself and all below it.
    Whole,
    /// What is below it, and its own time; it must be there, of the same kind, mode and owner.
    Below,
}

/// The list.
pub const SKIPPED: &[Skip] = &[
    below("/proc", "of the kernel, not on disk"),
    below("/sys", "of the kernel, not on disk"),
    below("/dev", "of the kernel, not on disk"),
    below("/run", "in memory, empty after a boot"),
    below("/tmp", "scratch"),
    below("/var/tmp", "scratch; the bundle is unpacked there"),
    below("/var/log", "logs"),
    below("/var/cache/apt", "a cache: made again from the package database and the archives"),
    below("/var/cache/ldconfig", "a cache: made again from the libraries"),
    below("/var/cache/man", "a cache: made again from the manual pages"),
    whole("/var/lib/chom", "the installer's own history of this host"),
    below("/var/lib/systemd/timers", "systemd: when each timer last ran"),
    whole("/var/lib/apt/daily_lock", "apt-daily.timer: touched twice a day"),
    below("/var/backups", "dpkg-db-backup.timer: a copy of the package database each midnight"),
];

/// Units that come and go by themselves.
pub const SKIPPED_UNITS: &[(&str, &str)] = &[
    ("user@", "sessions: the manager of a user who is logged in"),
    ("user-runtime-dir@", "sessions: the folder of a user who is logged in"),
    ("run-", "mounts in /run, made by systemd for a service while it runs"),
];

/// Targets that become active with the first unit that names them and stay so until the next boot, whatever becomes
/// of that unit (systemd.special(7)). Whether they are active does not count.
pub const MILESTONES: &[&str] = &[
    "getty-pre.target",
    "network-online.target",
    "network-pre.target",
    "network.target",
    "nss-lookup.target",
    "nss-user-lookup.target",
    "remote-fs-pre.target",
    "rpcbind.target",
    "time-set.target",
    "time-sync.target",
];

/// Kinds of units that have a state of their own which an installation can change; devices, scopes and slices
/// follow from the others.
pub const UNIT_KINDS: &[&str] =
    &["service", "socket", "timer", "path", "target", "mount", "automount", "swap"];

const fn below(path: &'static str, why: &'static str) -> Skip {
    Skip { path, what: What::Below, why }
}

const fn whole(path: &'static str, why: &'static str) -> Skip {
    Skip { path, what: What::Whole, why }
}

/// Whether this path is on the list, and how much of it does not count.
pub fn of(path: &str) -> Option<What> {
    SKIPPED.iter().find(|skip| skip.path == path).map(|skip| skip.what)
}

/// Whether a unit's state counts.
pub fn unit_counts(name: &str) -> bool {
    let kind = name.rsplit_once('.').map_or("", |(_, kind)| kind);
    UNIT_KINDS.contains(&kind) && !SKIPPED_UNITS.iter().any(|(prefix, _)| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_absolute_and_has_a_reason() {
        for skip in SKIPPED {
            assert!(
                skip.path.starts_with('/') && !skip.path.ends_with('/') && skip.why.len() > 3,
                "{skip:?}"
            );
        }
    }

    #[test]
    fn what_an_installer_writes_counts() {
        for path in ["/etc", "/etc/passwd", "/var/lib/dpkg/status", "/opt", "/var/lib", "/root", "/usr/bin"] {
            assert_eq!(of(path), None, "{path}");
        }
        assert_eq!(of("/var/lib/chom"), Some(What::Whole));
    }

    #[test]
    fn services_count_and_sessions_do_not() {
        assert!(unit_counts("nginx.service") && unit_counts("apt-daily.timer"));
        for name in ["session-1.scope", "dev-sda.device", "user@0.service", "run-user-0.mount"] {
            assert!(!unit_counts(name), "{name}");
        }
    }
}
