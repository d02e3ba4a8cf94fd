//! What others do with the packages and accounts of a host after an installation is theirs: a rollback leaves it, says so,
//! and ends well; or it is refused before it begins.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use chom_bundle::rehearse::{Capture, Host};
use chom_format::manifest::Suite;
use chom_tests::fleet::{Said, Unpacked, of_stack, on_host, shell, unpack};

static TRIXIE: LazyLock<PathBuf> = LazyLock::new(|| of_stack("depot", "trixie", &[]));
static BOOKWORM: LazyLock<PathBuf> =
    LazyLock::new(|| of_stack("depot", "bookworm", &["mentat.suite=bookworm"]));
const INSTALL: [&str; 2] = ["--yes", "--no-confirm"];
const ROLLBACK: [&str; 2] = ["rollback", "--yes"];

/// Packages of other people, made on the host: `make NAME VERSION FIELDS`; `ours NAME` unpacks one of the bundle's.
const TOOLS: &str = r#"
make() {
    dir=/var/tmp/make; rm -rf $dir; mkdir -p $dir/DEBIAN $dir/usr/share/$1
    printf 'Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: nobody <root@localhost>\nDescription: theirs\n%b' \
        "$1" "$2" "$3" > $dir/DEBIAN/control
    echo "$2" > $dir/usr/share/$1/version
    dpkg-deb --root-owner-group -b $dir /var/tmp/$1.deb > /dev/null; rm -rf $dir
}
theirs() { make "$@"; dpkg -i /var/tmp/$1.deb > /dev/null 2>&1; rm /var/tmp/$1.deb; }
"#;

fn says(said: &Said, code: i32, words: &[&str]) {
    assert_eq!(said.code, code, "{}", said.text);
    for word in words {
        assert!(said.text.contains(word), "nothing of `{word}` in:\n{}", said.text);
    }
}

/// Lines of shell of other people who work on the host.
fn others(host: &Host, lines: &[&str]) -> String {
    shell(host, &[&[TOOLS], lines].concat())
}

fn installed(host: &Host, there: &Unpacked) {
    says(&there.installer(host, &INSTALL), 0, &["installed and healthy"]);
}

/// What is not as before, but for dpkg's own account of its work.
fn differences(before: &Capture, host: &mut Host) -> Vec<String> {
    let found = Capture::diff(before, &host.capture().unwrap());
    let memory = |name: &str| ["/var/lib/dpkg", "/var/log/"].iter().any(|place| name.starts_with(place));
    found.iter().filter(|found| !memory(&found.name)).map(|found| format!("{found:?}")).collect()
}

fn unrelated(suite: Suite, bundle: &Path) {
    on_host(suite, |host| {
        let there = unpack(host, bundle);
        others(host, &["theirs older 1; theirs leaving 1"]);
        let before = host.capture().unwrap();
        installed(host, &there);
        others(host, &["theirs new 1; theirs older 2; dpkg --purge leaving > /dev/null"]);
        let said = there.installer(host, &ROLLBACK);
        says(&said, 0, &["changed by others"]);
        let left = shell(host, &["dpkg-query -W -f '${Package} ${Version} ${db:Status-Status}\\n'"]);
        for line in ["new 1 installed", "older 2 installed"] {
            assert!(left.lines().any(|found| found == line), "{line}: {left}");
        }
        assert!(!left.contains("redis") && !left.contains("leaving"), "{left}");
        let added = |line: &String| line.contains("was not there") && !line.contains("new");
        let differing = differences(&before, host);
        assert!(!differing.iter().any(added), "{differing:#?}");
    });
}

#[test]
fn packages_of_others_stay_on_debian_13() {
    unrelated(Suite::Trixie, &TRIXIE);
}

#[test]
fn packages_of_others_stay_on_debian_12() {
    unrelated(Suite::Bookworm, &BOOKWORM);
}
