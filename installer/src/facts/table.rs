//! Facts for a person.

use std::fmt::Write as _;

use chom_format::Facts;

/// One fact a line, then the file systems.
pub fn table(facts: &Facts) -> String {
    let unknown = || "unknown".to_owned();
    let os = match (&facts.os_version, &facts.os_codename) {
        (Some(version), Some(name)) => format!("{} {version} ({name})", facts.os_id),
        (Some(one), None) | (None, Some(one)) => format!("{} {one}", facts.os_id),
        (None, None) if facts.os_id.is_empty() => unknown(),
        (None, None) => facts.os_id.clone(),
    };
    let rows = [
        ("hostname", facts.hostname.clone()),
        ("machine id", facts.machine_id.clone().unwrap_or_else(unknown)),
        ("system", os),
        ("kernel", facts.kernel.clone()),
        ("architecture", facts.arch.clone()),
        ("processors", facts.cpu.to_string()),
        ("memory", format!("{} MiB", facts.memory_mb)),
        ("disk", format!("{} GiB", facts.disk_gb)),
        ("addresses", facts.addresses.join(", ")),
        (
            "ssh host keys",
            facts.ssh_host_keys.iter().filter_map(|key| key.split(' ').next()).collect::<Vec<_>>().join(", "),
        ),
        ("measured", format!("{} by {}", facts.detected_at, facts.detection_source)),
    ];
    let mut text = String::new();
    for (name, value) in rows {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name:<14} {value}");
    }
    for disk in &facts.disks {
        let _ = writeln!(
            text,
            "file system    {} on {} ({}): {} of {} MiB free",
            disk.device, disk.mount, disk.filesystem, disk.free_mb, disk.total_mb
        );
    }
    text
}
