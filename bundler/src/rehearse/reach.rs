//! How a rehearsed host is reached: the system's own ssh and scp from the switch, as a person would, and
//! `nsenter` for what must not depend on the host's sshd.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::cancel::Cancel;
use super::error::RehearseError;
use super::tool::Tool;

/// The key of the rehearsal and the way onto its switch.
#[derive(Debug, Clone)]
pub(super) struct Access {
    folder: PathBuf,
    switch: u32,
}

impl Access {
    pub(super) fn new(folder: &Path, switch: u32) -> Self {
        Self { folder: folder.to_owned(), switch }
    }

    /// Makes the key pair with which the rehearsal logs in.
    pub(super) fn make_key(&self, cancel: &Cancel) -> Result<(), RehearseError> {
        Tool::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", "rehearsal", "-f"])
            .arg(self.key())
            .succeed(cancel)
            .map(drop)
            .map_err(RehearseError::tool("make a key for the rehearsal"))
    }

    pub(super) fn key(&self) -> PathBuf {
        self.folder.join("key")
    }

    /// The line for `authorized_keys`.
    pub(super) fn public_key(&self) -> Result<String, RehearseError> {
        let path = self.folder.join("key.pub");
        fs::read_to_string(&path).map_err(RehearseError::io("read", &path))
    }

    /// Makes a host known by the key that it was given, so that no first connection is taken on trust.
    pub(super) fn know(&self, address: Ipv4Addr, host_key: &str) -> Result<(), RehearseError> {
        let path = self.known_hosts();
        let mut known = fs::read_to_string(&path).unwrap_or_default();
        known.push_str(&format!("{address} {}\n", host_key.trim()));
        fs::write(&path, known).map_err(RehearseError::io("write", &path))
    }

    /// A command on the host by ssh.
    pub(super) fn ssh(&self, address: Ipv4Addr, command: &str) -> Tool {
        self.on_switch(&["ssh"]).args(self.options()).arg(format!("root@{address}")).arg("--").arg(command)
    }

    /// A file of this machine to a path on the host by scp.
    pub(super) fn scp(&self, address: Ipv4Addr, from: &Path, to: &str) -> Tool {
        self.on_switch(&["scp"])
            .arg("-q")
            .args(self.options())
            .arg("--")
            .arg(from)
            .arg(format!("root@{address}:{to}"))
            .limit(Duration::from_secs(600))
    }

    /// The command with which a person enters by ssh.
    pub(super) fn ssh_line(&self, address: Ipv4Addr) -> String {
        format!(
            "nsenter -t {} -n ssh -i {} -o UserKnownHostsFile={} root@{address}",
            self.switch,
            self.key().display(),
            self.known_hosts().display()
        )
    }

    fn known_hosts(&self) -> PathBuf {
        self.folder.join("known_hosts")
    }

    /// The process that keeps the switch.
    pub(super) fn switch(&self) -> u32 {
        self.switch
    }

    /// A program of this machine on the switch.
    pub(super) fn on_switch(&self, argv: &[&str]) -> Tool {
        Tool::new("nsenter").args(["-t", &self.switch.to_string(), "-n", "--"]).args(argv)
    }

    /// Nothing of the person's own ssh settings, agent or connections.
    pub(super) fn options(&self) -> Vec<String> {
        let known = format!("UserKnownHostsFile=\"{}\"", self.known_hosts().display());
        let mut words = vec!["-F".to_owned(), "none".to_owned(), "-i".to_owned()];
        words.push(self.key().display().to_string());
        for option in [
            known.as_str(),
            "GlobalKnownHostsFile=none",
            "StrictHostKeyChecking=yes",
            "IdentitiesOnly=yes",
            "IdentityAgent=none",
            "BatchMode=yes",
            "ControlMaster=no",
            "ControlPath=none",
            "ConnectTimeout=10",
            "ServerAliveInterval=5",
            "LogLevel=ERROR",
        ] {
            words.push("-o".to_owned());
            words.push(option.to_owned());
        }
        words
    }
}

/// A command inside the host without its sshd: in its namespaces, with the environment of a root login.
pub(super) fn inside(leader: u32, argv: &[&str]) -> Tool {
    Tool::new("nsenter")
        .args(["-t", &leader.to_string(), "-m", "-p", "-u", "-i", "-n", "-C", "--", "env", "-i"])
        .args(["HOME=/root", "USER=root", "LC_ALL=C.UTF-8", "TERM=dumb"])
        .arg("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .args(argv)
}
