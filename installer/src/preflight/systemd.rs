//! Is systemd the first process, and up?

use super::Finding;
use crate::sys::{Command, Kind, Sys, named};

/// Whether systemd is there at all, which is no question to it.
pub(super) fn booted(sys: &dyn Sys) -> Finding {
    // What sd_booted(3) looks at.
    let found = named("/run/systemd/system").and_then(|path| sys.meta(&path));
    if found.is_ok_and(|found| found.is_some_and(|meta| meta.kind == Kind::Dir)) {
        return Finding::pass("systemd", "is the host's first process");
    }
    Finding::fail(
        "systemd",
        "systemd is not the host's first process",
        "install on a host that was started by systemd, not in a chroot or an application container",
    )
}

/// Whether the host is up, in systemd's own words.
pub(super) fn state(sys: &dyn Sys) -> Finding {
    let state = sys.ask(&Command::new(["systemctl", "is-system-running"]));
    judge(state.map(|output| output.text().trim().to_owned()).unwrap_or_default().as_str())
}

fn judge(state: &str) -> Finding {
    const CHECK: &str = "system-state";
    match state {
        "running" => Finding::pass(CHECK, "running"),
        "degraded" => Finding::warn(CHECK, "running, but some unit has failed", "systemctl --failed"),
        "starting" | "initializing" => {
            Finding::warn(CHECK, "the host is still starting", "systemctl is-system-running --wait")
        }
        "" => Finding::fail(CHECK, "systemd does not answer", "systemctl is-system-running"),
        state => Finding::fail(CHECK, format!("the host is {state}"), "try again when the host is up"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn states() {
        for (state, level) in [
            ("running", Level::Pass),
            ("degraded", Level::Warn),
            ("starting", Level::Warn),
            ("maintenance", Level::Fail),
            ("offline", Level::Fail),
            ("", Level::Fail),
        ] {
            assert_eq!(judge(state).level, level, "{state:?}");
        }
    }
}
