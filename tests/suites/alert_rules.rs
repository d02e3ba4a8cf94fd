//! The alert rules under the real promtool: each alert has a case in which it fires, with the very words
//! that a person will read, and one in which it stays quiet.
//!
//! The dashboards are held to the same: what they ask must be a query, of a data source that is provisioned.
//!
//! promtool comes from Debian's package by the control machine's own apt sources; nothing is installed.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use chom_tests::{checkout, run, succeed};

/// The alerts that operators know from the system before, under the names that they have now: two pairs
/// of rules shared a name, and the halves that watch exporters say so now.
const KNOWN: [&str; 28] = [
    "InstanceDown",
    "HighCpuUsage",
    "HighMemoryUsage",
    "DiskSpaceLow",
    "DiskSpaceCritical",
    "PostgreSQLDown",
    "PostgreSQLHighConnections",
    "PostgreSQLDeadlocks",
    "RedisDown",
    "RedisMemoryHigh",
    "NginxDown",
    "NginxHighRequestRate",
    "PHPFPMDown",
    "PHPFPMHighProcesses",
    "ApplicationEndpointDown",
    "SlowResponseTime",
    "ExporterDown",
    "ExporterScrapeSlow",
    "ExporterScrapeErrors",
    "PostgreSQLExporterDown",
    "RedisExporterDown",
    "NginxExporterDown",
    "ExporterRestarted",
    "PrometheusTargetMissing",
    "PrometheusTooManyFailedScrapes",
    "AlertmanagerDown",
    "GrafanaDown",
    "LokiDown",
];

/// What was never watched before.
const ADDED: [&str; 4] = ["CertificateExpiresSoon", "ServiceRestartLoop", "BackupTooOld", "DeploymentFailed"];

#[test]
fn every_alert_fires_when_it_must_and_is_quiet_otherwise() {
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let promtool = promtool(scratch.path());
    let rules = scratch.path().join("rules");
    fs::create_dir(&rules).expect("the folder for rules");
    for name in rule_files() {
        let text = rendered(&templates().join(format!("{name}.yml.tera")));
        fs::write(rules.join(format!("{name}.yml")), text).expect("a rule file");
        succeed(
            Command::new(&promtool)
                .args(["check", "rules", "--lint=all", "--lint-fatal"])
                .arg(rules.join(format!("{name}.yml"))),
        );

        let cases = format!("{name}.test.yml");
        fs::copy(checkout().join("tests/rules").join(&cases), scratch.path().join(&cases))
            .expect("its cases");
        succeed(Command::new(&promtool).args(["test", "rules", &cases]).current_dir(scratch.path()));
    }
}

#[test]
fn no_alert_is_without_both_kinds_of_case() {
    let mut seen = BTreeSet::new();
    for name in rule_files() {
        let rules = rendered(&templates().join(format!("{name}.yml.tera")));
        let cases =
            fs::read_to_string(checkout().join(format!("tests/rules/{name}.test.yml"))).expect("its cases");
        for alert in rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
            assert!(seen.insert(alert.to_owned()), "{alert} is defined twice");
            for kind in ["fires", "stays quiet"] {
                assert!(
                    cases.contains(&format!("- name: '{alert} {kind}:")),
                    "{alert} has no case in which it {kind}"
                );
            }
        }
    }
    for alert in KNOWN.iter().chain(&ADDED) {
        assert!(seen.contains(*alert), "{alert} is gone");
    }
}

/// Mail and chat name an alert by these two, and routing goes by the labels.
#[test]
fn every_alert_can_be_routed_and_read() {
    for name in rule_files() {
        let rules = rendered(&templates().join(format!("{name}.yml.tera")));
        for rule in rules.split("- alert: ").skip(1) {
            let alert = rule.lines().next().unwrap_or_default();
            for part in ["severity: ", "service: ", "summary: ", "description: "] {
                assert!(rule.contains(part), "{alert} has no {part}");
            }
        }
    }
}

#[test]
fn every_dashboard_asks_a_known_source_a_real_query() {
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let promtool = promtool(scratch.path());
    let mut rules = String::from("groups:\n  - name: dashboards\n    rules:\n");
    let mut names = BTreeSet::new();
    for entry in
        fs::read_dir(checkout().join("templates/observability/grafana/dashboards")).expect("the dashboards")
    {
        let path = entry.expect("a dashboard").path();
        let text = fs::read_to_string(&path).expect("a dashboard");
        // Grafana's braces are the templates' braces.
        assert!(
            !text.contains("{{") && !text.contains("{%"),
            "{}: braces that a template would take",
            path.display()
        );
        let board: serde_json::Value =
            serde_json::from_str(&text).expect("JSON, and not wrapped as the API has it");
        let uid = board["uid"].as_str().expect("a fixed uid").to_owned();
        assert_eq!(Some(uid.as_str()), path.file_stem().and_then(|stem| stem.to_str()));
        for (panel, target) in board["panels"].as_array().expect("panels").iter().flat_map(targets) {
            let source = target["datasource"]["uid"].as_str().expect("a data source");
            assert!(["prometheus", "loki"].contains(&source), "{uid}: {source} is not provisioned");
            if source == "prometheus" {
                let query = target["expr"].as_str().expect("a query").replace("$__rate_interval", "5m");
                let quoted = serde_json::to_string(&query).expect("a text");
                let number = names.len();
                writeln!(rules, "      - {{ record: 'board:{number}', expr: {quoted} }} # {uid}: {panel}")
                    .expect("a text");
            }
            names.insert(format!("{uid}: {panel} {}", target["refId"]));
        }
    }
    assert!(names.len() > 30, "only {} queries were found", names.len());
    let file = scratch.path().join("dashboards.yml");
    fs::write(&file, rules).expect("the queries as rules");
    succeed(Command::new(promtool).args(["check", "rules"]).arg(file));
}

fn targets(panel: &serde_json::Value) -> Vec<(&str, &serde_json::Value)> {
    let title = panel["title"].as_str().expect("a title");
    panel["targets"].as_array().expect("targets").iter().map(|target| (title, target)).collect()
}

fn templates() -> PathBuf {
    checkout().join("templates/observability/prometheus/rules")
}

fn rule_files() -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(templates())
        .expect("the rules")
        .filter_map(|entry| {
            entry.ok()?.file_name().into_string().ok()?.strip_suffix(".yml.tera").map(str::to_owned)
        })
        .collect();
    names.sort();
    assert!(!names.is_empty(), "there are no rules");
    names
}

/// The rules use the braces that templates use, so each file is one raw block and nothing else.
fn rendered(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(text.matches("{%").count(), 2, "{}: one raw block and nothing else", path.display());
    text.replace("{% raw -%}\n", "").replace("{%- endraw %}", "")
}

fn promtool(scratch: &Path) -> PathBuf {
    // Debian 13 has it in a package of its own, Debian 12 in Prometheus's.
    for package in ["promtool", "prometheus"] {
        let fetched = run(Command::new("apt-get").args(["download", "-qq", package]).current_dir(scratch));
        if fetched.status.success() {
            break;
        }
    }
    let deb = fs::read_dir(scratch)
        .expect("the scratch folder")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .expect("promtool from Debian's archive: run `apt-get update` first");
    let tree = scratch.join("tree");
    succeed(Command::new("dpkg-deb").arg("-x").arg(&deb).arg(&tree));
    tree.join("usr/bin/promtool")
}
