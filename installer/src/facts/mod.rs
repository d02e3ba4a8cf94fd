//! Facts: what this host is, measured and never guessed.
//!
//! Nothing here changes anything or fails: a fact that cannot be read is absent or zero, so that the same
//! code answers in an empty directory, under an emulator and on a full host. With another root than `/`
//! everything that a file tells comes from there; processor, memory and kernel are those that run us.

mod os_release;
mod table;

use std::io::Read;
use std::net::IpAddr;
use std::path::Path;

use chom_format::HostPath;
use chom_format::facts::{Disk, FACTS_FORMAT, Facts};
use sysinfo::{CpuRefreshKind, MemoryRefreshKind, Networks, RefreshKind, System};

use crate::sys::{RealSys, Sys as _, mounts};

pub use os_release::OsRelease;
pub use table::table;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const LARGEST_TEXT: u64 = 1 << 20;

/// Measures the host whose `/` is the directory `root`.
pub fn measure(root: &Path) -> Facts {
    let os = OsRelease::parse(
        &read(root, "/etc/os-release").or_else(|| read(root, "/usr/lib/os-release")).unwrap_or_default(),
    );
    let (cpu, memory_mb) = machine();
    let kernel = nix::sys::utsname::uname().ok();
    let kernel = kernel.as_ref().map(|names| names.release().to_string_lossy().into_owned());
    Facts {
        format: FACTS_FORMAT,
        detected_at: now(),
        detection_source: format!("chom-install {}", env!("CARGO_PKG_VERSION")),
        hostname: hostname(root),
        machine_id: read(root, "/etc/machine-id").and_then(|text| machine_id(&text)),
        os_id: os.id,
        os_version: os.version,
        os_codename: os.codename,
        kernel: kernel.unwrap_or_default(),
        arch: arch(root),
        cpu,
        memory_mb,
        disk_gb: size_of(root).map_or(0, |bytes| (bytes + GIB / 2) / GIB),
        disks: if is_host(root) { disks() } else { Vec::new() },
        addresses: if is_host(root) { addresses() } else { Vec::new() },
        ssh_host_keys: ssh_host_keys(root),
    }
}

/// Now, RFC 3339, UTC, whole seconds.
pub fn now() -> String {
    let now = jiff::Timestamp::now();
    jiff::Timestamp::from_second(now.as_second()).unwrap_or(now).to_string()
}

/// A small text file of the host whose `/` is `root`. Links are followed inside `root`.
pub(crate) fn read(root: &Path, path: &str) -> Option<String> {
    let mut bytes = Vec::new();
    open(root, path)?.take(LARGEST_TEXT).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn open(root: &Path, path: &str) -> Option<Box<dyn Read>> {
    let sys = RealSys::new(root);
    let path = sys.resolve(&path.parse().ok()?).ok()??;
    sys.open(&path).ok()
}

/// Whether `root` is the running host and not a directory that looks like one.
pub(crate) fn is_host(root: &Path) -> bool {
    root == Path::new("/")
}

fn machine() -> (u32, u64) {
    let kinds = RefreshKind::nothing()
        .with_cpu(CpuRefreshKind::nothing())
        .with_memory(MemoryRefreshKind::nothing().with_ram());
    let system = System::new_with_specifics(kinds).ok();
    let listed = system.as_ref().map_or(0, |system| system.cpus().len());
    // Without /proc the scheduler still knows how many processors we may use.
    let cpus = if listed > 0 { listed } else { std::thread::available_parallelism().map_or(0, Into::into) };
    (u32::try_from(cpus).unwrap_or(u32::MAX), system.map_or(0, |system| system.total_memory() / MIB))
}

fn hostname(root: &Path) -> String {
    if is_host(root) {
        return nix::unistd::gethostname()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
    }
    read(root, "/etc/hostname").map(|text| text.trim().to_owned()).unwrap_or_default()
}

fn machine_id(text: &str) -> Option<String> {
    let id = text.trim();
    (id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit())).then(|| id.to_ascii_lowercase())
}

// The host's own packages say what it is; the kernel says what runs us, which is the same on the host.
fn arch(root: &Path) -> String {
    let machine = || {
        let names = nix::sys::utsname::uname().ok();
        names.map(|names| names.machine().to_string_lossy().into_owned()).unwrap_or_default()
    };
    if is_host(root) {
        return machine();
    }
    let elf = ["/usr/bin/dpkg", "/usr/bin/env", "/bin/sh"].iter().find_map(|program| {
        let mut head = [0; 20];
        open(root, program)?.read_exact(&mut head).ok()?;
        elf_arch(&head)
    });
    elf.map_or_else(machine, str::to_owned)
}

// Of a 64-bit little-endian ELF header.
fn elf_arch(head: &[u8; 20]) -> Option<&'static str> {
    let [0x7f, b'E', b'L', b'F', 2, 1, .., low, high] = head else { return None };
    match u16::from_le_bytes([*low, *high]) {
        62 => Some("x86_64"),
        183 => Some("aarch64"),
        _ => None,
    }
}

fn size_of(root: &Path) -> Option<u64> {
    RealSys::new(root).space(&HostPath::root()).ok().map(|space| space.bytes)
}

/// What is mounted from a disk of this machine. Nothing else is measured: a file system of the network, or of another
/// account's process, may never answer.
fn disks() -> Vec<Disk> {
    let sys = RealSys::new("/");
    let mut disks: Vec<Disk> = Vec::new();
    for mount in mounts::read().unwrap_or_default() {
        let known = disks.iter().any(|disk| disk.device == mount.source);
        let Some(point) = mount.point.parse().ok().filter(|_| mount.source.starts_with("/dev/") && !known)
        else {
            continue;
        };
        let Ok(space) = sys.space(&point) else { continue };
        disks.push(Disk {
            mount: mount.point,
            device: mount.source,
            filesystem: mount.file_system,
            total_mb: space.bytes / MIB,
            free_mb: space.free_bytes / MIB,
        });
    }
    disks.sort_by(|a, b| a.mount.cmp(&b.mount));
    disks
}

fn addresses() -> Vec<String> {
    let networks = Networks::new_with_refreshed_list();
    let mut found: Vec<IpAddr> = networks
        .iter()
        .flat_map(|networks| networks.values())
        .flat_map(|network| network.ip_networks())
        .map(|network| network.addr)
        .filter(is_global)
        .collect();
    found.sort();
    found.dedup();
    found.iter().map(ToString::to_string).collect()
}

fn is_global(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !v4.is_loopback() && !v4.is_link_local() && !v4.is_unspecified(),
        IpAddr::V6(v6) => !v6.is_loopback() && !v6.is_unicast_link_local() && !v6.is_unspecified(),
    }
}

fn ssh_host_keys(root: &Path) -> Vec<String> {
    let names = "/etc/ssh".parse().ok().and_then(|dir| RealSys::new(root).list(&dir).ok());
    let mut keys: Vec<String> = names
        .into_iter()
        .flatten()
        .filter(|name| name.starts_with("ssh_host_") && name.ends_with("_key.pub"))
        .filter_map(|name| read(root, &format!("/etc/ssh/{name}")))
        .filter_map(|text| public_key(&text))
        .collect();
    keys.sort();
    keys.dedup();
    keys
}

// `type base64`, without the comment.
fn public_key(text: &str) -> Option<String> {
    let mut words = text.split_whitespace();
    let (kind, key) = (words.next()?, words.next()?);
    Some(format!("{kind} {key}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_directory_has_few_facts_and_no_failure() {
        let root = tempfile::tempdir().unwrap();
        let facts = measure(root.path());
        assert_eq!((facts.hostname.as_str(), facts.machine_id, facts.os_id.as_str()), ("", None, ""));
        assert!(facts.cpu > 0 && facts.memory_mb > 0 && !facts.arch.is_empty());
        assert!(
            facts.detected_at.ends_with('Z') && !facts.detected_at.contains('.'),
            "{}",
            facts.detected_at
        );
    }

    #[test]
    fn a_directory_is_read_as_the_host_would_read_it() {
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let file = root.path().join(path);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        };
        put("usr/lib/os-release", "ID=debian\nVERSION_ID=\"13\"\nVERSION_CODENAME=trixie\n");
        put("etc/hostname", "mentat\n");
        put("etc/machine-id", "0123456789abcdef0123456789ABCDEF\n");
        put("etc/ssh/ssh_host_ed25519_key.pub", "ssh-ed25519 AAAA root@mentat\n");
        put("etc/ssh/ssh_host_ed25519_key", "secret");
        // Absolute, as some images have it: it must not lead to the os-release of the machine that runs this.
        std::os::unix::fs::symlink("/usr/lib/os-release", root.path().join("etc/os-release")).unwrap();
        let facts = measure(root.path());
        assert_eq!(facts.hostname, "mentat");
        assert_eq!(facts.machine_id.as_deref(), Some("0123456789abcdef0123456789abcdef"));
        assert_eq!(facts.os_version.as_deref(), Some("13"));
        assert_eq!(facts.os_codename.as_deref(), Some("trixie"));
        assert_eq!(facts.ssh_host_keys, ["ssh-ed25519 AAAA"]);
    }

    #[test]
    fn links_never_leave_the_root() {
        let root = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("../../../../etc/passwd", root.path().join("up")).unwrap();
        std::os::unix::fs::symlink("loop", root.path().join("loop")).unwrap();
        std::fs::create_dir(root.path().join("etc")).unwrap();
        std::fs::write(root.path().join("etc/passwd"), "ours").unwrap();
        assert_eq!(read(root.path(), "/up").as_deref(), Some("ours"));
        assert_eq!(read(root.path(), "/loop"), None);
    }

    #[test]
    fn machine_ids() {
        assert_eq!(machine_id("uninitialized\n"), None);
        assert_eq!(machine_id(""), None);
        assert_eq!(machine_id(&"a".repeat(32)), Some("a".repeat(32)));
    }

    #[test]
    fn elf_headers() {
        let head = |machine: u8, class: u8| {
            let mut head = [0; 20];
            head[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', class, 1]);
            head[18] = machine;
            head
        };
        assert_eq!(elf_arch(&head(62, 2)), Some("x86_64"));
        assert_eq!(elf_arch(&head(183, 2)), Some("aarch64"));
        assert_eq!(elf_arch(&head(62, 1)), None);
        assert_eq!(elf_arch(b"#!/bin/sh\n# a script"), None);
    }
}
