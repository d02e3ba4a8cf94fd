//! A stack that is not ours: two components as YAML and templates only. They install, check, upgrade, and
//! roll back one transaction at a time.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use chom_bundle::rehearse::{Capture, Host};
use chom_format::manifest::Suite;
use chom_tests::fleet::{Unpacked, clear, must, on_host, scratch, tarball, unpack};
use chom_tests::{checkout, dist, succeed};

const INVENTORY: &str = "
version: 1.0.0
hosts:
  mentat:
    address: 10.77.0.10
    suite: trixie
    arch: x86_64
    stacks: [shop]
    specs: { cpu: 1, memory_mb: 256, disk_gb: 2 }
";

fn build(name: &str, set: &[&str]) -> PathBuf {
    let output = scratch(&format!("shop-{name}"));
    clear(&output);
    let inventory = output.join("inventory.yaml");
    fs::write(&inventory, INVENTORY).unwrap();
    let mut command = Command::new(dist("chom-bundle"));
    command.arg("--inventory").arg(&inventory);
    command.arg("--targets").arg(checkout().join("tests/suites/shop"));
    for value in set {
        command.arg("--set").arg(value);
    }
    succeed(command.args(["build", "--host", "mentat", "--output"]).arg(&output));
    tarball(&output)
}

fn install(host: &Host, tarball: &Path) -> Unpacked {
    let there = unpack(host, tarball);
    let said = there.installer(host, &["--yes"]);
    assert_eq!(said.code, 0, "{}", said.text);
    there
}

fn pid(host: &Host, unit: &str) -> String {
    must(host, &["systemctl", "show", "--property=MainPID", "--value", unit]).trim().to_owned()
}

#[test]
fn two_components_as_data_live_a_whole_life() {
    let (first, second) = (
        build("first", &[]),
        build("second", &["mentat.components.web.greeting=welcome", "mentat.components.redis.memory=64MB"]),
    );
    on_host(Suite::Trixie, |host| {
        let bare = host.capture().unwrap();
        install(host, &first);
        let installed = host.capture().unwrap();
        assert!(installed.packages.contains_key("redis-server"), "the package is there");
        let (web, redis) = (pid(host, "shop-web.service"), pid(host, "redis-server.service"));

        let upgraded = install(host, &second);
        assert_eq!(pid(host, "shop-web.service"), web, "a page is read from the disk: nothing to restart");
        assert_ne!(pid(host, "redis-server.service"), redis, "a new bound for memory needs a restart");
        assert_eq!(must(host, &["redis-cli", "config", "get", "maxmemory"]).lines().nth(1), Some("67108864"));

        let said = upgraded.installer(host, &["rollback", "--yes"]);
        assert_eq!(said.code, 0, "{}", said.text);
        let differences = Capture::diff(&installed, &host.capture().unwrap());
        // The database writes its own data while it runs; nothing else may differ.
        let ours: Vec<_> =
            differences.iter().filter(|difference| !difference.name.starts_with("/var/lib/redis")).collect();
        assert!(ours.is_empty(), "{ours:?}");
        assert_eq!(must(host, &["redis-cli", "config", "get", "maxmemory"]).lines().nth(1), Some("33554432"));

        let said = upgraded.installer(host, &["rollback", "--yes"]);
        assert_eq!(said.code, 0, "{}", said.text);
        assert_eq!(Capture::diff(&bare, &host.capture().unwrap()), Vec::new());
    });
}
