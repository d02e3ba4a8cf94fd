//! Where packages write, and what of it is copied before they do.

/// Whatever changes here while dpkg runs is dpkg's doing.
const EXACT: [&str; 2] = ["/etc", "/usr"];

/// Services live here: only what can be told to be a package's is ours.
const SHARED: [&str; 5] = ["/var", "/opt", "/srv", "/root", "/boot"];

/// Not even looked at: volatile, large, or our own. Packages bring nothing here that lasts.
const SKIPPED: [&str; 8] = [
    "/var/lib/chom",
    "/var/cache/apt",
    "/var/lib/apt/lists",
    "/var/tmp",
    "/var/run",
    "/var/lock",
    "/var/log/journal",
    "/var/lib/systemd/coredump",
];

/// Directories whose content is data and may be millions of files: they are looked at, and not into.
const OPAQUE: [&str; 10] = [
    "/var/lib/mysql",
    "/var/lib/postgresql",
    "/var/lib/redis",
    "/var/lib/mongodb",
    "/var/lib/docker",
    "/var/lib/containerd",
    "/var/lib/libvirt",
    "/var/lib/lxc",
    "/var/lib/kubelet",
    "/var/lib/snapd",
];

/// Directories that may hold whole sites and mailboxes: not looked into when they were there before the run.
const OTHERS: [&str; 3] = ["/var/www", "/var/mail", "/srv"];

/// Copied as a whole, for nothing else can tell what was in it: configuration, and the databases of dpkg and of
/// the helpers that maintainer scripts call. Everything here is put back exactly, also below `/var`.
const COPIED: [&str; 19] = [
    "/etc",
    "/var/lib/dpkg",
    "/var/lib/apt/extended_states",
    "/var/lib/ucf",
    "/var/lib/pam",
    "/var/lib/systemd/deb-systemd-helper-enabled",
    "/var/lib/systemd/deb-systemd-helper-masked",
    "/var/lib/systemd/deb-systemd-user-helper-enabled",
    "/var/lib/systemd/catalog",
    "/var/lib/sgml-base",
    "/var/lib/xml-core",
    "/var/lib/emacsen-common",
    "/var/lib/dictionaries-common",
    "/var/lib/binfmts",
    "/var/lib/php/modules",
    "/var/lib/apache2",
    "/var/lib/shells.state",
    "/var/cache/debconf",
    "/var/cache/ldconfig",
];

/// The roots of what is put back exactly.
pub(super) fn exact_roots() -> impl Iterator<Item = &'static str> {
    EXACT.into_iter().chain(COPIED.into_iter().filter(|area| !within(area, "/etc")))
}

/// The roots of all areas.
pub(super) fn roots() -> impl Iterator<Item = &'static str> {
    EXACT.into_iter().chain(SHARED)
}

pub(super) fn is_skipped(path: &str) -> bool {
    SKIPPED.contains(&path)
}

pub(super) fn is_opaque(path: &str) -> bool {
    OPAQUE.contains(&path)
}

pub(super) fn belongs_to_others(path: &str) -> bool {
    OTHERS.contains(&path)
}

/// Whether every change at a path is ours.
pub(super) fn is_exact(path: &str) -> bool {
    EXACT.iter().any(|area| within(path, area)) || is_copied(path) || path == "/"
}

/// Whether the content of a file at this path is copied without further question.
pub(super) fn is_copied(path: &str) -> bool {
    COPIED.iter().any(|area| within(path, area))
}

/// Whether a file that no package owns is of those that triggers make: caches and indexes in `/usr`.
pub(super) fn is_generated(path: &str) -> bool {
    within(path, "/usr") && !within(path, "/usr/local") && !path.contains("/__pycache__/")
}

/// dpkg's own database, which is put back last: while it is there, what the packages brought can be told.
pub(super) fn is_dpkg_database(path: &str) -> bool {
    within(path, "/var/lib/dpkg")
}

/// What dpkg and its triggers write anew by themselves: nobody's text is lost with it.
pub(super) fn is_made_anew(path: &str) -> bool {
    is_dpkg_database(path) || within(path, "/usr") || within(path, "/var/cache") || path == "/etc/ld.so.cache"
}

pub(super) fn within(path: &str, area: &str) -> bool {
    path.strip_prefix(area).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_are_told_apart() {
        for path in ["/etc", "/etc/a", "/usr/lib/x", "/var/lib/dpkg/status", "/var/cache/debconf/config.dat"]
        {
            assert!(is_exact(path), "{path}");
        }
        for path in ["/etcetera", "/var/lib/mysql", "/var/lib/dpkg2", "/var/log/a", "/opt/a"] {
            assert!(!is_exact(path), "{path}");
        }
        assert!(is_generated("/usr/lib/udev/hwdb.bin"));
        assert!(!is_generated("/usr/local/bin/x"));
    }
}
