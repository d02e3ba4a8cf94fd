//! Processes that a run has left behind: apt goes on when the installer is killed, and a package's script goes on when
//! dpkg is, without any lock. They are told by the environment that ours give to their children and nobody else has.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Holder;
use crate::sys::proc;

/// The configuration that apt is called with by us alone.
pub const CONFIG: &str = "/var/cache/apt/bundle/apt.conf";

/// Who is left, of this host's processes.
pub fn left_behind() -> Vec<Holder> {
    let mark = format!("APT_CONFIG={CONFIG}");
    // Whoever is gone by now, or is nobody's any more, has no environment.
    let marked = proc::pids().into_iter().filter(|pid| {
        let environment = proc::bytes(&format!("{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
    });
    marked.map(|pid| Holder { pid, program: proc::program(pid) }).collect()
}

/// Ends them.
pub fn end(left: &[Holder]) {
    for holder in left {
        // Gone already is all that is wanted.
        i32::try_from(holder.pid).ok().map(|pid| kill(Pid::from_raw(pid), Signal::SIGKILL));
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn only_those_with_our_mark_are_found_and_ended() {
        let ours = Command::new("sleep").arg("600").env("APT_CONFIG", CONFIG).spawn();
        let other = Command::new("sleep").arg("600").env("APT_CONFIG", "/etc/apt/apt.conf").spawn();
        let (mut ours, mut other) = (ours.unwrap(), other.unwrap());
        let found = || {
            let left = left_behind();
            left.into_iter().filter(|left| [ours.id(), other.id()].contains(&left.pid)).collect::<Vec<_>>()
        };
        // It has its environment once it is the program that was asked for.
        while found().iter().all(|left| left.program != "sleep") {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        let left = found();
        assert_eq!(left, [Holder { pid: ours.id(), program: "sleep".into() }]);
        end(&left);
        assert!(!ours.wait().unwrap().success());
        assert!(other.try_wait().unwrap().is_none(), "others are left alone");
        other.kill().unwrap();
        other.wait().unwrap();
    }
}
