//! The control group of one rehearsal. Every process of it is started in here, so that all of them can be
//! ended at one word, also by a later rehearsal that finds only the name.
//!
//! The hierarchy is mounted in a mount namespace of its own for the length of one command: on some machines
//! it is mounted elsewhere, or in its old form, and this machine's mounts are not ours to change.

use std::time::Duration;

use super::cancel::Cancel;
use super::error::RehearseError;
use super::tool::Tool;

/// Mounts the hierarchy where systemd expects it; the first line of every script that touches a group.
pub(super) const MOUNT: &str = "set -e; mount -t cgroup2 cgroup2 /sys/fs/cgroup;";

/// Kills what is in the group and takes it away, waiting for the dead to be gone. A part that went while it was looked
/// at makes `find` fail: what counts is that nothing is left.
const END: &str = "cd /sys/fs/cgroup; test -d \"$1\" || exit 0
[ ! -e \"$1/cgroup.kill\" ] || echo 1 >\"$1/cgroup.kill\"
i=0; until find \"$1\" -depth -type d -exec rmdir {} + 2>/dev/null || ! test -d \"$1\"; do
i=$((i+1)); test $i -lt 400 || { echo \"processes do not end: $(cat \"$1\"/cgroup.procs \"$1\"/*/cgroup.procs | tr '\\n' ' ')\" >&2; exit 1; }
sleep 0.01; done";

/// The words that run a program in a group of this name, as a prefix of its argv. The program replaces the shell, so it
/// keeps the process id.
pub fn entering(group: &str) -> [String; 7] {
    let script = format!(
        "{MOUNT} mkdir -p \"/sys/fs/cgroup/$0\"; echo $$ >\"/sys/fs/cgroup/$0/cgroup.procs\"; exec \"$@\""
    );
    ["unshare", "-m", "--propagation=private", "sh", "-c", &script, group].map(str::to_owned)
}

/// Waits until every process of it stands still.
const FREEZE: &str = "cd /sys/fs/cgroup/\"$1\"; echo 1 >cgroup.freeze
i=0; until grep -q '^frozen 1' cgroup.events; do i=$((i+1)); test $i -lt 1000; sleep 0.01; done";

/// Stops everything in the group where it is.
pub fn freeze(group: &str) -> Result<(), RehearseError> {
    within(group, FREEZE, "stop the processes of")
}

/// Lets it go on.
pub fn thaw(group: &str) -> Result<(), RehearseError> {
    within(group, "echo 0 >/sys/fs/cgroup/\"$1\"/cgroup.freeze", "let go on")
}

/// Ends everything in the group, and the group. Not stopped by anything: it is how stopping is done.
pub fn end(group: &str) -> Result<(), RehearseError> {
    within(group, END, "end the processes of")
}

fn within(group: &str, script: &str, act: &str) -> Result<(), RehearseError> {
    Tool::new("unshare")
        .args(["-m", "--propagation=private", "sh", "-c", &format!("{MOUNT} {script}"), "sh", group])
        .limit(Duration::from_secs(15))
        .succeed(&Cancel::default())
        .map(drop)
        .map_err(RehearseError::tool(format!("{act} {group}")))
}
