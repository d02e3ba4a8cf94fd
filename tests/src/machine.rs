//! A virtual machine: a kernel of its own, with its own memory of what programs wrote and nobody synced, that boots a
//! disk. It is Debian's Linux for user mode (`user-mode-linux`), which runs at a tenth of the speed of this machine where
//! an emulated processor takes a hundredth, and needs nothing of the hardware.
//!
//! The disks are those of throw-away hosts, so what becomes of one here is compared there: a host boots from the disk
//! that the machine has left. No network leads into a machine; an agent on the disk does what it is asked in a folder.
//! Its kernel has no nftables for IPv4, so nothing with a firewall can be installed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use chom_bundle::rehearse::{Cancel, Host, cgroup, duplicate};

use crate::fleet::{RECOVERED, Said, shell};
use crate::succeed;

/// A boot takes ten seconds, on a busy machine a minute, and one with a recovery longer.
const UP: Duration = Duration::from_secs(300);
/// For what it is asked. A whole installation takes two minutes.
const PATIENCE: Duration = Duration::from_secs(900);
const LOOK: Duration = Duration::from_millis(20);
/// More than the services of `mentat` need.
const MEMORY: &str = "mem=1024M";
/// Where Debian puts the modules of its kernel, and those that are wanted, in the order in which they are loaded.
const MODULES: &str = "/usr/lib/uml/modules";
const WANTED: [&str; 2] = ["lib/crc-ccitt.ko", "net/ipv6/ipv6.ko"];
const AGENT: &str = include_str!("machine/agent.sh");
/// What its kernel needs on a processor with more registers than it knows, and the library that is made of it.
const REGISTERS: &str = include_str!("machine/registers.c");
const LOADED: &str = "registers.so";
const UNIT: &str = "\
[Unit]
Description=Does what the test asks for
ConditionVirtualization=uml
DefaultDependencies=no
After=local-fs.target
Before=sysinit.target shutdown.target
Conflicts=shutdown.target
[Service]
ExecStartPre=/bin/sh /usr/local/sbin/suite-agent prepare
ExecStart=/bin/sh /usr/local/sbin/suite-agent
[Install]
WantedBy=sysinit.target
";
/// Lets a process that stands still go on to the next time, so often; 3 when it has ended.
const GO_ON: &str = "
stands() { while read -r _ _ state _ < /proc/$pid/stat; do [ $state != T ] || return 0; sleep 0.01; done 2> /dev/null; false; }
stands || exit 3
while [ $times -gt 0 ]; do kill -CONT $pid; stands || exit 3; times=$((times - 1)); done";

/// A machine that is switched on.
#[derive(Debug)]
pub struct Machine {
    process: Child,
    group: String,
    folder: PathBuf,
    disk: PathBuf,
    asked: u32,
}

/// A process on a machine that stands still again and again.
#[derive(Debug, Clone)]
pub struct Walker(String);

impl Machine {
    /// Lays the agent on a host's disk, for a machine that boots from it, and beside it what its kernel needs.
    pub fn prepare(host: &Host) {
        let source = host.folder().join("registers.c");
        fs::write(&source, REGISTERS).unwrap_or_else(|error| panic!("{}: {error}", source.display()));
        let loaded = host.folder().join(LOADED);
        succeed(Command::new("gcc").args(["-O2", "-shared", "-fPIC", "-o"]).args([&loaded, &source]));
        shell(
            host,
            &[
                &format!("cat > /usr/local/sbin/suite-agent <<'END'\n{AGENT}END"),
                &format!("cat > /etc/systemd/system/suite-agent.service <<'END'\n{UNIT}END"),
                "systemctl enable --quiet suite-agent.service",
            ],
        );
    }

    /// Boots a disk, and waits until systemd has started everything. `host`: whose rehearsal the machine is a part of, and
    /// ends with.
    pub fn boot(host: &Host, disk: &Path) -> Self {
        let name = disk.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let folder = host.folder().join(format!("{name}.machine"));
        let group = format!("{}.{name}", host.group());
        for part in ["in", "out"] {
            fs::create_dir_all(folder.join(part)).unwrap_or_else(|error| panic!("{part}: {error}"));
        }
        let modules = succeed(Command::new("find").args([MODULES, "-mindepth", "1", "-maxdepth", "1"]));
        for (number, name) in WANTED.iter().enumerate() {
            let module = Path::new(modules.trim()).join("kernel").join(name);
            fs::copy(&module, folder.join(format!("{number}.ko")))
                .unwrap_or_else(|error| panic!("{}: {error}", module.display()));
        }
        let said = File::create(folder.join("console")).unwrap_or_else(|error| panic!("console: {error}"));
        let words = cgroup::entering(&group);
        let [program, words @ ..] = &words;
        let process = Command::new(program)
            .args(words)
            .env("LD_PRELOAD", host.folder().join(LOADED))
            // A machine does not outlive who watches it.
            .args(["setpriv", "--pdeathsig=KILL", "linux.uml", "root=/dev/ubda", "rw", MEMORY])
            .arg(format!("ubda={}", disk.display()))
            .arg(format!("hostfs={}", folder.display()))
            .args(["con=null", "con0=null,fd:1", "ssl=null"])
            .stdin(Stdio::null())
            .stdout(said.try_clone().unwrap_or_else(|error| panic!("console: {error}")))
            .stderr(said)
            .spawn()
            .unwrap_or_else(|error| panic!("boot {name}: {error}"));
        let mut machine = Self { process, group, folder, disk: disk.to_owned(), asked: 0 };
        machine.await_file("up", UP);
        let state = machine.ask("systemctl is-system-running --wait").text;
        assert!(["running", "degraded"].contains(&state.trim()), "{state}: {}", machine.console());
        machine
    }

    /// Runs a script to its end.
    pub fn ask(&mut self, script: &str) -> Said {
        let name = self.post(script);
        let code = self.await_file(&format!("{name}.code"), PATIENCE);
        let text = self.folder.join("out").join(format!("{name}.text"));
        let text = fs::read(&text).unwrap_or_else(|error| panic!("{}: {error}", text.display()));
        let code = code.trim().parse().unwrap_or(-1);
        Said { code, text: String::from_utf8_lossy(&text).into_owned() }
    }

    /// Runs a script that must succeed, and returns what it said.
    pub fn must(&mut self, script: &str) -> String {
        let said = self.ask(script);
        assert_eq!(said.code, 0, "`{script}`: {}", said.text);
        said.text
    }

    /// Starts a program that stands still again and again, as a unit of this name.
    pub fn walk(&mut self, unit: &str, program: &str) -> Walker {
        let out = format!("-p StandardOutput=file:/run/{unit}.log -p StandardError=inherit");
        self.must(&format!("systemd-run --quiet --unit={unit} -p RemainAfterExit=yes {out} {program}"));
        Walker(self.must(&format!("systemctl show --value -p MainPID {unit}")).trim().to_owned())
    }

    /// Lets it go on to the next time that it stands still, so often. Whether it has not ended.
    pub fn go_on(&mut self, walker: &Walker, times: u64) -> bool {
        let said = self.ask(&format!("pid={}; times={times}{GO_ON}", walker.0));
        assert!([0, 3].contains(&said.code), "{}: {}", said.code, said.text);
        said.code == 0
    }

    /// Waits until it has taken back by itself what was cut off.
    pub fn recovered(&mut self, what: &str) {
        let said = self.ask(RECOVERED);
        assert_eq!(said.code, 0, "{what}: it did not recover:\n{}", said.text);
    }

    /// A copy of its disk as it is in this moment: what this disk has been given, and nothing of what the machine has
    /// in its memory. The machine goes on, and knows nothing of it.
    pub fn keep_disk(&self, to: &Path) {
        cgroup::freeze(&self.group).unwrap_or_else(|error| panic!("{error}"));
        duplicate(&self.disk, to, &Cancel::default()).unwrap_or_else(|error| panic!("{error}"));
        cgroup::thaw(&self.group).unwrap_or_else(|error| panic!("{error}"));
    }

    /// The power fails. Its disk stays.
    pub fn cut(mut self) {
        self.end();
    }

    /// Switches it off as a person would.
    pub fn off(mut self) {
        self.post("systemctl poweroff");
        let begun = Instant::now();
        while !matches!(self.process.try_wait(), Ok(Some(_))) {
            assert!(begun.elapsed() < UP, "it does not halt: {}", self.console());
            thread::sleep(LOOK);
        }
        self.end();
    }

    fn post(&mut self, script: &str) -> String {
        self.asked += 1;
        let name = self.asked.to_string();
        let part = self.folder.join("part");
        fs::write(&part, script)
            .and_then(|()| fs::rename(&part, self.folder.join("in").join(&name)))
            .unwrap_or_else(|error| panic!("{}: {error}", part.display()));
        name
    }

    fn await_file(&mut self, name: &str, patience: Duration) -> String {
        let path = self.folder.join("out").join(name);
        let begun = Instant::now();
        loop {
            if let Ok(text) = fs::read_to_string(&path) {
                return text;
            }
            if let Ok(Some(status)) = self.process.try_wait() {
                panic!("the machine ended with {status}: {}", self.console());
            }
            assert!(begun.elapsed() < patience, "no {name}: {}", self.console());
            thread::sleep(LOOK);
        }
    }

    fn console(&self) -> String {
        let text = fs::read(self.folder.join("console")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines.get(lines.len().saturating_sub(30)..).unwrap_or_default().join("\n")
    }

    fn end(&mut self) {
        cgroup::end(&self.group).unwrap_or_else(|error| panic!("{error}"));
        self.process.wait().unwrap_or_else(|error| panic!("{error}"));
        fs::remove_dir_all(&self.folder).unwrap_or_else(|error| panic!("{error}"));
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // After a test that failed; else there is nothing left.
        let _gone = cgroup::end(&self.group);
        let _reaped = self.process.wait();
    }
}
