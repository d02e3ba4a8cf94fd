//! A stack that is not ours: two components as YAML and templates only. They install, check, upgrade, and
//! roll back one transaction at a time.

use std::path::Path;

use chom_bundle::rehearse::{Capture, Host};
use chom_format::manifest::Suite;
use chom_tests::fleet::{Unpacked, must, on_host, shell, shop, unpack};

fn install(host: &Host, tarball: &Path) -> Unpacked {
    let there = unpack(host, tarball);
    let said = there.installer(host, &["--yes"]);
    assert_eq!(said.code, 0, "{}", said.text);
    there
}

fn pid(host: &Host, unit: &str) -> String {
    must(host, &["systemctl", "show", "--property=MainPID", "--value", unit]).trim().to_owned()
}

/// What systemd's journal has of the installer.
fn journal(host: &Host, matches: &[&str]) -> String {
    let argv = ["journalctl", "--quiet", "--output=cat", "--identifier=chom-install"];
    must(host, &[&argv[..], matches].concat())
}

/// Something that a restore left in clear, and that cannot be removed: whoever must act is told, `-q` or not.
fn clear_text_is_told(host: &Host, there: &Unpacked) {
    let left = "/var/lib/chom/restore";
    shell(host, &[&format!("mkdir {left}; mount -t tmpfs tmpfs {left}")]);
    let said = there.installer(host, &["recover", "--quiet"]);
    let warning =
        format!("what a restore has unpacked in clear stays in {left}, and is to be removed by hand");
    assert!(said.code == 0 && said.text.contains(&format!("warning: {warning}")), "{}", said.text);
    assert!(journal(host, &["PRIORITY=4"]).contains(&warning), "{}", journal(host, &[]));
    shell(host, &[&format!("umount {left}")]);
    let said = there.installer(host, &["recover"]);
    assert!(said.code == 0 && !said.text.contains("in clear"), "{}", said.text);
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
        let journal = journal(host, &["CHOM_TRANSACTION=1"]);
        for told in ["transaction 1 begins: mentat-", "] shop/release: release", "transaction 1 stands"] {
            assert!(journal.contains(told), "{told}:\n{journal}");
        }
        let (web, redis) = (pid(host, "shop-web.service"), pid(host, "redis-server.service"));

        let upgraded = install(host, &second);
        clear_text_is_told(host, &upgraded);
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
