//! What a rehearsal needs of this machine. Everything is looked at before anything is said, so that one
//! command mends all of it; nothing is installed or changed here.

use std::fmt;
use std::fs;

use nix::unistd::geteuid;

/// The programs, each with the Debian package that brings it.
const PROGRAMS: [(&str, &str); 12] = [
    ("systemd-nspawn", "systemd-container"),
    ("mmdebstrap", "mmdebstrap"),
    ("ip", "iproute2"),
    ("ss", "iproute2"),
    ("nft", "nftables"),
    ("ssh", "openssh-client"),
    ("scp", "openssh-client"),
    ("ssh-keygen", "openssh-client"),
    ("nsenter", "util-linux"),
    ("unshare", "util-linux"),
    ("setpriv", "util-linux"),
    ("flock", "util-linux"),
];

/// The oldest kernel that ends a whole control group at one word, which is how a host is cut off.
const KERNEL: (u32, u32) = (5, 14);

/// What is missing; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// One line each.
    lacks: Vec<String>,
    /// Debian packages that bring the programs.
    packages: Vec<&'static str>,
    /// Whether this is not root.
    unprivileged: bool,
}

impl std::error::Error for Missing {}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a rehearsal needs what this machine does not have: {}", self.lacks.join("; "))
    }
}

impl Missing {
    /// The command that mends it.
    pub fn hint(&self) -> String {
        let mut acts = Vec::new();
        if !self.packages.is_empty() {
            acts.push(format!("apt-get install --no-install-recommends {}", self.packages.join(" ")));
        }
        if self.unprivileged {
            acts.push("run the same command as root, for example with sudo".to_owned());
        }
        if acts.is_empty() {
            acts.push("rehearse on a machine or virtual machine with such a kernel".to_owned());
        }
        acts.join(", then ")
    }
}

/// Looks at everything and names all that is missing.
pub fn check() -> Result<(), Missing> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let systems = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    judge(geteuid().is_root(), |program| which::which(program).is_ok(), &release, &systems)
}

fn judge(root: bool, has: impl Fn(&str) -> bool, release: &str, systems: &str) -> Result<(), Missing> {
    let mut missing = Missing { lacks: Vec::new(), packages: Vec::new(), unprivileged: !root };
    if !root {
        missing.lacks.push("root (to mount and to make network namespaces)".to_owned());
    }
    for (program, package) in PROGRAMS {
        if !has(program) {
            missing.lacks.push(format!("the program {program} (Debian package {package})"));
            if !missing.packages.contains(&package) {
                missing.packages.push(package);
            }
        }
    }
    if !systems.split_whitespace().any(|system| system == "cgroup2") {
        missing.lacks.push("a kernel with cgroup2".to_owned());
    }
    if version(release).is_none_or(|version| version < KERNEL) {
        missing.lacks.push(format!("Linux {}.{} or newer (this is {})", KERNEL.0, KERNEL.1, release.trim()));
    }
    if missing.lacks.is_empty() { Ok(()) } else { Err(missing) }
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SYSTEMS: &str = "nodev\tcgroup2\nnodev\toverlay\n\text4\n";

    #[test]
    fn a_machine_with_everything_lacks_nothing() {
        assert_eq!(judge(true, |_| true, "6.1.0-40-amd64\n", SYSTEMS), Ok(()));
    }

    #[test]
    fn all_that_is_missing_is_named_at_once() {
        let missing = judge(false, |program| program == "nft", "5.10.0\n", "nodev proc").unwrap_err();
        let text = missing.to_string();
        for word in
            ["root", "systemd-nspawn", "mmdebstrap", "cgroup2", "Linux 5.14 or newer (this is 5.10.0)"]
        {
            assert!(text.contains(word), "{word} in {text}");
        }
        assert!(!text.contains("nftables"));
        assert_eq!(
            missing.hint(),
            "apt-get install --no-install-recommends systemd-container mmdebstrap iproute2 openssh-client \
             util-linux, then run the same command as root, for example with sudo"
        );
    }

    #[test]
    fn an_old_kernel_alone_asks_for_another_machine() {
        let missing = judge(true, |_| true, "4.19", SYSTEMS).unwrap_err();
        assert!(missing.hint().contains("another") || missing.hint().contains("such a kernel"));
    }
}
