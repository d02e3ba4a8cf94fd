//! Bundles and throw-away hosts for the suites: the product's own `build` and the product's own lab.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use chom_bundle::rehearse::{Cancel, Host, HostPlan, Lab, LabOptions, Report, RunOptions, Talk, rehearse};
use chom_format::Manifest;
use chom_format::manifest::Suite;

use crate::{checkout, dist, need_root, places, succeed};

/// The folder that this run may fill: under `target`, so that `make clean` takes it away.
pub fn scratch(name: &str) -> PathBuf {
    let path = checkout().join("target/suites").join(name);
    std::fs::create_dir_all(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    path
}

/// What hosts of the suites do not wait for as long as others: units need not run for 20 s to count as steady.
const BRISK: &str = "dwell_s=3";
/// A first collection comes within one interval.
const COLLECTED: [&str; 2] =
    ["mentat.components.prometheus.scrape_interval=3s", "mentat.components.prometheus.scrape_timeout=3s"];

/// The bundle of the example's `mentat` for a release.
pub fn bundle(suite: Suite) -> PathBuf {
    build(suite, &format!("bundle-{}", suite.name()), &[])
}

/// The same with all the times that people get.
pub fn unhurried(suite: Suite) -> PathBuf {
    of_example(suite, &format!("bundle-{}-unhurried", suite.name()), &[])
}

/// The bundle of `mentat` for a release, with further `--set` values.
pub fn build(suite: Suite, name: &str, set: &[&str]) -> PathBuf {
    let brisk = format!("mentat.{BRISK}");
    of_example(suite, name, &[&[brisk.as_str()], &COLLECTED[..], set].concat())
}

fn of_example(suite: Suite, name: &str, set: &[&str]) -> PathBuf {
    let example = checkout().join("inventory.example.yaml");
    let text =
        std::fs::read_to_string(&example).unwrap_or_else(|error| panic!("{}: {error}", example.display()));
    let suite = format!("mentat.suite={}", suite.name());
    built(&text, "mentat", None, name, &[&[suite.as_str()], set].concat())
}

const SHOP: &str = "
version: 1.0.0
hosts:
  mentat:
    address: 10.77.0.10
    suite: trixie
    arch: x86_64
    stacks: [shop]
    specs: { cpu: 1, memory_mb: 256, disk_gb: 2 }
";

/// The bundle of a stack that is not ours, of a few megabytes, with further `--set` values.
pub fn shop(name: &str, set: &[&str]) -> PathBuf {
    of_stack("shop", name, set)
}

/// The bundle of a stack of the suites' own, `tests/suites/<stack>`.
pub fn of_stack(stack: &str, name: &str, set: &[&str]) -> PathBuf {
    let inventory = SHOP.replace("[shop]", &format!("[{stack}]"));
    let targets = checkout().join("tests/suites").join(stack);
    of_inventory(&inventory, "mentat", Some(&targets), &format!("{stack}-{name}"), set)
}

/// The bundle of a host of any inventory, with the stacks of `targets` beside ours and further `--set` values.
pub fn of_inventory(text: &str, host: &str, targets: Option<&Path>, name: &str, set: &[&str]) -> PathBuf {
    let brisk = format!("{host}.{BRISK}");
    built(text, host, targets, name, &[&[brisk.as_str()], set].concat())
}

/// A bundle, of what it was made, and where it lies once it is.
type Made = (Vec<String>, Arc<OnceLock<PathBuf>>);

/// Builds a bundle once, in a folder of this name: its lock lies beside its inventory, so that bundles do not meet.
fn built(text: &str, host: &str, targets: Option<&Path>, name: &str, set: &[&str]) -> PathBuf {
    static MADE: Mutex<BTreeMap<String, Made>> = Mutex::new(BTreeMap::new());
    let of: Vec<String> = [text].iter().chain(set).map(|part| (*part).to_owned()).collect();
    let made = {
        let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
        let (known, path) = made.entry(name.to_owned()).or_insert_with(|| (of.clone(), Arc::default()));
        assert_eq!(*known, of, "two bundles are called {name}");
        Arc::clone(path)
    };
    made.get_or_init(|| make(text, host, targets, &scratch(name), set)).clone()
}

fn make(text: &str, host: &str, targets: Option<&Path>, output: &Path, set: &[&str]) -> PathBuf {
    clear(output);
    let inventory = output.join("inventory.yaml");
    std::fs::write(&inventory, text).unwrap_or_else(|error| panic!("{}: {error}", inventory.display()));
    let mut command = Command::new(dist("chom-bundle"));
    command.arg("--inventory").arg(&inventory);
    if let Some(targets) = targets {
        command.arg("--targets").arg(targets);
    }
    for value in set {
        command.arg("--set").arg(value);
    }
    succeed(command.args(["build", "--host", host, "--output"]).arg(output));
    tarball(output)
}

/// Takes the bundles of a former run away.
pub fn clear(folder: &Path) {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.to_string_lossy().ends_with(".tar.gz") {
            std::fs::remove_file(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
    }
}

/// The manifest of a tarball.
pub fn manifest(tarball: &Path) -> Manifest {
    let name = folder_name(tarball);
    let text = succeed(Command::new("tar").arg("-xzOf").arg(tarball).arg(format!("{name}/manifest.json")));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", tarball.display()))
}

/// The folder that a tarball unpacks to.
pub fn folder_name(tarball: &Path) -> String {
    tarball.file_name().unwrap_or_default().to_string_lossy().trim_end_matches(".tar.gz").to_owned()
}

/// The only bundle in a folder.
pub fn tarball(folder: &Path) -> PathBuf {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut found: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.to_string_lossy().ends_with(".tar.gz"))
        .collect();
    found.sort();
    assert_eq!(found.len(), 1, "one bundle in {}: {found:?}", folder.display());
    found.remove(0)
}

/// How labs of the suites are made.
pub fn lab_options() -> LabOptions {
    need_root();
    LabOptions { cache: chom_bundle::cache::Cache::default_dir(), mirrors: Vec::new(), keep: false }
}

/// What a rehearsal says goes to the test's own output, which is shown when it fails.
pub fn talk() -> Talk<'static> {
    fn print(since: Duration, line: &str) {
        println!("{:7.1} {line}", since.as_secs_f64());
    }
    Talk::new(&print)
}

/// A rehearsal that finds nothing to complain of.
pub fn rehearsed(options: &RunOptions) -> Report {
    let _place = places::one();
    let report =
        rehearse(options, None, &talk(), &Cancel::default()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(report.problems, Vec::<String>::new());
    assert!(report.passed && report.installed);
    report
}

/// The main promise, on a bare host: installed, healthy, nothing to do the second time, and back exactly.
pub fn there_and_back(bundle: PathBuf) -> Report {
    let options = RunOptions {
        lab: lab_options(),
        bundle,
        host: None,
        suite: None,
        faults: Vec::new(),
        carry: Vec::new(),
        before: Vec::new(),
        installer_args: Vec::new(),
    };
    let report = rehearsed(&options);
    assert_eq!(report.differences, Vec::new(), "the host is not as before");
    assert!(report.paths > 5000, "only {} paths were compared", report.paths);
    let second = report.second_run.as_ref().unwrap_or_else(|| panic!("no second run"));
    assert_eq!((second.exit, second.effects), (0, Some(0)));
    assert_eq!(second.restarted, Vec::<String>::new());
    let proof = report.rollback.as_ref().and_then(|rollback| rollback.proof.as_ref());
    assert!(proof.is_some(), "a rollback without proof");
    println!("second run: {} ms", second.ms);
    report
}

/// Runs an act on a host of its own, and takes the host away whatever the act does.
pub fn on_host(suite: Suite, act: impl FnOnce(&mut Host)) {
    on(suite, false, act);
}

/// The same with a disk of its own: what was not synced is lost when its power fails.
pub fn on_disk(suite: Suite, act: impl FnOnce(&mut Host)) {
    on(suite, true, act);
}

fn on(suite: Suite, own_disk: bool, act: impl FnOnce(&mut Host)) {
    let _place = places::one();
    let mut lab =
        Lab::open(lab_options(), &talk(), &Cancel::default()).unwrap_or_else(|error| panic!("{error}"));
    let name = "mentat".parse().unwrap_or_else(|error| panic!("{error}"));
    let plan = HostPlan { name, suite, machine_id: None, addresses: Vec::new(), own_disk };
    let mut host = lab.host(plan, &talk()).unwrap_or_else(|error| panic!("{error}"));
    let acted = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| act(&mut host)));
    drop(host);
    let closed = lab.close();
    if let Err(panic) = acted {
        std::panic::resume_unwind(panic);
    }
    closed.unwrap_or_else(|error| panic!("{error}"));
}

/// A bundle unpacked on a host, as a person would have done it.
#[derive(Debug)]
pub struct Unpacked {
    /// The folder on the host.
    pub folder: String,
}

/// Where the suites put bundles: scratch space, which no comparison counts.
const UPLOAD: &str = "/var/tmp/suite";
/// The unit that an installer is started as, and what it says.
pub(crate) const RUN: &str = "suite-run.service";
const SAID: &str = "/run/suite-run.log";
/// A recovery takes seconds, and services that it starts again some more.
const RECOVERY: Duration = Duration::from_secs(300);

/// Copies a tarball to a host and unpacks it there.
pub fn unpack(host: &Host, tarball: &Path) -> Unpacked {
    let name = tarball.file_name().unwrap_or_default().to_string_lossy().into_owned();
    must(host, &["mkdir", "-p", "-m", "0700", UPLOAD]);
    let there = format!("{UPLOAD}/{name}");
    host.scp(tarball, &there).unwrap_or_else(|error| panic!("{error}"));
    must(host, &["tar", "-xzf", &there, "-C", UPLOAD]);
    Unpacked { folder: format!("{UPLOAD}/{}", folder_name(tarball)) }
}

/// Runs a command inside a host that must succeed, and returns its standard output.
pub fn must(host: &Host, argv: &[&str]) -> String {
    let ran = host.must(argv).unwrap_or_else(|error| panic!("{error}"));
    String::from_utf8_lossy(&ran.stdout).into_owned()
}

/// What goes before the installer so that it does to itself what these words ask for.
fn allowing_faults<'a>(words: &[&str]) -> Vec<&'a str> {
    if words.contains(&"--fault") { vec!["env", "CHOM_FAULTS=1"] } else { Vec::new() }
}

/// Runs lines of shell inside a host, all of which must succeed.
pub fn shell(host: &Host, lines: &[&str]) -> String {
    must(host, &["sh", "-e", "-c", &lines.join("\n")])
}

/// Waits until systemd has seen what is mounted at these paths now and what no longer is. It looks at the kernel's mounts
/// some time later, and a host would differ from itself.
pub fn mounts_seen(host: &Host, paths: &[&str]) {
    let mounted = "awk -v path=$path '$5 == path { there = 1 } END { exit !there }' /proc/self/mountinfo";
    shell(
        host,
        &[
            &format!("for path in {}; do", paths.join(" ")),
            "unit=$(systemd-escape --path --suffix=mount $path); n=0",
            &format!(
                "until [ $({mounted} && echo active || echo inactive) = $(systemctl is-active $unit) ]; do"
            ),
            "n=$((n + 1)); [ $n -lt 200 ] || exit 1; sleep 0.05",
            "done; done",
        ],
    );
}

/// Waits until the host has taken back by itself what was cut off.
pub fn recovered(host: &Host, what: &str) {
    let said = host
        .inside(&["sh", "-c", RECOVERED])
        .map(|tool| tool.limit(2 * RECOVERY))
        .unwrap_or_else(|error| panic!("{what}: {error}"))
        .run(&Cancel::default())
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(said.code, 0, "{what}: the host did not recover:\n{}", said.text());
}

/// The same, as a host says it. A recovery takes seconds, and services that it starts again some more.
pub const RECOVERED: &str = "n=0
while [ -e /etc/systemd/system.attached/chom-recover.service ] ||
    systemctl is-active chom-recover-end.service | grep -q '^activ'; do
    if [ $n -ge 1500 ] || systemctl is-failed --quiet chom-recover-end.service; then
        journalctl -b --no-pager -u 'chom-recover*'; exit 1
    fi
    n=$((n + 1)); sleep 0.2
done";

/// What the installer did: its exit code and all that it said.
#[derive(Debug)]
pub struct Said {
    /// Exit code.
    pub code: i32,
    /// Standard output, then standard error.
    pub text: String,
}

impl Unpacked {
    /// Runs the installer of this bundle with these arguments to its end.
    pub fn installer(&self, host: &Host, words: &[&str]) -> Said {
        let program = format!("{}/chom-install", self.folder);
        let mut argv = allowing_faults(words);
        argv.push(&program);
        argv.extend(words);
        let ran = host
            .inside(&argv)
            .map(|tool| tool.limit(Duration::from_secs(600)))
            .unwrap_or_else(|error| panic!("{error}"))
            .run(&Cancel::default())
            .unwrap_or_else(|error| panic!("{argv:?}: {error}"));
        let text =
            format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
        Said { code: ran.code, text }
    }

    /// Installs at a terminal: lines of shell run between the question and the answer, which is yes.
    pub fn answered(&self, host: &Host, between: &str) -> Said {
        let script = format!(
            "rm -f /run/answer /run/said; mkfifo /run/answer; : > /run/said
             script -qefc '{}/chom-install --no-confirm' /run/said < /run/answer > /dev/null 2>&1 & run=$!
             exec 3> /run/answer
             n=0
             until grep -q 'yes/no/explain' /run/said || [ $n -gt 600 ] || ! kill -0 $run 2>/dev/null
             do n=$((n+1)); sleep 0.02; done
             {between}
             trap '' PIPE; echo yes >&3
             code=0; wait $run || code=$?; tr -d '\\r' < /run/said; exit $code",
            self.folder,
        );
        let tool = host.inside(&["sh", "-c", &script]).unwrap_or_else(|error| panic!("{error}"));
        let ran = tool
            .limit(Duration::from_secs(300))
            .run(&Cancel::default())
            .unwrap_or_else(|error| panic!("install at a terminal: {error}"));
        Said { code: ran.code, text: String::from_utf8_lossy(&ran.stdout).into_owned() }
    }

    /// Starts the installer as a unit of the host: unlike a program that came in from outside it stands still with the
    /// host and dies with it.
    pub fn start(&self, host: &Host, words: &[&str]) {
        let unit = format!("--unit={RUN}");
        let out = format!("--property=StandardOutput=file:{SAID}");
        let program = format!("{}/chom-install", self.folder);
        let mut argv = vec!["systemd-run", "--quiet", &unit, &out, "--property=StandardError=inherit"];
        argv.push("--property=RemainAfterExit=yes");
        argv.extend(allowing_faults(words));
        argv.push(&program);
        argv.extend(words);
        must(host, &argv);
    }

    /// What it has come to, once it has ended; its unit goes.
    pub fn ended(&self, host: &Host) -> Option<Said> {
        let asked = must(host, &["systemctl", "show", "--property=SubState,ExecMainStatus", RUN]);
        let told = |name: &str| asked.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        if matches!(told("SubState="), "running" | "start") {
            return None;
        }
        let code = told("ExecMainStatus=").parse().unwrap_or(-1);
        let text = must(host, &["cat", SAID]);
        shell(host, &[&format!("systemctl stop {RUN}; systemctl reset-failed {RUN} 2>/dev/null || true")]);
        Some(Said { code, text })
    }
}
