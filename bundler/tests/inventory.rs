//! The commands that read and write the inventory, as a person runs them.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what a test cannot do is a failure of the test"
)]

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};
use std::time::{Duration, Instant};

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;
use tempfile::TempDir;

const GOOD: &str = "# mine\nversion: 1.0.0\nhosts:\n  mentat:\n    address: 10.0.0.1\n    stacks: [observability]\n    specs: { cpu: 1 } # seen\n";
const FACTS: &str = r#"{ "format": 1, "detected_at": "2026-11-21T20:00:00Z", "detection_source": "chom-install 0.1.0",
    "hostname": "mentat", "machine_id": null, "os_id": "debian", "os_version": "13", "os_codename": "trixie",
    "kernel": "6", "arch": "x86_64", "cpu": 2, "memory_mb": 1970, "disk_gb": 20, "disks": [],
    "addresses": ["10.0.0.1"], "ssh_host_keys": [] }"#;

struct Test {
    folder: TempDir,
}

impl Test {
    fn new(inventory: &str) -> Self {
        let test = Self { folder: tempfile::tempdir().unwrap() };
        fs::write(test.path("inventory.yaml"), inventory).unwrap();
        test
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self) -> String {
        fs::read_to_string(self.path("inventory.yaml")).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn run(&self, args: &[&str]) -> Command {
        let mut command = Command::cargo_bin("chom-bundle").unwrap();
        command.current_dir(self.folder.path()).env_remove("CHOM_INVENTORY").env("NO_COLOR", "1").args(args);
        command
    }
}

fn json(command: &mut Command, code: i32) -> Value {
    let output = command.assert().code(code).get_output().stdout.clone();
    serde_json::from_slice(&output).unwrap()
}

#[test]
fn a_good_inventory_is_said_to_be_good() {
    let test = Test::new(GOOD);
    test.run(&["check"]).assert().code(0).stdout(contains("mentat: ")).stderr(contains("no mistakes"));
    test.run(&["check", "-q"]).assert().code(0).stderr("");
    let said = json(&mut test.run(&["check", "--json"]), 0);
    assert_eq!((&said["ok"], said["problems"].as_array().unwrap().len()), (&Value::Bool(true), 0));
}

#[test]
fn every_mistake_is_told_at_once_with_place_and_remedy() {
    let text = GOOD
        .replace("10.0.0.1", "0.0.0.0")
        .replace("cpu", "cpus")
        .replace("[observability]", "[observabilty]");
    let test = Test::new(&text);
    test.run(&["check"]).assert().code(2).stdout("").stderr(
        contains("error: 3 problems")
            .and(contains("inventory.yaml:5:14: `hosts.mentat.address`: `0.0.0.0` is a placeholder"))
            .and(contains("inventory.yaml:6:14: there is no stack `observabilty`"))
            .and(contains("= did you mean `observability`?"))
            .and(contains("inventory.yaml:7:14: unknown key `cpus` in `hosts.mentat.specs`"))
            .and(contains("host is now: ")),
    );
    let said = json(&mut test.run(&["check", "--json"]), 2);
    let lines: Vec<_> =
        said["problems"].as_array().unwrap().iter().map(|p| p["line"].as_u64().unwrap()).collect();
    assert_eq!(lines, [5, 6, 7]);
    // Everything else refuses such an inventory in the same way.
    test.run(&["facts", "--from", "x"]).assert().code(2).stderr(contains("3 problems"));
}

#[test]
fn explain_names_the_origin_of_every_value() {
    let test = Test::new(GOOD);
    let key = "components.prometheus.retention";
    let set = format!("mentat.{key}=7d");
    test.run(&["explain", "--host", "mentat", key, "--set", &set])
        .env("CHOM__MENTAT__COMPONENTS__PROMETHEUS__RETENTION", "6d")
        .assert()
        .code(0)
        .stdout(
            contains("components.prometheus.retention  7d   --set mentat.components.prometheus.retention\n")
                .and(contains(
                    "6d   environment CHOM__MENTAT__COMPONENTS__PROMETHEUS__RETENTION (overridden)",
                ))
                .and(contains("15d  targets/observability/prometheus.yaml (built in):")),
        );
    let said = json(&mut test.run(&["explain", "address", "--json"]), 0);
    assert_eq!(said["hosts"][0]["values"][0]["layers"][0]["origin"]["line"], 5);
    test.run(&["explain", "--host", "mentta"]).assert().code(2).stderr(contains("did you mean `mentat`?"));
    test.run(&["explain", "adress"]).assert().code(2).stderr(contains("did you mean `address`?"));
}

#[test]
fn the_schema_is_json_and_knows_the_components() {
    let schema = json(&mut Test::new(GOOD).run(&["schema"]), 0);
    let retention = "/$defs/HostFile/properties/components/properties/prometheus/properties/retention/type";
    assert_eq!(schema.pointer(retention).unwrap(), &serde_json::json!(["string", "null"]));
}

#[test]
fn a_fresh_inventory_lacks_nothing_but_the_address() {
    let test = Test::new(GOOD);
    test.run(&["init"]).assert().code(2).stderr(contains("inventory.yaml is there already"));
    assert_eq!(test.text(), GOOD);
    test.run(&["init", "--output", "new.yaml"]).assert().code(0);
    let said = json(&mut test.run(&["check", "--json", "--inventory", "new.yaml"]), 2);
    let problems = said["problems"].as_array().unwrap();
    assert_eq!(problems.len(), 1, "{problems:#?}");
    assert!(problems[0]["message"].as_str().unwrap().contains("CHANGE_ME"));
    let set = ["check", "--inventory", "new.yaml", "--set", "mentat.address=10.0.0.1"];
    test.run(&set).assert().code(0);
}

#[test]
fn an_old_inventory_reads_unchanged_and_converts() {
    let old = "observability:\n  hostname: mentat\n  ip: 10.0.0.1\n  config: { retention_days: 30 }\n";
    let test = Test::new(old);
    let retention = ["explain", "components.prometheus.retention"];
    test.run(&retention).assert().code(0).stdout(contains("30d").and(contains("inventory.yaml:4:29")));
    test.run(&["init", "--from", "inventory.yaml", "--output", "new.yaml"]).assert().code(0);
    test.run(&retention).args(["--inventory", "new.yaml"]).assert().code(0).stdout(contains("30d"));
    test.run(&["init", "--from", "new.yaml", "--output", "-"])
        .assert()
        .code(2)
        .stderr(contains("present shape"));
    assert_eq!(test.text(), old);
}

#[test]
fn facts_are_compared_written_and_backed_up() {
    let test = Test::new(GOOD);
    fs::write(test.path("facts.json"), FACTS).unwrap();
    fs::set_permissions(test.path("inventory.yaml"), fs::Permissions::from_mode(0o600)).unwrap();
    test.run(&["facts", "--from", "facts.json"]).assert().code(0).stdout(contains("differs"));
    assert_eq!(test.text(), GOOD);
    test.run(&["facts", "--from", "facts.json", "--write"]).assert().code(0).stderr(contains("as it was: "));
    let written = GOOD.replace(
        "{ cpu: 1 }",
        "{ cpu: 2, memory_mb: 1970, disk_gb: 20, detected_at: \"2026-11-21T20:00:00Z\", detection_source: \"chom-install 0.1.0\" }",
    );
    assert_eq!(test.text(), written);
    assert_eq!(test.names(), ["facts.json", "inventory.yaml", "inventory.yaml.20261121T200000Z.bak"]);
    assert_eq!(fs::read_to_string(test.path("inventory.yaml.20261121T200000Z.bak")).unwrap(), GOOD);
    let mode = fs::metadata(test.path("inventory.yaml")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let again = json(&mut test.run(&["facts", "--from", "facts.json", "--write", "--json"]), 0);
    assert_eq!(again["hosts"][0]["saved"], "unchanged");
    assert_eq!(test.names().len(), 3);
    fs::write(test.path("facts.json"), FACTS.replace("x86_64", "aarch64")).unwrap();
    test.run(&["facts", "--from", "facts.json", "--write"])
        .assert()
        .code(2)
        .stderr(contains("another machine"));
    assert_eq!(test.text(), written);
}

// Peak memory of a child, from the kernel, in MiB.
fn peak_mib(test: &Test, path: &Path) -> u64 {
    let program = assert_cmd::cargo::cargo_bin("chom-bundle");
    let script = "\"$0\" check --inventory \"$1\" > /dev/null 2>&1 & pid=$!; peak=0; \
                  while read -r _ now _ < <(grep -s VmHWM /proc/$pid/status) && [ -n \"$now\" ]; do peak=$now; done; \
                  wait $pid; echo $? $peak";
    let output = Process::new("bash")
        .args(["-c", script])
        .arg(program)
        .arg(path)
        .current_dir(test.folder.path())
        .stderr(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let mut words = said.split_whitespace();
    assert_eq!(words.next(), Some("2"), "{said}");
    words.next().unwrap().parse::<u64>().unwrap() / 1024
}

#[test]
fn bombs_and_giants_are_refused_quickly_in_little_memory() {
    let mut bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n".to_owned();
    for (name, below) in "bcdefghi".chars().zip("abcdefgh".chars()) {
        bomb.push_str(&format!("{name}: &{name} [{}]\n", vec![format!("*{below}"); 9].join(",")));
    }
    let test = Test::new(&bomb);
    let giant = test.path("giant.yaml");
    fs::File::create(&giant).unwrap().set_len(100 * 1024 * 1024).unwrap();
    for (path, says) in [
        (test.path("inventory.yaml"), "too many values"),
        (giant, "larger than 1024 KiB"),
        ("/dev/zero".into(), "larger than"),
    ] {
        let start = Instant::now();
        test.run(&["check", "--inventory"]).arg(&path).assert().code(2).stderr(contains(says));
        assert!(start.elapsed() < Duration::from_secs(5), "{}", path.display());
        assert!(peak_mib(&test, &path) < 64, "{}", path.display());
    }
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let test = Test::new(GOOD);
    let program = assert_cmd::cargo::cargo_bin("chom-bundle");
    let mut child = Process::new(program)
        .arg("schema")
        .current_dir(test.folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!((child.wait().unwrap().code(), said.as_str()), (Some(0), ""));
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = Process::new(assert_cmd::cargo::cargo_bin("chom-bundle"));
    let status =
        command.arg("schema").current_dir(test.folder.path()).stdout(full).stderr(Stdio::null()).status();
    assert_eq!(status.unwrap().code(), Some(1));
}

#[test]
fn stacks_beside_the_inventory_and_by_option_are_laid_over() {
    let test = Test::new(&GOOD.replace("[observability]", "[tiny]"));
    test.run(&["check"]).assert().code(2).stderr(contains("there is no stack `tiny`"));
    let folder = test.path("more/targets/tiny");
    fs::create_dir_all(&folder).unwrap();
    let stack =
        "summary: t\nrequires: { cpu: 1, memory_mb: 1, disk_gb: 1 }\nroot: /opt/tiny\nowner: root:root\n";
    fs::write(folder.join("stack.yaml"), stack).unwrap();
    fs::write(
        folder.join("web.yaml"),
        "summary: w\nsettings:\n  port: { type: port, default: 80, help: p }\n",
    )
    .unwrap();
    let set = "mentat.components.web.port=81";
    test.run(&["check", "--targets", "more", "--set", set]).assert().code(0).stdout("mentat: web\n");
    test.run(&["check", "--targets", "none"])
        .assert()
        .code(2)
        .stderr(contains("no stacks and no templates here"));
    fs::rename(test.path("more/targets"), test.path("targets")).unwrap();
    test.run(&["check"]).assert().code(0).stdout("mentat: web\n");
    fs::write(test.path("targets/tiny/web.yaml"), "summary: w\nbogus: 1\n").unwrap();
    test.run(&["check"]).assert().code(2).stderr(contains("targets/tiny/web.yaml:2:1: unknown key `bogus`"));
}

#[test]
fn what_check_passes_is_rendered_and_one_mistake_is_one_message_at_its_line() {
    let host = "version: 1.0.0\nhosts:\n  mentat:\n    address: 10.0.0.1\n    stacks: [observability]\n    components:\n";
    let hash = "$6$a$b";
    for (line, mistake) in [
        ("prometheus: { port: 9093 }", "is already that of"),
        ("alertmanager: { email_to: a@b.c, smtp_from: a@b.c }", "`smtp_host` is not"),
        ("alertmanager: { email_to: a@b.c, smtp_host: mail.internal }", "`smtp_from` is not"),
        ("alertmanager: { smtp_user: u }", "`smtp_password_file` is not"),
        ("promtail: { enabled: true }", "promtail has nowhere to send logs to"),
        ("nginx: { users: { bob: in the clear } }", "is not a crypt hash"),
        ("nginx: { users: { \"bob:x\\nroot\": $6$a$b } }", "is not a name"),
        ("nginx: { allow: [all] }", "is not an address or a network"),
        ("grafana: { enabled: true }", "`admin_password_file` is not set"),
        ("nginx: { enabled: false }", "nginx_exporter is enabled, and nginx"),
        ("loki: { tenant_limits: { audit: nonsense } }", "is not a duration"),
        ("prometheus: { external_url: \"https://a/$x\" }", "is not an address"),
    ] {
        let test = Test::new(&format!("{host}      {line}\n"));
        let check = test.run(&["--json", "check"]).assert().code(2);
        let told: Value = serde_json::from_slice(&check.get_output().stdout).unwrap();
        let problems = told["problems"].as_array().unwrap();
        assert_eq!(problems.len(), 1, "{line}: {told:#}");
        assert_eq!(
            (problems[0]["line"].as_u64(), &problems[0]["file"]),
            (Some(7), &"inventory.yaml".into()),
            "{told:#}"
        );
        assert!(problems[0]["message"].as_str().unwrap().contains(mistake), "{told:#}");
        assert!(!told.to_string().contains("in the clear"), "{told:#}");
        test.run(&["render", "--host", "mentat"]).assert().code(2).stderr(contains(mistake));
    }
    for line in [
        format!("nginx: {{ users: {{ bob: {hash} }}, allow: [10.0.0.0/8] }}"),
        "alertmanager: { email_to: a@b.c, smtp_host: mail.internal, smtp_from: a@b.c }".to_owned(),
        "promtail: { enabled: true, loki_url: \"http://logs.internal:3100\" }".to_owned(),
        "grafana: { enabled: true, admin_password_file: /root/grafana }".to_owned(),
    ] {
        let test = Test::new(&format!("{host}      {line}\n"));
        test.run(&["check"]).assert().success();
        test.run(&["render", "--host", "mentat"]).assert().success();
    }
}

#[test]
fn what_is_probably_not_meant_is_a_warning() {
    let small = "version: 1.0.0\nhosts:\n  mentat:\n    address: 10.0.0.1\n    stacks: [observability]\n    specs: { memory_mb: 64 }\n    ssh: { key: nowhere }\n";
    let test = Test::new(small);
    test.run(&["check"]).assert().success().stderr(
        contains("inventory.yaml:6:")
            .and(contains("memory_mb 64"))
            .and(contains("there is no file `nowhere`")),
    );
    let bad = small.replace("mentat", "Men tat");
    Test::new(&bad)
        .run(&["check"])
        .assert()
        .code(2)
        .stderr(contains("error: 1 problem").and(contains("Men tat")));
}
