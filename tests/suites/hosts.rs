//! The main promise on bare, air-gapped Debian hosts: install, healthy, nothing to do, and back exactly.

use chom_bundle::rehearse::{Cancel, Report, RunOptions, rehearse};
use chom_format::manifest::Suite;
use chom_tests::fleet::{bundle, lab_options, talk};

#[test]
fn debian_13_there_and_back() {
    there_and_back(Suite::Trixie);
}

#[test]
fn debian_12_there_and_back() {
    there_and_back(Suite::Bookworm);
}

fn there_and_back(suite: Suite) {
    let options = RunOptions {
        lab: lab_options(),
        bundle: bundle(suite),
        host: None,
        suite: None,
        faults: Vec::new(),
        carry: Vec::new(),
        before: Vec::new(),
        installer_args: Vec::new(),
    };
    let report = rehearse(&options, None, &talk(), &Cancel::default()).unwrap();
    assert_eq!(report.problems, Vec::<String>::new());
    assert!(report.passed && report.installed);
    assert_eq!(report.differences, Vec::new(), "the host is not as before");
    assert!(report.paths > 5000, "only {} paths were compared", report.paths);
    assert_the_stack_was_seen_healthy(&report);

    let second = report.second_run.as_ref().unwrap();
    assert_eq!((second.exit, second.effects), (0, Some(0)));
    assert_eq!(second.restarted, Vec::<String>::new());
    let rollback = report.rollback.as_ref().unwrap();
    assert!(rollback.proof.is_some(), "a rollback without proof");
    println!("second run: {} ms", second.ms);
}

/// Green by the checks that matter: a stack whose checks were forgotten would be green as well.
fn assert_the_stack_was_seen_healthy(report: &Report) {
    for wanted in [
        "prometheus/ready",
        "prometheus/up-prometheus",
        "prometheus/up-node",
        "prometheus/up-alertmanager",
        "prometheus/rule-groups",
        "prometheus/alertmanager-found",
        "alertmanager/ready",
        "node_exporter/ready",
        "blackbox_exporter/ready",
        "nginx/health",
        "nginx/path-prometheus",
        "nginx/path-alertmanager",
    ] {
        let seen = report.checks.iter().find(|check| check["id"] == wanted);
        assert!(seen.is_some_and(|check| check["passed"] == true), "{wanted}: {seen:?}");
    }
}
