//! Every stack that is shipped, on bare hosts of each Debian release: installed, installed again, rolled back, compared.
//!
//! The observability stack is that of the suite `hosts`, on both releases. Here are the others: the usual run takes Debian
//! 13, `CHOM_MATRIX=full` the rest.

use std::path::Path;

use chom_format::manifest::Suite;
use chom_tests::fleet::{of_inventory, there_and_back};
use chom_tests::matrix;

const LANDSRAAD: &str = "
version: 1.0.0
hosts:
  landsraad:
    address: 10.77.0.20
    domain: landsraad.internal
    suite: SUITE
    arch: x86_64
    stacks: [vpsmanager]
    specs: { cpu: 2, memory_mb: 2048, disk_gb: 20 }
    components:
      mariadb: { buffer_pool: 64MB }
      php_fpm_exporter: { enabled: EXPORTER }
";

/// The checks that say that all of it was there, and at work.
const HEALTHY: [&str; 7] = [
    "mariadb/answers",
    "redis/answers",
    "nginx/steady",
    "php_fpm/socket",
    "php_fpm/steady",
    "mariadb_exporter/ready",
    "node_exporter/ready",
];

fn inventory(suite: Suite) -> String {
    // Debian 12 has no exporter for PHP.
    let exporter = (suite == Suite::Trixie).to_string();
    LANDSRAAD.replace("SUITE", suite.name()).replace("EXPORTER", &exporter)
}

fn vpsmanager(suite: Suite) {
    let name = format!("vpsmanager-{}", suite.name());
    seen(&of_inventory(&inventory(suite), "landsraad", None, &name, &[]));
}

fn seen(bundle: &Path) {
    let report = there_and_back(bundle.to_owned());
    for wanted in HEALTHY {
        let seen = report.checks.iter().find(|check| check["id"] == wanted);
        assert!(seen.is_some_and(|check| check["passed"] == true), "{wanted}: {seen:?}");
    }
}

/// Both stacks on one host: they share nginx, its exporter, the node exporter and the firewall.
fn both() {
    let inventory = inventory(Suite::Trixie).replace("[vpsmanager]", "[observability, vpsmanager]");
    seen(&of_inventory(&inventory, "landsraad", None, "both-stacks", &[]));
}

#[test]
fn vpsmanager_there_and_back() {
    let suites: &[Suite] = if matrix::part().is_some() { &Suite::ALL } else { &[Suite::Trixie] };
    suites.iter().copied().for_each(vpsmanager);
    if matrix::part().is_some() {
        both();
    }
}
