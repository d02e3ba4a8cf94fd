//! Network namespaces that live as long as a process of ours and carry no name, so that none is ever left
//! behind. Owns the switch and the hosts' ends; makes no route that leads out.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::cancel::Cancel;
use super::cgroup;
use super::error::RehearseError;
use super::tool::Tool;

/// A network namespace and the process that keeps it, which also keeps a file locked.
#[derive(Debug)]
pub(super) struct Netns {
    keeper: Child,
}

/// How the keeper locks its file.
#[derive(Debug, Clone, Copy)]
pub(super) enum Hold {
    /// The folder of a rehearsal: one keeper.
    Alone,
    /// A base system: as many as there are hosts.
    Shared,
}

/// The words before a command that make it die with the thread that started it; none for a host that is
/// to be kept.
pub(super) fn leash(kept: bool) -> &'static [&'static str] {
    if kept { &[] } else { &["setpriv", "--pdeathsig", "KILL", "--"] }
}

impl Netns {
    /// A new namespace, its loopback up, in the control group `group`; what its keeper says goes to `log`.
    pub(super) fn new(
        group: &str,
        lock: &Path,
        log: &Path,
        hold: Hold,
        kept: bool,
        cancel: &Cancel,
    ) -> Result<Self, RehearseError> {
        let said = File::create(log).map_err(RehearseError::io("make", log))?;
        let mode = match hold {
            Hold::Alone => "--exclusive",
            Hold::Shared => "--shared",
        };
        let words: Vec<String> = leash(kept)
            .iter()
            .map(|word| (*word).to_owned())
            .chain(cgroup::entering(group))
            .chain(["unshare", "--net", "flock", mode, "--no-fork"].map(str::to_owned))
            .collect();
        let keeper = Command::new(words.first().map_or("", String::as_str))
            .args(words.iter().skip(1))
            .arg(lock)
            .args(["sleep", "infinity"])
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said)
            .spawn()
            .map_err(RehearseError::io("start a keeper for", lock))?;
        let mut netns = Self { keeper };
        netns.wait(log)?;
        netns.ip("link set lo up\n", cancel)?;
        Ok(netns)
    }

    /// The process that keeps it.
    pub(super) fn pid(&self) -> u32 {
        self.keeper.id()
    }

    /// Configures it: lines for `ip -batch`.
    pub(super) fn ip(&self, batch: &str, cancel: &Cancel) -> Result<(), RehearseError> {
        Tool::new("nsenter")
            .args(["-t", &self.pid().to_string(), "-n", "--", "ip", "-batch", "-"])
            .input(batch)
            .succeed(cancel)
            .map(drop)
            .map_err(RehearseError::tool("set up the network of the rehearsal"))
    }

    /// The keeper is ready when it has become the sleeper: it has the lock then.
    fn wait(&mut self, log: &Path) -> Result<(), RehearseError> {
        let deadline = Instant::now() + Duration::from_secs(10);
        let comm = format!("/proc/{}/comm", self.pid());
        while fs::read_to_string(&comm).is_ok_and(|name| name != "sleep\n") {
            let ended = self.keeper.try_wait().ok().flatten();
            if ended.is_some() || Instant::now() > deadline {
                let said = fs::read_to_string(log).unwrap_or_default();
                return Err(RehearseError::Io {
                    act: "hold",
                    path: log.to_owned(),
                    source: std::io::Error::other(format!("no network namespace: {}", said.trim())),
                });
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Ends it; every interface in it goes with it.
    pub(super) fn end(mut self) {
        let _killed = self.keeper.kill();
        let _reaped = self.keeper.wait();
    }
}
