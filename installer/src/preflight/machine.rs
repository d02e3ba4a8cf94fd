//! The machine and its system: release, architecture, size, clock, and who we are.

use chom_format::Facts;
use chom_format::manifest::{HostIdentity, Requires};

use super::Finding;

pub(super) fn privileges() -> Finding {
    let uid = nix::unistd::geteuid();
    if uid.is_root() {
        return Finding::pass("privileges", "we are root");
    }
    Finding::fail(
        "privileges",
        format!("we are user {uid}, and only root can install"),
        "sudo ./chom-install",
    )
}

pub(super) fn release(wanted: &HostIdentity, facts: &Facts) -> Finding {
    let suite = wanted.suite;
    let fits = facts.os_codename.as_deref() == Some(suite.name())
        || facts.os_version.as_deref() == Some(suite.version());
    if facts.os_id == "debian" && fits {
        return Finding::pass("release", format!("Debian {} ({})", suite.version(), suite.name()));
    }
    let id = match facts.os_id.as_str() {
        "" => "an unknown system",
        "debian" => "Debian",
        other => other,
    };
    let codename = facts.os_codename.as_deref().map(|name| format!("({name})"));
    let words = [Some(id), facts.os_version.as_deref(), codename.as_deref()];
    let found: Vec<&str> = words.into_iter().flatten().collect();
    Finding::fail(
        "release",
        format!("Debian {} ({}) is wanted, this is {}", suite.version(), suite.name(), found.join(" ")),
        "set the host's release in the inventory, then lock and build the bundle again",
    )
}

pub(super) fn architecture(wanted: &HostIdentity, facts: &Facts) -> Finding {
    let arch = wanted.arch.name();
    if facts.arch == arch {
        return Finding::pass("architecture", arch);
    }
    Finding::fail(
        "architecture",
        format!("{arch} is wanted, this is {}", facts.arch),
        "set the host's architecture in the inventory, then lock and build the bundle again",
    )
}

pub(super) fn processors(requires: &Requires, facts: &Facts) -> Finding {
    let (wanted, found) = (requires.cpus, facts.cpu);
    if found >= wanted {
        return Finding::pass("processors", format!("{found}, {wanted} wanted"));
    }
    Finding::fail("processors", format!("{wanted} are wanted, this host has {found}"), too_small())
}

pub(super) fn memory(requires: &Requires, facts: &Facts) -> Finding {
    let (wanted, found) = (requires.memory_mb, facts.memory_mb);
    if enough(found, wanted) {
        return Finding::pass("memory", format!("{found} MiB, {wanted} wanted"));
    }
    Finding::fail("memory", format!("{wanted} MiB are wanted, this host has {found}"), too_small())
}

pub(super) fn disk(requires: &Requires, facts: &Facts) -> Finding {
    let (wanted, found) = (requires.disk_gb, facts.disk_gb);
    if enough(found, wanted) {
        return Finding::pass("disk", format!("{found} GiB, {wanted} wanted"));
    }
    Finding::fail("disk", format!("{wanted} GiB are wanted, the root file system has {found}"), too_small())
}

// Certificates, retention and rotation all go by the clock, and a board without a battery begins in 1970.
pub(super) fn clock(now: jiff::Timestamp) -> Finding {
    let year = now.to_zoned(jiff::tz::TimeZone::UTC).year();
    let text = format!("{now:.0}");
    if (2025..2100).contains(&year) {
        return Finding::pass("clock", text);
    }
    Finding::fail(
        "clock",
        format!("it says {text}"),
        "timedatectl set-time 'YYYY-MM-DD HH:MM:SS', or enable a time service",
    )
}

// A host reports a little less than it was sold with.
fn enough(found: u64, wanted: u64) -> bool {
    found.saturating_mul(10) >= wanted.saturating_mul(9)
}

fn too_small() -> &'static str {
    "take a larger server, or fewer components in the inventory"
}

#[cfg(test)]
mod tests {
    use chom_format::manifest::{Arch, Suite};

    use super::super::Level;
    use super::*;

    fn facts() -> Facts {
        Facts {
            os_id: "debian".into(),
            os_version: Some("13".into()),
            os_codename: Some("trixie".into()),
            arch: "x86_64".into(),
            cpu: 2,
            memory_mb: 3900,
            disk_gb: 74,
            ..crate::facts::measure(std::path::Path::new("/nonexistent"))
        }
    }

    fn host(suite: Suite, arch: Arch) -> HostIdentity {
        HostIdentity {
            name: "mentat".parse().unwrap(),
            hostnames: Vec::new(),
            machine_id: None,
            ssh_host_keys: Vec::new(),
            arch,
            suite,
        }
    }

    #[test]
    fn the_right_system() {
        let wanted = host(Suite::Trixie, Arch::X86_64);
        assert_eq!(release(&wanted, &facts()).level, Level::Pass);
        assert_eq!(architecture(&wanted, &facts()).level, Level::Pass);
        let other = host(Suite::Bookworm, Arch::Aarch64);
        assert_eq!(
            release(&other, &facts()).reason,
            "Debian 12 (bookworm) is wanted, this is Debian 13 (trixie)"
        );
        assert_eq!(architecture(&other, &facts()).reason, "aarch64 is wanted, this is x86_64");
        let ubuntu = Facts { os_id: "ubuntu".into(), ..facts() };
        assert_eq!(release(&wanted, &ubuntu).level, Level::Fail);
        let nothing = Facts { os_id: String::new(), os_version: None, os_codename: None, ..facts() };
        assert!(release(&wanted, &nothing).reason.ends_with("this is an unknown system"));
    }

    #[test]
    fn a_tenth_less_is_granted() {
        let requires = |memory_mb, disk_gb, cpus| Requires { cpus, memory_mb, disk_gb };
        assert_eq!(memory(&requires(4096, 0, 0), &facts()).level, Level::Pass);
        assert_eq!(memory(&requires(8192, 0, 0), &facts()).level, Level::Fail);
        assert_eq!(disk(&requires(0, 80, 0), &facts()).level, Level::Pass);
        assert_eq!(disk(&requires(0, 100, 0), &facts()).level, Level::Fail);
        assert_eq!(processors(&requires(0, 0, 2), &facts()).level, Level::Pass);
        assert_eq!(processors(&requires(0, 0, 4), &facts()).level, Level::Fail);
    }

    #[test]
    fn clocks() {
        for (second, level) in [(0, Level::Fail), (1_800_000_000, Level::Pass), (4_200_000_000, Level::Fail)]
        {
            assert_eq!(clock(jiff::Timestamp::from_second(second).unwrap()).level, level, "{second}");
        }
    }
}
