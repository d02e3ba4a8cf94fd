//! A booted container: systemd as init on a root file system, in the network namespace of its host. Owns
//! the nspawn process and finds its first process; knows nothing of what runs inside.
//!
//! Its mounts are made in a mount namespace of its own and vanish with it.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::cancel::Cancel;
use super::cgroup;
use super::error::RehearseError;
use super::netns::leash;
use super::root::Root;
use super::tool::Tool;

/// `$1` is the host's folder. `volatile` leaves out the syncs of a host that nobody will miss; its mark must go before
/// the same root can be mounted again. nspawn writes to `/run/systemd` of this machine; here it gets one of its own.
const OVERLAY: &str = "cd \"$1\"; rm -rf work/work/incompat/volatile
mount -t overlay overlay -o lowerdir=base,upperdir=upper,workdir=work,volatile root\n";
/// The host's disk. What is not synced stays in memory: the file system writes its journal only when it is asked to.
const DISK: &str = "cd \"$1\"; mount -o loop,commit=3600 disk.img root\n";
const PRIVATE: &str = "mkdir -p /run/systemd; mount -t tmpfs tmpfs /run/systemd; shift; exec \"$@\"";

/// What to boot.
pub(super) struct Boot<'a> {
    /// Control group of the host.
    pub group: &'a str,
    /// Host name.
    pub name: &'a str,
    /// Folder with `root`, for an overlay `base`, `upper` and `work`, and for a disk `disk.img`.
    pub folder: &'a Path,
    /// What `root` is.
    pub root: Root,
    /// Keeper of its network namespace.
    pub netns: u32,
    /// Not on a leash.
    pub kept: bool,
    /// For its first process.
    pub words: &'a [&'a str],
}

/// A running container.
#[derive(Debug)]
pub(super) struct Nspawn {
    process: Child,
    console: PathBuf,
}

/// Whether this machine can mount an overlay in this folder (not when it is an overlay itself).
pub(super) fn can_overlay(folder: &Path, cancel: &Cancel) -> Result<bool, RehearseError> {
    let script = "set -e; cd \"$1\"; mkdir probe probe/base probe/upper probe/work probe/root; cd probe
        mount -t overlay overlay -o lowerdir=base,upperdir=upper,workdir=work,volatile root; : >root/a";
    let probe =
        Tool::new("unshare").args(["-m", "--propagation=private", "sh", "-c", script, "sh"]).arg(folder);
    let ran = probe.run(cancel).map_err(RehearseError::tool("try an overlay"))?;
    let path = folder.join("probe");
    fs::remove_dir_all(&path).map_err(RehearseError::io("remove", &path))?;
    Ok(ran.code == 0)
}

impl Nspawn {
    /// Starts it. It is not up yet: see [`Nspawn::leader`].
    pub(super) fn start(boot: &Boot<'_>) -> Result<Self, RehearseError> {
        let console = boot.folder.join("console.log");
        let said = File::options()
            .create(true)
            .append(true)
            .open(&console)
            .map_err(RehearseError::io("make", &console))?;
        let mount = match boot.root {
            Root::Overlay => OVERLAY,
            Root::Copy => "",
            Root::Disk => DISK,
        };
        let script = format!("set -e; {mount}{PRIVATE}");
        let netns = boot.netns.to_string();
        let words: Vec<String> = leash(boot.kept)
            .iter()
            .copied()
            .chain(["nsenter", "-t", &netns, "-n", "--"])
            .map(str::to_owned)
            .chain(cgroup::entering(boot.group))
            .chain(["sh".to_owned(), "-c".to_owned(), script, "sh".to_owned()])
            .collect();
        let process = Command::new(words.first().map_or("", String::as_str))
            .args(words.iter().skip(1))
            .arg(boot.folder)
            .args(["systemd-nspawn", "--quiet", "--boot", "--keep-unit", "--register=no", "--settings=no"])
            .args(["--resolv-conf=off", "--timezone=off", "--link-journal=no", "--console=pipe"])
            // What root of a VPS can do: firewalls, and files that even root cannot write.
            .arg("--capability=CAP_NET_ADMIN,CAP_LINUX_IMMUTABLE")
            .arg(format!("--hostname={}", boot.name))
            .arg(format!("--machine={}", boot.group.replace('/', "-")))
            .arg("--directory")
            .arg(boot.folder.join("root"))
            .args(boot.words)
            // The settings of the network belong to its namespace: a firewall sets them on a real host too.
            .env("SYSTEMD_NSPAWN_API_VFS_WRITABLE", "network")
            .env("LC_ALL", "C")
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(said.try_clone().map_err(RehearseError::io("share", &console))?)
            .stderr(said)
            .spawn()
            .map_err(RehearseError::io("boot", boot.folder))?;
        Ok(Self { process, console })
    }

    /// Its first process, as soon as it has made itself reachable for systemctl.
    pub(super) fn leader(&mut self, deadline: Instant, cancel: &Cancel) -> Result<u32, String> {
        loop {
            if cancel.asked() {
                return Err("stopped".to_owned());
            }
            let pid = self.process.id();
            if let Some(leader) = init_below(pid)
                && Path::new(&format!("/proc/{leader}/root/run/systemd/private")).exists()
            {
                return Ok(leader);
            }
            if let Ok(Some(status)) = self.process.try_wait() {
                return Err(format!("systemd-nspawn ended with {status}: {}", self.console_tail()));
            }
            if Instant::now() > deadline {
                return Err(self.console_tail());
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until it has ended by itself.
    pub(super) fn await_end(&mut self, deadline: Instant, cancel: &Cancel) -> Result<(), String> {
        while !matches!(self.process.try_wait(), Ok(Some(_))) {
            if cancel.asked() || Instant::now() > deadline {
                return Err(format!("it does not halt: {}", self.console_tail()));
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// The end of what the host and nspawn said on the console.
    pub(super) fn console_tail(&self) -> String {
        let text = fs::read(&self.console).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        lines.get(lines.len().saturating_sub(12)..).unwrap_or_default().join(" | ")
    }

    /// The power fails: everything in it is gone in one moment, nothing is asked to stop.
    pub(super) fn cut(mut self, leader: Option<u32>) {
        // The first process ends its namespace; nspawn would tidy up after it if it lived.
        let _gone = self.process.kill();
        if let Some(leader) = leader.and_then(|pid| i32::try_from(pid).ok()) {
            let _gone = kill(Pid::from_raw(leader), Signal::SIGKILL);
        }
        let _reaped = self.process.wait();
    }
}

/// The child of nspawn that is process 1 of its own namespace.
fn init_below(nspawn: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{nspawn}/task/{nspawn}/children")).ok()?;
    children.split_whitespace().filter_map(|word| word.parse().ok()).find(|pid: &u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
        ids.split_whitespace().count() > 1 && ids.split_whitespace().next_back() == Some("1")
    })
}
