//! A host that is nothing but its firewall, and its operator on the other side of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use chom_bundle::rehearse::{Cancel, Capture, Host};
use chom_format::manifest::Suite;
use chom_tests::fleet::{Said, Unpacked, clear, must, on_host, scratch, tarball, unpack};
use chom_tests::{checkout, dist, succeed};

/// The longest that anything here may take.
const LONGEST: Duration = Duration::from_secs(90);
const PAUSE: Duration = Duration::from_millis(200);

/// A host, its bundle, and the way in.
pub struct Gate<'h> {
    host: &'h mut Host,
    stack: &'static str,
    folder: PathBuf,
    tarball: PathBuf,
    there: Unpacked,
}

/// A process on the operator's side.
pub struct Control {
    child: Child,
    said: PathBuf,
}

/// Runs an act on a fresh host whose inventory says that ssh is at this port.
pub fn on_gate(port: u16, act: impl FnOnce(&mut Gate<'_>)) {
    on_stack("gate", port, act);
}

/// The same with another stack.
pub fn on_stack(stack: &'static str, port: u16, act: impl FnOnce(&mut Gate<'_>)) {
    on_host(Suite::Trixie, |host| {
        // Threads of the suite have hosts of their own, and folders too.
        let folder = scratch(&format!("gate-{port}-{}", host.address())).join(unique());
        fs::create_dir_all(&folder).unwrap();
        let tarball = build(host, &folder, stack, port, &[]);
        let there = unpack(host, &tarball);
        act(&mut Gate { host, stack, folder: folder.clone(), tarball, there });
        fs::remove_dir_all(&folder).unwrap();
    });
}

fn unique() -> String {
    let name = std::thread::current().name().unwrap_or("main").replace("::", "-");
    format!("{name}-{}", std::process::id())
}

fn bundler(folder: &Path) -> Command {
    let mut command = Command::new(dist("chom-bundle"));
    command.arg("--inventory").arg(folder.join("inventory.yaml"));
    command.arg("--targets").arg(checkout().join("tests/suites/gate"));
    command
}

fn build(host: &Host, folder: &Path, stack: &str, port: u16, set: &[&str]) -> PathBuf {
    let host_key = must(host, &["cat", "/etc/ssh/ssh_host_ed25519_key.pub"]);
    let host_key = host_key.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    let (address, key) = (host.address(), host.key());
    let inventory = format!(
        "version: 1.0.0\nhosts:\n  mentat:\n    address: {address}\n    suite: trixie\n    arch: x86_64\n    stacks: [{stack}]\n    \
         ssh: {{ user: root, port: {port}, key: {}, host_key: \"{host_key}\" }}\n    \
         specs: {{ cpu: 1, memory_mb: 256, disk_gb: 2 }}\n",
        key.display()
    );
    fs::write(folder.join("inventory.yaml"), inventory).unwrap();
    let output = folder.join("out");
    fs::create_dir_all(&output).unwrap();
    clear(&output);
    let set = set.iter().flat_map(|value| ["--set", value]);
    succeed(bundler(folder).args(set).args(["build", "--host", "mentat", "--output"]).arg(&output));
    tarball(&output)
}

impl Gate<'_> {
    /// The installer of the bundle.
    pub fn program(&self) -> String {
        format!("{}/chom-install", self.there.folder)
    }

    /// A path on the operator's side, short enough for a socket.
    pub fn scratch(&self, name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("{}-{name}", unique().chars().take(40).collect::<String>()))
    }

    /// Another bundle takes the place of the first.
    pub fn upgrade(&mut self, set: &[&str]) {
        self.tarball = build(self.host, &self.folder, self.stack, 22, set);
        self.there = unpack(self.host, &self.tarball);
    }

    /// What the host is.
    pub fn capture(&mut self) -> Capture {
        self.host.capture().unwrap()
    }

    /// Fails unless the host is what it was then.
    pub fn is_as(&mut self, before: &Capture) {
        let differences = Capture::diff(before, &self.capture());
        let first: Vec<String> = differences.iter().take(10).map(ToString::to_string).collect();
        assert!(differences.is_empty(), "{} differences, such as {first:#?}", differences.len());
    }

    /// Lets sshd listen on this port alone.
    pub fn listen(&self, port: u16) {
        self.inside(&format!("echo 'Port {port}' > /etc/ssh/sshd_config.d/port.conf"));
        self.inside("systemctl restart ssh.service");
        self.operator_is_in(port);
    }

    /// A command as the operator runs it: over a fresh connection, unless the options say otherwise.
    pub fn ssh(&self, port: u16, options: &[&str], command: &str) -> Said {
        let address = self.host.address();
        let (port, alias) = (port.to_string(), format!("HostKeyAlias={address}"));
        let tool = self.host.outside(&["ssh"]).args(options).args(self.host.ssh_options());
        let login = format!("root@{address}");
        let tool = tool.args(["-o", alias.as_str(), "-p", port.as_str(), login.as_str(), "--", command]);
        let ran =
            tool.limit(LONGEST).run(&Cancel::default()).unwrap_or_else(|error| panic!("{command}: {error}"));
        let text =
            format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
        println!("ssh $ {command} -> {}\n{text}", ran.code);
        Said { code: ran.code, text }
    }

    /// The operator logs in anew.
    pub fn operator_is_in(&self, port: u16) {
        let said = self.ssh(port, &[], "echo in");
        assert_eq!((said.code, said.text.trim()), (0, "in"), "the operator is locked out");
    }

    /// Installs over ssh.
    pub fn install(&self, port: u16, words: &[&str]) -> Said {
        self.install_with(port, &[], words)
    }

    /// The same over this connection.
    pub fn install_with(&self, port: u16, options: &[&str], words: &[&str]) -> Said {
        self.ssh(port, options, &format!("{} --yes {}", self.program(), words.join(" ")))
    }

    /// The command that the installer has printed.
    pub fn confirm_command(&self, said: &Said) -> String {
        let line = said.text.lines().find_map(|line| Some(line.split_once("and run: ")?.1.to_owned()));
        line.unwrap_or_else(|| panic!("no command in: {}", said.text))
    }

    /// The command that confirms.
    pub fn confirm(&self, id: &str, word: &str) -> String {
        format!("/var/lib/chom/chom-install confirm {id} --nonce {word}")
    }

    /// Installs as a unit; its number and word.
    pub fn detach(&self, words: &[&str]) -> (String, String) {
        let said = self.install(22, &[&["--detach"], words].concat());
        assert_eq!(said.code, 0, "{}", said.text);
        let line = said.text.lines().find(|line| line.contains(", word ")).unwrap().to_owned();
        let words: Vec<&str> = line.split([' ', ',', ':']).filter(|word| !word.is_empty()).collect();
        (words[1].to_owned(), words[3].to_owned())
    }

    /// How a transaction stands, asked without ssh.
    pub fn standing(&self, id: &str) -> String {
        let said = self.inside_said(&format!("{} status --transaction {id} --json", self.program()));
        let told: serde_json::Value = serde_json::from_str(said.text.lines().next().unwrap_or_default())
            .unwrap_or_else(|error| panic!("{error}: {}", said.text));
        told["standing"].as_str().unwrap_or_default().to_owned()
    }

    /// Waits until it stands like one of these.
    pub fn await_standing(&self, id: &str, wanted: &[&str]) {
        let begun = Instant::now();
        loop {
            let standing = self.standing(id);
            if wanted.contains(&standing.as_str()) {
                return;
            }
            assert!(begun.elapsed() < LONGEST, "it is {standing}, and not {wanted:?}");
            sleep(PAUSE);
        }
    }

    /// Waits until this succeeds inside.
    pub fn await_inside(&self, command: &str) {
        let begun = Instant::now();
        while self.inside_said(command).code != 0 {
            assert!(begun.elapsed() < LONGEST, "never: {command}");
            sleep(Duration::from_millis(20));
        }
    }

    /// Lines of shell inside, past sshd and the firewall, that must succeed.
    pub fn inside(&self, command: &str) -> String {
        must(self.host, &["sh", "-e", "-c", command])
    }

    /// The same, however it ends.
    pub fn inside_said(&self, command: &str) -> Said {
        let ran =
            self.host.inside(&["sh", "-c", command]).unwrap().limit(LONGEST).run(&Cancel::default()).unwrap();
        let text =
            format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
        Said { code: ran.code, text }
    }

    /// Installs on a terminal of the host itself, and answers once the firewall has changed: a word, or `sleep`.
    pub fn on_terminal(&self, words: &str, answer: &str) -> Said {
        let program = self.program();
        let exposed = "systemctl is-active --quiet 'chom-guard-*' && /var/lib/chom/chom-install status --json | grep -q '\"awaiting\":{'";
        let speak = if answer == "sleep" { "sleep 15".to_owned() } else { format!("echo {answer}; sleep 5") };
        let script = format!(
            "(until {exposed}; do sleep 0.2; done; sleep 0.5; {speak}) \\\n| script -qec '{program} {words}' /dev/null"
        );
        let said = self.inside_said(&script);
        println!("terminal $ {program} {words} ({answer}) -> {}\n{}", said.code, said.text);
        said
    }

    /// Restarts the host. Its network outlives its kernel's restart here, so the rules that a restart loses go now.
    pub fn reboot(&mut self) {
        self.host.exec(&["systemctl", "reboot"]).unwrap();
        self.host.await_halt().unwrap();
        let flush = self.host.in_network(&["nft", "flush", "ruleset"]).unwrap();
        flush.succeed(&Cancel::default()).unwrap();
        self.host.boot().unwrap();
    }

    /// From now on the operator logs in as this user, who may do what sudo's line says.
    pub fn log_in_as(&self, user: &str, sudo: &str) {
        let path = self.folder.join("inventory.yaml");
        let inventory = fs::read_to_string(&path).unwrap();
        fs::write(&path, inventory.replace("user: root", &format!("user: {user}"))).unwrap();
        self.inside(&format!(
            "id {user} 2> /dev/null || useradd -m -s /bin/bash {user}; \
             install -d -m 0700 -o {user} -g {user} /home/{user}/.ssh; \
             install -m 0600 -o {user} -g {user} /root/.ssh/authorized_keys /home/{user}/.ssh/; \
             echo '{user} {sudo}' > /etc/sudoers.d/{user}"
        ));
    }

    /// Plugs the cable in, or out.
    pub fn link(&self, up: bool) {
        let state = if up { "up" } else { "down" };
        let cable = ["ip", "link", "set", "dev", "port1", state];
        self.host.outside(&cable).succeed(&Cancel::default()).unwrap();
    }

    /// `chom-bundle deploy` from the operator's side, going on by itself.
    pub fn deploy(&self, words: &[&str]) -> Control {
        self.control(&[&["deploy", "--host", "mentat", "--bundle", &self.bundle()], words].concat())
    }

    /// The path of the bundle on the operator's side.
    pub fn bundle(&self) -> String {
        self.tarball.to_string_lossy().into_owned()
    }

    /// `chom-bundle` from the operator's side, going on by itself.
    pub fn control(&self, words: &[&str]) -> Control {
        let said = self.folder.join("control.log");
        let log = fs::File::create(&said).unwrap();
        let inner = bundler(&self.folder);
        // The operator's side of the switch is a network of its own.
        let mut command = Command::new("nsenter");
        command
            .args(["-t", &self.host.switch().to_string(), "-n", "--"])
            .arg(inner.get_program())
            .args(inner.get_args())
            .args(words);
        command.env("HOME", &self.folder).stdin(Stdio::null()).stderr(log.try_clone().unwrap()).stdout(log);
        Control { child: command.spawn().unwrap(), said }
    }

    /// Lays the files of Debian's packages down on the host, which needs no more of them than to run.
    pub fn bring(&self, packages: &[&str]) {
        for package in packages {
            let folder = self.folder.join(package);
            fs::create_dir_all(&folder).unwrap();
            succeed(Command::new("apt-get").args(["download", "-qq", package]).current_dir(&folder));
            let deb = fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
            self.host.scp(&deb, "/var/tmp/brought.deb").unwrap();
            // An older package has its programs in /bin, which is a link.
            let unpack = "tar -xf - -C / --keep-directory-symlink";
            self.inside(&format!(
                "dpkg-deb --fsys-tarfile /var/tmp/brought.deb | {unpack}; rm /var/tmp/brought.deb"
            ));
        }
    }
}

impl Control {
    /// Its end.
    pub fn wait(&mut self) -> Said {
        let code = self.child.wait().unwrap().code().unwrap_or(-1);
        let text = fs::read_to_string(&self.said).unwrap();
        println!("control ended with {code}:\n{text}");
        Said { code, text }
    }

    /// It is ended in the middle, as by a power cut.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}
