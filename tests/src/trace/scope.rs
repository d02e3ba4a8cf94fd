//! What the records that are on the disk allow to be changed.

use serde_json::Value;

const STATE: &str = "/var/lib/chom";
const TEMPORARY: &str = ".chom-tmp-";
/// What it is made under. Nothing announces it, for there is no journal yet; it is empty, and never becomes anything else.
const NEW_STATE: &str = "/var/lib/.chom-tmp-mtime-";
/// Scratch space and memory, which no promise is about.
const SCRATCH: [&str; 6] = ["/var/tmp", "/tmp", "/run", "/proc", "/dev", "/sys"];
/// Figures of runs that are over.
const FIGURES: &str = "/var/lib/observability/node_exporter/textfile/";
/// Where the boot unit's directory comes and goes, and that.
const BOOT_UNIT: (&str, &str) = ("/etc/systemd", "/etc/systemd/system.attached");
/// Before every other byte of a record.
const HEADER: usize = 48;

/// Whether a path is one whose loss would matter.
pub(super) fn counts(path: &str) -> bool {
    path.starts_with('/') && !SCRATCH.iter().any(|dir| within(path, dir)) && !path.starts_with(NEW_STATE)
}

/// Whether a path is the host's, and not our own.
pub(super) fn is_hosts(path: &str) -> bool {
    // Making our own directory is announced nowhere: there is no journal yet.
    counts(path) && !within(path, STATE) && path != "/var/lib" && !path.starts_with(FIGURES)
}

/// The log and the lock are comforts, which no record stands for.
pub(super) fn is_comfort(path: &str) -> bool {
    within(path, STATE) && (path.ends_with("/log") || path.ends_with("/lock"))
}

/// Whether this is the journal of a transaction.
pub(super) fn is_journal(path: &str) -> bool {
    within(path, STATE) && path.ends_with("/journal")
}

/// Follows the records.
#[derive(Debug, Default)]
pub(super) struct Scope {
    /// Written and not synced.
    coming: Option<Value>,
    /// Resources of the step that is at work.
    touches: Vec<Value>,
    /// Everything that was saved.
    saved: Vec<Value>,
    /// What temporary names begin with, as announced.
    tokens: Vec<String>,
    back: bool,
}

impl Scope {
    pub(super) fn write(&mut self, frame: &[u8]) {
        let payload = frame.get(HEADER..).unwrap_or_default();
        let line = payload.split(|byte| *byte == b'\n').next().unwrap_or_default();
        self.coming = serde_json::from_slice(line).ok();
    }

    pub(super) fn sync(&mut self) {
        let Some(record) = self.coming.take() else { return };
        self.tokens.extend(record["token"].as_str().map(|token| format!("{TEMPORARY}{token}-")));
        match record["record"].as_str().unwrap_or_default() {
            "saved" => self.saved.push(record["resource"].clone()),
            "intent" => self.touches = record["touches"].as_array().cloned().unwrap_or_default(),
            "done" => self.touches.clear(),
            "rolling_back" => self.back = true,
            _ => {}
        }
    }

    /// Whether somebody who finds this name later can tell that it is ours: it is no temporary one, or it was announced.
    pub(super) fn is_told(&self, path: &str) -> bool {
        let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
        let Some(rest) = name.strip_prefix(TEMPORARY) else { return true };
        // Where a whole directory is made or goes: named after its path, and so known to whoever goes on.
        let of_path = rest.trim_end_matches("-old").bytes().all(|byte| byte.is_ascii_hexdigit());
        // One that is a resource of its own is put back like every other.
        let is_saved = self.touches.iter().chain(&self.saved).any(|resource| resource["path"] == path);
        of_path || is_saved || self.tokens.iter().any(|token| name.starts_with(token.as_str()))
    }

    pub(super) fn covers(&self, path: &str) -> bool {
        let of_boot_unit = |path: &str| path == BOOT_UNIT.0 || within(path, BOOT_UNIT.1);
        let boot_unit = |resource: &&Value| resource["path"].as_str().is_some_and(of_boot_unit);
        let allowed = self.touches.iter().any(|resource| holds(resource, path));
        let saved = self.back && self.saved.iter().any(|resource| holds(resource, path));
        // It is put in place before the first step and goes after the last, saved like all else.
        let boots =
            of_boot_unit(path) && self.saved.iter().filter(boot_unit).any(|resource| holds(resource, path));
        allowed || saved || boots
    }
}

/// Whether a resource is about a path, or about the name under which that is before it is renamed.
fn holds(resource: &Value, path: &str) -> bool {
    let own = resource["path"].as_str().unwrap_or_default();
    let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
    match resource["resource"].as_str().unwrap_or_default() {
        "path" => {
            path == own
                || name.starts_with(TEMPORARY) && own.rsplit_once('/').is_some_and(|(of, _)| of == dir)
        }
        "listing" => path == own,
        "folder" => {
            within(path, own)
                || name.starts_with(TEMPORARY) && own.rsplit_once('/').is_some_and(|(of, _)| of == dir)
        }
        "system" => true,
        "account" => dir == "/etc",
        "unit" => path.starts_with("/etc/systemd/system") || path.starts_with("/etc/rc"),
        "firewall" => path.starts_with("/etc/ufw") || path.starts_with("/etc/default"),
        _ => false,
    }
}

pub(super) fn within(path: &str, dir: &str) -> bool {
    path.strip_prefix(dir).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
