//! One rehearsed host: a minimal Debian with systemd as init and sshd, booted over a base system, with an own
//! network namespace and no way out. Owns its folder, its network and its power switch.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use chom_format::HostName;
use chom_format::manifest::Suite;

use super::base::{Base, remove_tree};
use super::cancel::Cancel;
use super::capture::{Capture, HashCache};
use super::cgroup;
use super::disk::{self, Survives};
use super::error::RehearseError;
use super::lab::NET6;
use super::netns::{Hold, Netns};
use super::nspawn::{Boot, Nspawn};
use super::reach::{Access, inside};
use super::root::{self, Root};
use super::tool::{Ran, Stream, Tool};

/// How long a host may take to come up. It takes half a second; a busy machine gets its time.
const UP: Duration = Duration::from_secs(60);

/// What a host is to be.
#[derive(Debug, Clone)]
pub struct HostPlan {
    /// Its host name: the inventory's, so that a bundle knows its host.
    pub name: HostName,
    /// Debian release.
    pub suite: Suite,
    /// Its machine-id, when a bundle asks for one; else systemd makes one.
    pub machine_id: Option<String>,
    /// Addresses that it carries beside that on the switch, such as the inventory's own.
    pub addresses: Vec<IpAddr>,
    /// Its disk is an ext4 file system of its own: slower, and a power cut loses what was not synced.
    pub own_disk: bool,
}

/// A running host.
#[derive(Debug)]
pub struct Host {
    plan: HostPlan,
    group: String,
    folder: PathBuf,
    base: Base,
    root: Root,
    address: Ipv4Addr,
    access: Access,
    netns: Option<Netns>,
    nspawn: Option<Nspawn>,
    leader: Option<u32>,
    kept: bool,
    cancel: Cancel,
    hashes: HashCache,
}

impl Host {
    pub(super) fn new(
        plan: HostPlan,
        group: String,
        lab: &Path,
        base: Base,
        overlay: bool,
        address: Ipv4Addr,
        access: Access,
    ) -> Self {
        let root = match (plan.own_disk, overlay) {
            (true, _) => Root::Disk,
            (false, true) => Root::Overlay,
            (false, false) => Root::Copy,
        };
        Self {
            folder: lab.join(plan.name.as_str()),
            plan,
            group,
            base,
            root,
            address,
            access,
            netns: None,
            nspawn: None,
            leader: None,
            kept: false,
            cancel: Cancel::default(),
            hashes: HashCache::default(),
        }
    }

    /// Makes the root file system and the cable to the switch. `known`: addresses that other hosts carry.
    pub(super) fn connect(
        &mut self,
        switch: &Netns,
        number: u8,
        known: &[IpAddr],
        kept: bool,
        cancel: &Cancel,
    ) -> Result<(), RehearseError> {
        (self.kept, self.cancel) = (kept, cancel.clone());
        self.make_root()?;
        let group = format!("{}.net", self.group);
        let log = self.folder.join("network.log");
        let netns = Netns::new(&group, self.base.lock_path(), &log, Hold::Shared, kept, cancel)?;
        let port = format!("port{number}");
        let address = self.address;
        let mut batch =
            format!("link add eth0 type veth peer name {port} netns {switch}\n", switch = switch.pid());
        batch.push_str(&format!("addr add {address}/24 dev eth0\n"));
        batch.push_str(&format!("addr add {NET6}{}/64 dev eth0 nodad\nlink set eth0 up\n", 1 + number));
        let mut outside = format!("link set {port} master sw\nlink set {port} up\n");
        for further in &self.plan.addresses {
            let net = one(further);
            // Nobody else can have it here, so there is nothing to detect.
            let quick = if further.is_ipv6() { " nodad" } else { "" };
            batch.push_str(&format!("addr add {net} dev eth0{quick}\n"));
            outside.push_str(&format!("route add {net} dev sw\n"));
        }
        for other in known {
            batch.push_str(&format!("route add {} dev eth0\n", one(other)));
        }
        netns.ip(&batch, cancel)?;
        switch.ip(&outside, cancel)?;
        self.netns = Some(netns);
        Ok(())
    }

    /// Its name.
    pub fn name(&self) -> &HostName {
        &self.plan.name
    }

    /// Its address on the switch.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// The control group of its processes; what else belongs to it is in one beside, whose name begins so.
    pub fn group(&self) -> &str {
        &self.group
    }

    /// Where it lies on this machine.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its root file system as it is now, seen from this machine.
    pub fn root(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root", self.leader.unwrap_or_default()))
    }

    /// The wish to stop that its commands heed.
    pub(crate) fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    /// Its first process, as this machine numbers it.
    pub fn leader(&self) -> Option<u32> {
        self.leader
    }

    /// Switches it on and waits until systemd has started everything.
    pub fn boot(&mut self) -> Result<(), RehearseError> {
        self.boot_with(&[])
    }

    fn boot_with(&mut self, words: &[&str]) -> Result<(), RehearseError> {
        let Some(netns) = &self.netns else {
            return Err(self.not_up("it has no network any more".to_owned()));
        };
        let boot = Boot {
            group: &self.group,
            name: self.plan.name.as_str(),
            folder: &self.folder,
            root: self.root,
            netns: netns.pid(),
            kept: self.kept,
            words,
        };
        // The kernel is this machine's, and would keep the rules that a host loses when it is switched off.
        self.in_network(&["nft", "flush", "ruleset"])?
            .succeed(&self.cancel)
            .map_err(RehearseError::tool("empty the rules of a host that boots"))?;
        self.nspawn = Some(Nspawn::start(&boot)?);
        self.wait_up()
    }

    /// Runs a command inside, without the host's sshd, to its end.
    pub fn exec(&self, argv: &[&str]) -> Result<Ran, RehearseError> {
        self.inside(argv)?
            .run(&self.cancel)
            .map_err(RehearseError::tool(format!("run a command in {}", self.name())))
    }

    /// The same; an exit code other than 0 is an error.
    pub fn must(&self, argv: &[&str]) -> Result<Ran, RehearseError> {
        let ran = self.exec(argv)?;
        if ran.code == 0 {
            return Ok(ran);
        }
        let (host, command) = (self.name().to_string(), argv.join(" "));
        Err(RehearseError::OnHost { host, command, code: ran.code, said: ran.tail() })
    }

    /// A command inside, to be given input, a deadline or a listener.
    pub fn inside(&self, argv: &[&str]) -> Result<Tool, RehearseError> {
        match self.leader {
            Some(leader) => Ok(inside(leader, argv)),
            None => Err(self.not_up("it is switched off".to_owned())),
        }
    }

    /// A program of this machine in the host's network namespace.
    pub fn in_network(&self, argv: &[&str]) -> Result<Tool, RehearseError> {
        match &self.netns {
            Some(netns) => {
                Ok(Tool::new("nsenter").args(["-t", &netns.pid().to_string(), "-n", "--"]).args(argv))
            }
            None => Err(self.not_up("it has no network any more".to_owned())),
        }
    }

    /// A program of this machine on the switch, from where its operators reach it.
    pub fn outside(&self, argv: &[&str]) -> Tool {
        self.access.on_switch(argv)
    }

    /// The process that keeps that switch, for programs that go on by themselves.
    pub fn switch(&self) -> u32 {
        self.access.switch()
    }

    /// The options with which ssh comes in as root from there, and nothing of the person's own.
    pub fn ssh_options(&self) -> Vec<String> {
        self.access.options()
    }

    /// The private key with which it lets root in.
    pub fn key(&self) -> PathBuf {
        self.access.key()
    }

    /// Runs a shell command by ssh as root, and hands on what it says while it says it.
    pub fn ssh(
        &self,
        command: &str,
        limit: Duration,
        heard: &mut dyn FnMut(Stream, &[u8]),
    ) -> Result<Ran, RehearseError> {
        self.access
            .ssh(self.address, command)
            .limit(limit)
            .watch(&self.cancel, heard)
            .map_err(RehearseError::tool(format!("reach {} by ssh", self.name())))
    }

    /// Copies a file onto it by scp.
    pub fn scp(&self, from: &Path, to: &str) -> Result<(), RehearseError> {
        let act = RehearseError::tool(format!("copy {} to {}", from.display(), self.name()));
        self.access.scp(self.address, from, to).succeed(&self.cancel).map(drop).map_err(act)
    }

    /// Reads everything that it is.
    pub fn capture(&mut self) -> Result<Capture, RehearseError> {
        let mut hashes = std::mem::take(&mut self.hashes);
        let capture = Capture::take(self, &mut hashes);
        self.hashes = hashes;
        capture
    }

    /// The power fails. What was written stays, as after a crash of all programs; on a disk of its own only what the
    /// disk has been given.
    pub fn cut(&mut self) -> Result<(), RehearseError> {
        let crashed = self.folder.join("crashed.img");
        let copied = self.root == Root::Disk && self.leader.is_some();
        if copied {
            self.copy_disk(Survives::Given, &crashed)?;
        }
        self.switch_off()?;
        if copied { disk::replace(&self.folder, &crashed) } else { Ok(()) }
    }

    /// A copy of its disk as it is in this moment. The host goes on, and knows nothing of it.
    pub fn keep_disk(&self, what: Survives, to: &Path) -> Result<(), RehearseError> {
        let copied = self.copy_disk(what, to);
        cgroup::thaw(&self.group)?;
        copied
    }

    /// Switches it off, and on again with a copy of another disk and these words for systemd, as a person would add
    /// them to the kernel's.
    pub fn boot_from(&mut self, disk: &Path, words: &[&str]) -> Result<(), RehearseError> {
        self.switch_off()?;
        disk::insert(&self.folder, disk, &self.cancel)?;
        self.boot_with(words)
    }

    fn copy_disk(&self, what: Survives, to: &Path) -> Result<(), RehearseError> {
        disk::copy(&self.folder, &self.group, &self.root(), what, to, &self.cancel)
    }

    fn switch_off(&mut self) -> Result<(), RehearseError> {
        if let Some(nspawn) = self.nspawn.take() {
            nspawn.cut(self.leader.take());
        }
        cgroup::end(&self.group)
    }

    /// Restarts it as a person would.
    pub fn reboot(&mut self) -> Result<(), RehearseError> {
        // The answer may be lost in the halt that it asks for.
        self.exec(&["systemctl", "reboot"])?;
        self.await_halt()?;
        self.boot()
    }

    /// Waits until it has switched itself off, as it does for a reboot.
    pub fn await_halt(&mut self) -> Result<(), RehearseError> {
        let Some(nspawn) = &mut self.nspawn else { return Ok(()) };
        let ended = nspawn.await_end(Instant::now() + UP, &self.cancel);
        if self.cancel.asked() {
            return Err(RehearseError::Stopped);
        }
        ended.map_err(|why| self.not_up(why))?;
        (self.nspawn, self.leader) = (None, None);
        cgroup::end(&self.group)
    }

    /// How to enter it, for a person.
    pub fn how_to_enter(&self) -> [String; 2] {
        let leader = self.leader.unwrap_or_default();
        [format!("nsenter -t {leader} -m -p -u -i -n -C bash -l"), self.access.ssh_line(self.address)]
    }

    /// Takes it away: power, network and disk.
    pub fn down(mut self) -> Result<(), RehearseError> {
        self.cut()?;
        if let Some(netns) = self.netns.take() {
            netns.end();
        }
        cgroup::end(&format!("{}.net", self.group))?;
        remove_tree(&self.folder)
    }

    fn wait_up(&mut self) -> Result<(), RehearseError> {
        let deadline = Instant::now() + UP;
        let Some(nspawn) = &mut self.nspawn else { return Err(self.not_up("it is switched off".to_owned())) };
        let leader = match nspawn.leader(deadline, &self.cancel) {
            Ok(leader) => leader,
            Err(_) if self.cancel.asked() => return Err(RehearseError::Stopped),
            Err(why) => return Err(self.not_up(why)),
        };
        loop {
            let ask = inside(leader, &["systemctl", "is-system-running", "--wait"]).limit(UP);
            let asked = ask.run(&self.cancel).map_err(RehearseError::tool("ask systemd whether it is up"))?;
            if ["running", "degraded"].contains(&asked.text().trim()) {
                self.leader = Some(leader);
                return Ok(());
            }
            if Instant::now() > deadline {
                let console = self.nspawn.as_ref().map(Nspawn::console_tail).unwrap_or_default();
                return Err(self.not_up(console));
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn not_up(&self, why: String) -> RehearseError {
        RehearseError::Boot { host: self.name().to_string(), waited: UP, why }
    }

    fn make_root(&self) -> Result<(), RehearseError> {
        let layer = self.root.make(&self.folder, &self.base.root, &self.cancel)?;
        let key =
            root::settle(&layer, &self.base.root, &self.plan, &self.access.public_key()?, &self.cancel)?;
        self.access.know(self.address, &key)?;
        if self.root == Root::Disk {
            disk::make(&self.folder, &self.cancel)?;
        }
        Ok(())
    }
}

fn one(address: &IpAddr) -> String {
    format!("{address}/{}", if address.is_ipv6() { 128 } else { 32 })
}
