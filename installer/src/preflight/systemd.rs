//! Is systemd the first process, and up?

use std::path::Path;

use super::Finding;
use crate::sys::{Command, Sys};

const CHECK: &str = "systemd";

pub(super) fn check(sys: &dyn Sys) -> Finding {
    // What sd_booted(3) looks at.
    if !Path::new("/run/systemd/system").is_dir() {
        return judge(None);
    }
    let state = sys.ask(&Command::new(["systemctl", "is-system-running"]));
    judge(state.ok().map(|output| output.text().trim().to_owned()).as_deref())
}

fn judge(state: Option<&str>) -> Finding {
    match state {
        Some("running") => Finding::pass(CHECK, "running"),
        Some("degraded") => Finding::warn(CHECK, "running, but some unit has failed", "systemctl --failed"),
        Some("starting" | "initializing") => {
            Finding::warn(CHECK, "the host is still starting", "systemctl is-system-running --wait")
        }
        Some(state @ ("stopping" | "maintenance" | "offline")) => {
            Finding::fail(CHECK, format!("the host is {state}"), "try again when the host is up")
        }
        _ => Finding::fail(
            CHECK,
            "systemd is not the host's first process",
            "install on a host that was started by systemd, not in a chroot or an application container",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn states() {
        for (state, level) in [
            (Some("running"), Level::Pass),
            (Some("degraded"), Level::Warn),
            (Some("starting"), Level::Warn),
            (Some("maintenance"), Level::Fail),
            (Some("offline"), Level::Fail),
            (Some(""), Level::Fail),
            (None, Level::Fail),
        ] {
            assert_eq!(judge(state).level, level, "{state:?}");
        }
    }
}
