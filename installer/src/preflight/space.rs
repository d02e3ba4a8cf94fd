//! Room on each file system that will be written: for what comes, and for what a rollback needs kept.

use std::collections::BTreeMap;

use chom_format::HostPath;

use super::Finding;
use crate::step::{Decision, Planned};
use crate::sys::{Space, Sys};

const CHECK: &str = "space";
const STATE: &str = "/var/lib/chom";
// For journal, log, and what services write in their first minutes.
const RESERVE: u64 = 64 << 20;
const RESERVE_INODES: u64 = 1000;
// A package's files are not listed in the plan; Debian's have about this size on average.
const TYPICAL_FILE: u64 = 16 << 10;

/// What one file system is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Need {
    /// One path on it, for the message.
    path: HostPath,
    bytes: u64,
    inodes: u64,
    space: Space,
}

pub(super) fn check(sys: &dyn Sys, plan: &[Planned]) -> Finding {
    let mut needs: BTreeMap<u64, Need> = BTreeMap::new();
    let mut add = |path: &HostPath, bytes: u64, inodes: u64| -> Result<(), String> {
        let space = sys.space(path).map_err(|error| error.to_string())?;
        let fresh = || Need { path: path.clone(), bytes: RESERVE, inodes: RESERVE_INODES, space };
        let need = needs.entry(space.device).or_insert_with(fresh);
        need.bytes = need.bytes.saturating_add(bytes);
        need.inodes = need.inodes.saturating_add(inodes);
        Ok(())
    };
    for (path, bytes, inodes) in wanted(sys, plan) {
        if let Err(error) = add(&path, bytes, inodes) {
            return Finding::fail(CHECK, error, "look at the file system of that path");
        }
    }
    judge(&needs.into_values().collect::<Vec<_>>())
}

// What comes by path, and a copy of what it takes the place of in our store.
fn wanted(sys: &dyn Sys, plan: &[Planned]) -> Vec<(HostPath, u64, u64)> {
    let Ok(state) = STATE.parse::<HostPath>() else { return Vec::new() };
    let mut wanted = vec![(state.clone(), 0, 0)];
    for planned in plan {
        let Decision::Change(change) = &planned.decision else { continue };
        for (path, bytes) in &change.writes {
            wanted.push((path.clone(), *bytes, 1 + bytes / TYPICAL_FILE));
        }
        for (path, _) in &change.changes {
            let old = sys.meta(path).ok().flatten().map_or(0, |meta| meta.size);
            wanted.push((state.clone(), old, 1));
        }
    }
    wanted
}

fn judge(needs: &[Need]) -> Finding {
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    let mut short = Vec::new();
    for need in needs {
        let Need { path, bytes, inodes, space } = need;
        if space.free_bytes < *bytes {
            short.push(format!(
                "{path}: {} MiB are needed, {} MiB are free",
                mib(*bytes),
                space.free_bytes >> 20
            ));
        }
        if space.free_inodes < *inodes {
            short.push(format!("{path}: {inodes} inodes are needed, {} are free", space.free_inodes));
        }
    }
    if short.is_empty() {
        let total: u64 = needs.iter().map(|need| need.bytes).sum();
        return Finding::pass(CHECK, format!("{} MiB are needed, with what a rollback needs", mib(total)));
    }
    Finding::fail(
        CHECK,
        short.join("\n"),
        "make room: apt-get clean; journalctl --vacuum-size=100M; du -xh / | sort -h | tail",
    )
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    fn need(bytes: u64, inodes: u64, free_bytes: u64, free_inodes: u64) -> Need {
        let space = Space { device: 1, free_bytes, free_inodes, read_only: false };
        Need { path: "/opt".parse().unwrap(), bytes, inodes, space }
    }

    #[test]
    fn bytes_and_inodes_are_counted() {
        assert_eq!(judge(&[need(100 << 20, 10, 200 << 20, 20)]).level, Level::Pass);
        let finding = judge(&[need(300 << 20, 30, 200 << 20, 20)]);
        assert_eq!(finding.level, Level::Fail);
        assert_eq!(
            finding.reason,
            "/opt: 300 MiB are needed, 200 MiB are free\n/opt: 30 inodes are needed, 20 are free"
        );
        assert_eq!(judge(&[need(1, 30, 2, u64::MAX)]).level, Level::Pass);
    }
}
