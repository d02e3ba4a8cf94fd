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

/// Packages of other people, made on the host: `make NAME VERSION FIELDS`; `newer FOLDER NAME` brings one of the bundle's in a newer version.
const TOOLS: &str = r#"
make() {
    dir=/var/tmp/make; rm -rf $dir; mkdir -p $dir/DEBIAN $dir/usr/share/$1
    printf 'Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: nobody <root@localhost>\nDescription: theirs\n%b' \
        "$1" "$2" "$3" > $dir/DEBIAN/control
    echo "$2" > $dir/usr/share/$1/version
    dpkg-deb --root-owner-group -b $dir /var/tmp/$1.deb > /dev/null; rm -rf $dir
}
newer() { # FOLDER NAME FIELDS
    for deb in $1/objects/*; do [ "$(dpkg-deb -f $deb Package 2>/dev/null)" = $2 ] && break; done
    dir=/var/tmp/make; dpkg-deb -R $deb $dir
    sed -i "s/^Version: .*/&+deb99u1/; s/^Depends: /&$3/" $dir/DEBIAN/control
    dpkg-deb --root-owner-group -b $dir /var/tmp/$2.deb > /dev/null; rm -r $dir
    dpkg --force-confold -i /var/tmp/$2.deb > /dev/null 2>&1; rm /var/tmp/$2.deb
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

/// Nothing differs, but for the time of a lock, which every dpkg of others moves.
fn is_as(before: &Capture, host: &mut Host) {
    let mut found = Capture::diff(before, &host.capture().unwrap());
    found.retain(|found| found.name != "/var/lib/dpkg/lock-frontend");
    assert_eq!(found, Vec::new());
}

fn packages(host: &Host) -> String {
    shell(host, &["dpkg-query -W -f '${Package} ${Version} ${db:Status-Status}\\n'"])
}

fn unrelated(suite: Suite, bundle: &Path) {
    on_host(suite, |host| {
        let there = unpack(host, bundle);
        others(host, &["theirs older 1; theirs leaving 1"]);
        let before = host.capture().unwrap();
        installed(host, &there);
        others(host, &["theirs new 1; theirs older 2; dpkg --purge leaving > /dev/null"]);
        let said = there.installer(host, &ROLLBACK);
        says(
            &said,
            0,
            &[
                "older 1 is 2 now",
                "new 1 is new",
                "leaving is removed",
                "host is now: taken back; what others",
            ],
        );
        assert!(!said.text.contains("host is now: as before"), "{}", said.text);
        let left = packages(host);
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

/// Ours were changed by others: removed, purged, brought in a newer version, held. They go, and all is as before.
#[test]
fn ours_go_whatever_others_made_of_them() {
    on_host(Suite::Trixie, |host| {
        let there = unpack(host, &TRIXIE);
        let before = host.capture().unwrap();
        for lines in [
            "dpkg --remove redis-server > /dev/null 2>&1",
            "dpkg --purge redis-server redis-tools > /dev/null 2>&1",
        ] {
            installed(host, &there);
            others(host, &[lines]);
            says(
                &there.installer(host, &ROLLBACK),
                0,
                &["as before, proved", "was removed by others already"],
            );
            is_as(&before, host);
        }
        installed(host, &there);
        others(
            host,
            &[
                "redis-cli set kept yes > /dev/null; redis-cli save > /dev/null",
                "echo '# by hand' >> /etc/default/redis-server",
                &format!("newer {} redis-server; newer {} liblzf1", there.folder, there.folder),
                "apt-mark hold redis-server > /dev/null",
                "grep -q 'hold ok installed' /var/lib/dpkg/status",
            ],
        );
        let said = there.installer(host, &ROLLBACK);
        says(
            &said,
            0,
            &["as before, proved", "package redis-server 5:", "+deb99u1, which others had brought"],
        );
        is_as(&before, host);
        let kept = shell(
            host,
            &[
                "grep -rl '# by hand' /var/lib/chom/attic/000003; ls -d /var/lib/chom/attic/000003/var_lib_redis.*/dump.rdb",
            ],
        );
        assert_eq!(kept.lines().count(), 2, "{kept}");
        for place in kept.lines() {
            assert!(
                said.text.contains(place.trim_end_matches("/dump.rdb")),
                "{place} is not named:\n{}",
                said.text
            );
        }
    });
}

/// A package of others needs one of ours: that stays with what it needs, and the rest goes.
#[test]
fn what_others_need_stays_and_is_named() {
    on_host(Suite::Trixie, |host| {
        let there = unpack(host, &TRIXIE);
        installed(host, &there);
        others(
            host,
            &[
                "theirs till 1 'Depends: redis-tools\\n'; theirs late 1; apt-mark manual redis-tools > /dev/null",
                &format!("newer {} redis-server 'late, '", there.folder),
            ],
        );
        let said = there.installer(host, &ROLLBACK);
        says(
            &said,
            0,
            &["package redis-tools 5:", "stays: till needs it", "host is now: taken back; what others"],
        );
        let left = packages(host);
        assert!(left.contains("redis-tools") && left.contains("late 1 installed"), "{left}");
        assert!(!left.contains("redis-server"), "{left}");
        shell(host, &["dpkg --audit | grep . && exit 1; redis-cli --version; ldconfig -p | grep -q liblzf"]);
        says(&there.installer(host, &["status"]), 0, &["without a transaction of ours"]);
        // And it can begin anew from there.
        installed(host, &there);
        says(&there.installer(host, &ROLLBACK), 0, &["as before, proved"]);
    });
}

/// What would not end well is refused before it begins.
#[test]
fn no_way_back_begins_that_would_end_half_way() {
    on_host(Suite::Trixie, |host| {
        let there = unpack(host, &TRIXIE);
        installed(host, &there);
        let list = "/var/lib/dpkg/status";
        for (spoil, mend, words) in [
            (
                "printf '#!/bin/sh\\nexit 1\\n' > /var/lib/dpkg/info/liblzf1:amd64.postinst
                 chmod 755 /var/lib/dpkg/info/liblzf1:amd64.postinst; sed -i '/^Package: liblzf1$/,/^$/s/ok installed/ok unpacked/' LIST"
                    .replace("LIST", list),
                "rm /var/lib/dpkg/info/liblzf1:amd64.postinst; dpkg --configure -a".to_owned(),
                ["liblzf1 is unpacked", "hint: dpkg --configure -a"],
            ),
            (
                format!("sed -i '/^Package: base-files$/,/^$/s/^Version: 13/Version: 14/' {list}"),
                format!("sed -i '/^Package: base-files$/,/^$/s/^Version: 14/Version: 13/' {list}"),
                ["leads to Debian 13, and this host has Debian 14", "built for Debian 14"],
            ),
        ] {
            others(host, &[&spoil]);
            let before = host.capture().unwrap();
            let said = there.installer(host, &ROLLBACK);
            says(&said, 3, &[&words[..], &["host is now: unchanged"]].concat());
            is_as(&before, host);
            others(host, &[&mend]);
        }
        says(&there.installer(host, &ROLLBACK), 0, &[]);
    });
}

/// Others refer to accounts that came with us: those stay, dpkg goes on working, and what others made stays too.
#[test]
fn accounts_that_others_refer_to_stay() {
    on_host(Suite::Trixie, |host| {
        let there = unpack(host, &TRIXIE);
        for further in ["true", "theirs other 1"] {
            installed(host, &there);
            others(
                host,
                &[
                    "mkdir -p /srv/theirs; dpkg-statoverride --update --add root redis 0750 /srv/theirs",
                    "install -d -o clerk -g clerk /srv/hers; useradd --system helper",
                    further,
                ],
            );
            let said = there.installer(host, &ROLLBACK);
            let words = [
                "account `redis` stays: /var/lib/dpkg/statoverride names it",
                "account `clerk` stays: it owns /srv/hers",
                "host is now: taken back; what others",
            ];
            says(&said, 0, &words);
            assert!(!packages(host).contains("redis"), "{}", packages(host));
            for database in ["passwd", "group", "shadow", "gshadow"] {
                for name in ["redis", "clerk", "helper"] {
                    shell(
                        host,
                        &[&format!(
                            "grep -q ^{name}: /etc/{database} || {{ echo {name} {database}; exit 1; }}"
                        )],
                    );
                }
            }
            others(host, &["make last 1; dpkg -i /var/tmp/last.deb; dpkg --purge last"]);
            // Nobody refers to them any longer: they are not ours by now, and go by hand.
            shell(
                host,
                &[
                    "dpkg-statoverride --remove /srv/theirs; rm -r /srv/theirs /srv/hers",
                    "userdel redis; userdel clerk; userdel helper; getent group redis && exit 1; pwck -qr; grpck -r",
                ],
            );
        }
    });
}
