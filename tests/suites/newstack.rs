//! A stack that is not ours: two components as YAML and templates only. They install, check, upgrade, and
//! roll back one transaction at a time.

use std::path::Path;

use chom_bundle::rehearse::{Capture, Host};
use chom_format::manifest::Suite;
use chom_tests::fleet::{Unpacked, must, on_host, shop, unpack};

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
        shop("first", &[]),
        shop("second", &["mentat.components.web.greeting=welcome", "mentat.components.redis.memory=64MB"]),
    );
    on_host(Suite::Trixie, |host| {
        let bare = host.capture().unwrap();
        install(host, &first);
        let installed = host.capture().unwrap();
        assert!(
            installed.packages.keys().any(|name| name.starts_with("redis-server")),
            "the package is there"
        );
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
