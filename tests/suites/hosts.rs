//! The main promise on bare, air-gapped Debian hosts: install, healthy, nothing to do, and back exactly.

use std::path::PathBuf;

use chom_bundle::rehearse::Report;
use chom_format::manifest::Suite;
use chom_tests::fleet::{self, bundle, unhurried};

#[test]
fn debian_13_there_and_back() {
    there_and_back(unhurried(Suite::Trixie));
}

#[test]
fn debian_12_there_and_back() {
    there_and_back(bundle(Suite::Bookworm));
}

fn there_and_back(bundle: PathBuf) {
    assert_the_stack_was_seen_healthy(&fleet::there_and_back(bundle));
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
