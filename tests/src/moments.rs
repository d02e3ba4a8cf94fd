//! A run of the installer that stands still before and after each of its effects, so that the disk of its host can be
//! kept at every moment of it: one run gives what would else take one for each moment. Hosts that boot from these disks
//! are what the host had become if it had been cut off there.
//!
//! All copies are made before the first host boots from one: installers sync every disk of this machine, and what the
//! run has not synced itself is to be lost.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use chom_bundle::rehearse::Host;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::fleet::{RUN, Said, Unpacked, must};

/// From one moment to the next. Checks take half a minute.
const PATIENCE: Duration = Duration::from_secs(300);

/// Where a run stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// Which effect, from 1.
    pub effect: u64,
    /// It has happened.
    pub over: bool,
}

/// Runs the installer to its end, and calls `act` at every moment of it.
pub fn walk(host: &Host, there: &Unpacked, words: &[&str], mut act: impl FnMut(Moment)) -> Said {
    let words: Vec<&str> = words.iter().copied().chain(["--fault", "walk@1"]).collect();
    // What came before is not what this is about.
    must(host, &["sync", "-f", "/"]);
    there.start(host, &words);
    let moments = (1..).flat_map(|effect| [false, true].map(|over| Moment { effect, over }));
    let Some(process) = process(host) else { return ended(host, there) };
    for moment in moments {
        let begun = Instant::now();
        loop {
            match state(process) {
                Some('T') => break,
                None | Some('Z') => return ended(host, there),
                Some(_) => {}
            }
            assert!(begun.elapsed() < PATIENCE, "{moment:?}: neither reached nor ended");
            thread::sleep(Duration::from_micros(300));
        }
        act(moment);
        kill(process, Signal::SIGCONT).unwrap_or_else(|error| panic!("let {process} go on: {error}"));
    }
    unreachable!("effects are counted without end")
}

fn ended(host: &Host, there: &Unpacked) -> Said {
    let begun = Instant::now();
    loop {
        if let Some(said) = there.ended(host) {
            return said;
        }
        assert!(begun.elapsed() < PATIENCE, "the run has ended, and systemd does not say so");
        thread::sleep(Duration::from_millis(20));
    }
}

/// The installer as this machine numbers it; none if it has ended already.
fn process(host: &Host) -> Option<Pid> {
    let inside = must(host, &["systemctl", "show", "--value", "--property=MainPID", RUN]);
    let here = fs::metadata(host.root()).unwrap_or_else(|error| panic!("the root of a host: {error}"));
    let (root, inside) = ((here.dev(), here.ino()), inside.trim());
    let entries = fs::read_dir("/proc").unwrap_or_else(|error| panic!("/proc: {error}"));
    entries.flatten().find_map(|entry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        let status = fs::read_to_string(entry.path().join("status")).ok()?;
        let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
        let its = fs::metadata(entry.path().join("root")).ok()?;
        let found = ids.split_whitespace().next_back() == Some(inside) && (its.dev(), its.ino()) == root;
        found.then(|| Pid::from_raw(pid))
    })
}

/// Of a process, as the kernel abbreviates it.
fn state(process: Pid) -> Option<char> {
    let stat = fs::read_to_string(Path::new("/proc").join(process.to_string()).join("stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}
