//! Rehearsed hosts, real ones: what a capture sees, that a host leaves nothing behind, and that a rehearsal
//! tells a good bundle from one that does harm. Needs root and the programs that `chom-bundle rehearse` names.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "the helpers of a test fail by panicking, and print for its log"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use chom_bundle::cache::Cache;
use chom_bundle::rehearse::capture::{Difference, Part};
use chom_bundle::rehearse::{Cancel, Capture, Host, HostPlan, Lab, LabOptions, Talk};
use chom_format::manifest::Suite;
use serde_json::Value;

fn say(since: Duration, line: &str) {
    println!("[{:.1}] {line}", since.as_secs_f64());
}

fn lab(talk: &Talk<'_>) -> Lab {
    let options = LabOptions { cache: Cache::default_dir(), mirrors: Vec::new(), keep: false };
    Lab::open(options, talk, &Cancel::default()).unwrap()
}

fn plan(name: &str, suite: Suite) -> HostPlan {
    HostPlan { name: name.parse().unwrap(), suite, machine_id: None, addresses: Vec::new(), own_disk: false }
}

fn sh(host: &Host, script: &str) {
    host.must(&["sh", "-ec", script]).unwrap();
}

/// What differs, as `part name`, without the times of folders that follow from it.
fn seen(differences: &[Difference]) -> Vec<String> {
    let mut names: Vec<String> =
        differences.iter().map(|difference| format!("{} {}", difference.part, difference.name)).collect();
    names.dedup();
    names
}

/// Every processes of this machine that has `word` among its arguments.
fn processes(word: &str) -> Vec<String> {
    let all = fs::read_dir("/proc").unwrap().flatten();
    all.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(word))
        .collect()
}

fn is_seen(suite: Suite) {
    let talk = Talk::new(&say);
    let mut lab = lab(&talk);
    let mut host = lab.host(plan("mentat", suite), &talk).unwrap();
    let before = host.capture().unwrap();
    assert!(before.tree.len() > 5000 && before.packages.len() > 80, "{}", before.tree.len());
    // What its own timers do is no difference.
    for unit in ["systemd-tmpfiles-clean", "dpkg-db-backup", "apt-daily", "apt-daily-upgrade"] {
        host.must(&["systemctl", "start", &format!("{unit}.service")]).unwrap();
    }
    assert_eq!(Capture::diff(&before, &host.capture().unwrap()), []);

    let changes: [(&str, &str, &[&str]); 12] = [
        ("touch /etc/hosts", "", &["path /etc/hosts"]),
        ("chmod 0600 /etc/fstab", "chmod 0644 /etc/fstab", &["path /etc/fstab"]),
        ("chown 1:1 /opt", "chown 0:0 /opt", &["path /opt"]),
        ("echo a >/opt/new", "rm /opt/new", &["path /opt", "path /opt/new"]),
        ("ln -s x /srv/l", "rm /srv/l", &["path /srv", "path /srv/l"]),
        ("mknod /srv/pipe p", "rm /srv/pipe", &["path /srv", "path /srv/pipe"]),
        ("printf x | dd of=/etc/issue bs=1 conv=notrunc", "", &["path /etc/issue"]),
        (
            "apt-mark auto sudo",
            "apt-mark manual sudo",
            &["path /var/lib/apt/extended_states", "package sudo"],
        ),
        ("useradd -r ghost", "userdel ghost", &["path /etc", "user ghost", "group ghost"]),
        ("systemctl mask apt-daily.timer", "systemctl unmask apt-daily.timer", &["unit apt-daily.timer"]),
        (
            "systemctl stop dpkg-db-backup.timer",
            "systemctl start dpkg-db-backup.timer",
            &["unit dpkg-db-backup.timer"],
        ),
        (
            "systemd-run -q --unit=ghost sh -c 'exec 3<>/dev/udp/127.0.0.1/9; sleep infinity'",
            "systemctl stop ghost",
            &["unit ghost.service"],
        ),
    ];
    let mut last = before;
    for (script, undo, expected) in changes {
        sh(&host, script);
        let now = host.capture().unwrap();
        let found = seen(&Capture::diff(&last, &now));
        for wanted in expected {
            assert!(found.iter().any(|name| name.starts_with(wanted)), "{script}: {wanted} not in {found:?}");
        }
        sh(&host, undo);
        last = host.capture().unwrap();
    }
    outside_changes(&mut host);
    host.down().unwrap();
    lab.close().unwrap();
}

/// What a minimal host has no program for is changed from this machine.
fn outside_changes(host: &mut Host) {
    let last = host.capture().unwrap();
    xattr::set(host.root().join("etc/hosts"), "user.note", b"here").unwrap();
    let rules = "table inet ghost { chain c { type filter hook input priority 0; tcp dport 22 accept; }; }";
    host.in_network(&["nft", "-f", "-"]).unwrap().input(rules).succeed(&Cancel::default()).unwrap();
    let found = Capture::diff(&last, &host.capture().unwrap());
    assert!(
        found.iter().any(|one| one.name == "/etc/hosts" && one.change.contains("user.note")),
        "{found:?}"
    );
    assert!(
        found.iter().any(|one| one.part == Part::Firewall && one.name.contains("table inet ghost")),
        "{found:?}"
    );
    xattr::remove(host.root().join("etc/hosts"), "user.note").unwrap();
    host.in_network(&["nft", "delete", "table", "inet", "ghost"])
        .unwrap()
        .succeed(&Cancel::default())
        .unwrap();
    assert_eq!(Capture::diff(&last, &host.capture().unwrap()), []);
}

#[test]
fn every_change_of_a_trixie_host_is_seen() {
    is_seen(Suite::Trixie);
}

#[test]
fn every_change_of_a_bookworm_host_is_seen() {
    is_seen(Suite::Bookworm);
}

#[test]
fn two_hosts_meet_on_the_switch_and_nothing_leaves_it() {
    let talk = Talk::new(&say);
    let mut lab = lab(&talk);
    let far = HostPlan {
        addresses: vec!["192.0.2.7".parse().unwrap(), "2001:db8::7".parse().unwrap()],
        ..plan("far", Suite::Trixie)
    };
    let far = lab.host(far, &talk).unwrap();
    let mut near = lab.host(plan("near", Suite::Bookworm), &talk).unwrap();
    for address in [far.address().to_string(), "192.0.2.7".to_owned(), "2001:db8::7".to_owned()] {
        let banner = format!("exec 3<>/dev/tcp/{address}/22; head -c 7 <&3");
        let ran = near.must(&["timeout", "10", "bash", "-c", &banner]).unwrap();
        assert_eq!(ran.text(), "SSH-2.0", "{address}");
    }
    let refused = near.exec(&["timeout", "10", "bash", "-c", "exec 3<>/dev/tcp/203.0.113.1/80"]).unwrap();
    assert!(refused.tail().contains("unreachable"), "{}", refused.tail());

    let before = near.capture().unwrap();
    near.must(&["sh", "-c", "echo kept >/srv/kept"]).unwrap();
    near.cut().unwrap();
    assert!(near.exec(&["true"]).is_err(), "a host without power runs nothing");
    near.boot().unwrap();
    near.reboot().unwrap();
    assert_eq!(seen(&Capture::diff(&before, &near.capture().unwrap())), ["path /srv", "path /srv/kept"]);
    lab.close().unwrap();
}

#[test]
fn a_host_that_is_taken_down_leaves_nothing() {
    let talk = Talk::new(&say);
    let mut lab = lab(&talk);
    let id = lab.id().to_owned();
    let start = Instant::now();
    let host = lab.host(plan("mentat", Suite::Trixie), &talk).unwrap();
    println!("up after {:?}", start.elapsed());
    assert!(!processes(&id).is_empty());
    // Even what not even root may delete.
    sh(&host, "mkdir /srv/a; echo a >/srv/a/b");
    for (flag, path) in [("+i", "srv/a/b"), ("+a", "srv/a")] {
        let flagged = Command::new("chattr").arg(flag).arg(host.root().join(path)).status();
        assert!(flagged.unwrap().success());
    }
    let start = Instant::now();
    host.down().unwrap();
    lab.close().unwrap();
    println!("down after {:?}", start.elapsed());
    no_trace(&id);
}

fn no_trace(id: &str) {
    assert_eq!(processes(id), [] as [String; 0]);
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(id), "{mounts}");
    assert!(!Cache::default_dir().join("rehearse").join(id).exists());
    let script = "mount -t cgroup2 cgroup2 /sys/fs/cgroup; find /sys/fs/cgroup -name \"*$0*\"";
    let groups = Command::new("unshare").args(["-m", "sh", "-c", script, id]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&groups.stdout), "");
}

/// A bundle with a stand-in for the installer: a script that does what `words` say. It makes an account-like file,
/// a unit and its own state, and puts them back with their times.
fn bundle(folder: &Path, spoil: &str) -> PathBuf {
    let inner = folder.join("mentat-1-standin");
    fs::create_dir(&inner).unwrap();
    let manifest = format!(
        r#"{{"host":{{"name":"mentat","arch":"{}"}},"phases":{{"install":[{{"id":"web/file"}}],"activate":[{{"id":"web/unit"}}]}}}}"#,
        std::env::consts::ARCH
    );
    fs::write(inner.join("manifest.json"), manifest).unwrap();
    let installer = inner.join("chom-install");
    fs::write(&installer, STANDIN.replace("#SPOIL#", spoil)).unwrap();
    fs::set_permissions(&installer, fs::Permissions::from_mode(0o755)).unwrap();
    let tarball = folder.join("mentat-1-standin.tar.gz");
    let tar =
        Command::new("tar").arg("czf").arg(&tarball).arg("-C").arg(folder).arg("mentat-1-standin").status();
    assert!(tar.unwrap().success());
    tarball
}

const STANDIN: &str = r#"#!/bin/bash
state=/var/lib/chom; fail=; interrupt=; word=install; spoil=
while [ $# -gt 0 ]; do case $1 in
--fail-at) fail=$2; shift;; --interrupt-at) interrupt=$2; shift;; --yes|--json) ;; *) word=$1;; esac; shift; done
folders="/var/lib /etc /etc/systemd/system /etc/systemd/system/multi-user.target.wants"
end() { echo "{\"format\":1,\"exit\":$1,\"transaction\":\"1\",\"changed\":$2,\"effects\":${effects:-0},\"checks\":[{\"id\":\"web/up\",\"passed\":${up:-true},\"severity\":\"fail\"}],\"proof\":null}"; exit $1; }
undo() {
  systemctl disable -q --now web 2>/dev/null; rm -f /etc/systemd/system/web.service /etc/web.conf; systemctl daemon-reload
  times=$(cat $state/times); rm -r $state
  while IFS='|' read -r path time; do touch -d "$time" "$path"; done <<<"$times"
  end $1 '[]'
}
step() { echo "step $1" >&2; [ "$fail" != "$1" ] || undo 4; [ "$interrupt" != "$1" ] || kill -INT $$; }
trap 'undo 4' INT
eval "$(cat <<'SPOIL'
#SPOIL#
SPOIL
)"
case $word in
install)
  if [ -d $state ]; then eval "$second"; end 0 '[]'; fi
  times=$(for f in $folders; do echo "$f|$(stat -c %y $f)"; done); mkdir $state; echo "$times" >$state/times
  step web/file; echo web >/etc/web.conf
  step web/unit; printf '[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n' >/etc/systemd/system/web.service
  systemctl daemon-reload; systemctl enable -q --now web; eval "$spoil"; effects=4
  step check; step commit
  end 0 '["web/file","web/unit"]';;
rollback) effects=4; eval "$back"; undo 0;;
status) end 0 '[]';;
esac
"#;

fn rehearse(tarball: &Path, further: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_chom-bundle"))
        .args(["rehearse", "--json", "--suite", "trixie", "--bundle"])
        .arg(tarball)
        .args(further)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

fn verdict(spoil: &str, further: &[&str]) -> (i32, Value) {
    let folder = tempfile::tempdir().unwrap();
    let output = rehearse(&bundle(folder.path(), spoil), further).wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let last = text.lines().last().expect("a last line of JSON");
    (output.status.code().unwrap(), serde_json::from_str(last).unwrap())
}

#[test]
fn a_bundle_that_keeps_its_word_passes_with_every_fault() {
    let (code, report) = verdict("", &["--fail-at", "all", "--interrupt-at", "all"]);
    assert_eq!((code, &report["passed"]), (0, &Value::Bool(true)), "{report:#}");
    assert_eq!((&report["installed"], &report["differences"]), (&Value::Bool(true), &serde_json::json!([])));
    let faults = report["faults"].as_array().unwrap();
    assert_eq!(faults.len(), 8, "two steps, the checks and the commit, each failed and interrupted");
    assert!(faults.iter().all(|fault| fault["exit"] == 4 && fault["differences"] == serde_json::json!([])));
    assert_eq!(report["checks"][0]["id"], "web/up");
    assert_eq!(
        (&report["second_run"]["effects"], &report["second_run"]["restarted"]),
        (&0.into(), &serde_json::json!([]))
    );
    assert!(report["second_run"]["ms"].as_f64().unwrap() > 0.0);
    assert_eq!(report["rollback"]["exit"], 0);
}

#[test]
fn a_bundle_that_leaves_something_fails_and_it_is_named() {
    let (code, report) = verdict("back='echo left >/opt/left'", &[]);
    assert_eq!(code, 1);
    let names: Vec<&str> =
        report["differences"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["/opt", "/opt/left"]);
}

#[test]
fn a_second_run_that_restarts_something_fails_and_it_is_named() {
    let (code, report) = verdict("second='systemctl restart web'", &[]);
    assert_eq!(
        (code, &report["second_run"]["restarted"]),
        (1, &serde_json::json!(["web.service"])),
        "{report:#}"
    );
}

#[test]
fn a_bundle_that_cannot_be_installed_and_harms_nothing_ends_with_4() {
    let (code, report) = verdict("spoil='undo 4'", &[]);
    assert_eq!(
        (code, &report["installed"], &report["rollback"]),
        (4, &Value::Bool(false), &Value::Null),
        "{report:#}"
    );
    assert_eq!(report["differences"], serde_json::json!([]));
}

#[test]
fn what_is_there_before_is_part_of_what_must_be_there_after() {
    let folder = tempfile::tempdir().unwrap();
    let (before, carried) = (folder.path().join("before.sh"), folder.path().join("note"));
    fs::write(&before, "#!/bin/sh\nset -e\ncp note /etc/web.conf\n").unwrap();
    fs::write(&carried, "by hand\n").unwrap();
    // The stand-in knows nothing of a file that was there: it deletes it.
    let (code, report) =
        verdict("", &["--before", before.to_str().unwrap(), "--carry", carried.to_str().unwrap()]);
    assert_eq!(code, 1);
    assert_eq!(report["differences"][0]["name"], "/etc/web.conf", "{report:#}");
}

#[test]
fn a_wrong_step_a_foreign_suite_and_no_bundle_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let tarball = bundle(folder.path(), "");
    for (further, word) in
        [(["--fail-at", "web/nothing"], "web/nothing"), (["--suite", "sid"], "known releases")]
    {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chom-bundle"));
        let output = command.args(["rehearse", "--bundle"]).arg(&tarball).args(further).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && said.contains(word), "{said}");
    }
}

/// Starts a rehearsal whose installer never ends, waits until it runs, and gives the rehearsal and its id.
fn stuck(folder: &Path) -> (Child, String) {
    // Told apart from that of another test by the folder's random name.
    let number: u64 =
        folder.display().to_string().bytes().fold(7, |sum, byte| (sum * 31 + u64::from(byte)) % 1_000_000);
    let sleep = format!("sleep 4242{number:06}");
    let child = rehearse(&bundle(folder, &format!("spoil='{sleep}'")), &[]);
    let deadline = Instant::now() + Duration::from_secs(300);
    while processes(&sleep).iter().all(|line| !line.starts_with(&sleep)) {
        assert!(Instant::now() < deadline, "the rehearsal did not reach the installer");
        thread::sleep(Duration::from_millis(50));
    }
    let rooms = fs::read_dir(Cache::default_dir().join("rehearse")).unwrap().flatten();
    let mut ids = rooms.map(|room| room.file_name().to_string_lossy().into_owned());
    let id = ids.find(|id| id.starts_with(&format!("{}-", child.id()))).expect("the room of the rehearsal");
    assert!(!processes(&id).is_empty());
    (child, id)
}

#[test]
fn a_rehearsal_that_is_interrupted_cleans_up() {
    let folder = tempfile::tempdir().unwrap();
    let (mut child, id) = stuck(folder.path());
    let start = Instant::now();
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    println!("stopped after {:?}", start.elapsed());
    no_trace(&id);
}

#[test]
fn a_rehearsal_that_is_killed_takes_its_host_along_and_the_next_one_sweeps() {
    let folder = tempfile::tempdir().unwrap();
    let (mut child, id) = stuck(folder.path());
    child.kill().unwrap();
    child.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while !processes(&id).is_empty() {
        assert!(Instant::now() < deadline, "{:?}", processes(&id));
        thread::sleep(Duration::from_millis(20));
    }
    let talk = Talk::new(&say);
    lab(&talk).close().unwrap();
    no_trace(&id);
}
