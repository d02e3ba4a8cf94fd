//! Others at work on the same host at the same time, as the kernel sees it: a second and a third installation, a person
//! at dpkg's question, an upgrade that takes its time, a package run that begins while the plan is being read.
//!
//! The slow upgrade is an `apt-get` with a package that takes long to configure. It stands in for `unattended-upgrade`,
//! which takes the same locks by the same library, and which the archives of a throw-away host do not bring.

use std::path::PathBuf;
use std::sync::LazyLock;

use chom_bundle::rehearse::{Capture, Host};
use chom_format::manifest::Suite;
use chom_tests::fleet::{Unpacked, must, of_stack, on_host, shell, shop, unpack};

static SHOP: LazyLock<PathBuf> = LazyLock::new(|| shop("crowd", &[]));

/// Runs as many installers at once, and gives their exit codes and words.
fn at_once(host: &Host, there: &Unpacked, commands: &[&str]) -> Vec<(i32, String)> {
    let mut lines = vec!["rm -f /run/said.* /run/code.*".to_owned()];
    for (number, words) in commands.iter().enumerate() {
        let run = format!("{}/chom-install {words} > /run/said.{number} 2>&1", there.folder);
        lines.push(format!("( code=0; {run} || code=$?; echo $code > /run/code.{number} ) < /dev/null &"));
    }
    lines.push("wait".to_owned());
    shell(host, &lines.iter().map(String::as_str).collect::<Vec<_>>());
    let read = |number: usize| {
        let code = must(host, &["cat", &format!("/run/code.{number}")]);
        (code.trim().parse().unwrap(), must(host, &["cat", &format!("/run/said.{number}")]))
    };
    (0..commands.len()).map(read).collect()
}

fn others_are_told(ends: &[(i32, String)]) {
    let mut codes: Vec<i32> = ends.iter().map(|(code, _)| *code).collect();
    codes.sort_unstable();
    let wanted: Vec<i32> = std::iter::once(0).chain(vec![6; ends.len() - 1]).collect();
    assert_eq!(codes, wanted, "one wins, the others are told: {ends:#?}");
    for (_, text) in ends.iter().filter(|(code, _)| *code == 6) {
        // Process, phase and age.
        let told = text.lines().find_map(|line| line.split_once("another run holds this host: process "));
        let (pid, rest) =
            told.and_then(|(_, told)| told.split_once(", ")).unwrap_or_else(|| panic!("{text}"));
        let (phase, age) = rest.rsplit_once(" for ").unwrap_or_else(|| panic!("{text}"));
        assert!(pid.parse::<u32>().is_ok() && age.ends_with(" s"), "{text}");
        assert!(phase == "looking" || phase.starts_with("installing"), "{text}");
        assert!(text.contains(&format!("hint: wait for it, or look at it: ps -fp {pid}")), "{text}");
    }
}

#[test]
fn of_installations_at_once_one_wins() {
    on_host(Suite::Trixie, |host| {
        shell(
            host,
            &[
                "mkdir -p /srv/narrow; for name in changed gone also-gone gone-too; do echo was > /srv/narrow/$name; done",
                // As a package would have brought them: nothing else is removed.
                "cd /; md5sum srv/narrow/*gone* > /var/lib/dpkg/info/narrow.md5sums",
                // Until all the others have ended, however slow this machine is.
                "printf '#!/bin/sh\nn=0; until [ $(ls /run/code.* | wc -l) -ge 3 ] || [ $n -ge 250 ]; do n=$((n+1)); sleep 0.2; done\n' > /usr/local/sbin/moment; chmod 0755 /usr/local/sbin/moment",
            ],
        );
        let there = unpack(host, &of_stack("narrow", "crowd", &[]));
        let before = host.capture().unwrap();
        // On a host that has no state directory yet, where even the lock is still to be made; on one that has; and
        // where all of it is made anew each time.
        for round in 0..6 {
            if round > 2 {
                shell(
                    host,
                    &["touch -r /var/lib /run/times; rm -rf /var/lib/chom; touch -r /run/times /var/lib"],
                );
            }
            let install = "--yes --no-confirm";
            others_are_told(&at_once(host, &there, &[install; 4]));
            let status = there.installer(host, &["status"]);
            assert_eq!(status.code, 0, "round {round}: {}", status.text);
            let back = there.installer(host, &["rollback", "--yes"]);
            assert_eq!(back.code, 0, "round {round}: {}", back.text);
            assert_eq!(Capture::diff(&before, &host.capture().unwrap()), Vec::new(), "round {round}");
        }
    });
}

/// Makes a package whose configuration does this, in these versions, with a configuration file of its own.
fn package(host: &Host, name: &str, versions: &[u32], postinst: &str) {
    for version in versions {
        shell(
            host,
            &[
                "rm -rf /var/tmp/make; mkdir -p /var/tmp/make/DEBIAN /var/tmp/make/etc; cd /var/tmp/make",
                &format!(
                    "printf 'Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: nobody <root@localhost>\nDescription: a package\n' > DEBIAN/control"
                ),
                &format!("echo /etc/{name}.conf > DEBIAN/conffiles; echo {version} > etc/{name}.conf"),
                &format!("printf '#!/bin/sh\n{postinst}\n' > DEBIAN/postinst; chmod 0755 DEBIAN/postinst"),
                &format!("dpkg-deb --root-owner-group -b . /var/tmp/{name}-{version}.deb"),
            ],
        );
    }
}

/// dpkg stands at its question about a configuration file, as it does for a person; the answer comes later.
fn dpkg_asks(host: &Host) {
    package(host, "asks", &[1, 2], "exit 0");
    shell(
        host,
        &[
            "dpkg -i /var/tmp/asks-1.deb; echo by hand > /etc/asks.conf",
            "rm -f /run/dpkg; mkfifo /run/dpkg; : > /run/dpkg.said",
            "( script -qefc 'dpkg -i /var/tmp/asks-2.deb' /run/dpkg.said < /run/dpkg > /dev/null 2>&1 & )",
            // Somebody holds the other end of the terminal.
            "( sleep 600 > /run/dpkg & )",
            "n=0; until grep -q 'default=N' /run/dpkg.said; do n=$((n+1)); [ $n -lt 200 ]; sleep 0.05; done",
        ],
    );
}

#[test]
fn a_person_at_dpkgs_question_is_waited_for() {
    on_host(Suite::Trixie, |host| {
        let there = unpack(host, &SHOP);
        dpkg_asks(host);
        // A look says at once what is in the way.
        let plan = there.installer(host, &["plan"]);
        assert_eq!(plan.code, 3, "{}", plan.text);
        assert!(plan.text.contains("(dpkg") && !plan.text.contains("dpkg --configure -a"), "{}", plan.text);
        shell(host, &["( sleep 8; echo N > /run/dpkg ) > /dev/null 2>&1 &"]);
        let said = there.installer(host, &["--yes", "--no-confirm"]);
        assert_eq!(said.code, 0, "{}", said.text);
        assert!(said.text.contains("(dpkg"), "who was waited for is not named:\n{}", said.text);
        assert_eq!(must(host, &["cat", "/etc/asks.conf"]), "by hand\n");
        assert!(must(host, &["dpkg", "-s", "asks"]).contains("Version: 2"));
        let status = there.installer(host, &["status"]);
        assert_eq!(status.code, 0, "{}", status.text);
        // What the person did stays.
        let back = there.installer(host, &["rollback", "--yes"]);
        assert_eq!(back.code, 0, "{}", back.text);
        assert!(must(host, &["dpkg", "-s", "asks"]).contains("Version: 2"));
    });
}

#[test]
fn an_upgrade_that_takes_too_long_is_named() {
    on_host(Suite::Trixie, |host| {
        let there = unpack(host, &SHOP);
        package(host, "slow", &[1], "sleep 300");
        let upgrade = "( apt-get -y install /var/tmp/slow-1.deb > /run/apt.said 2>&1 & )";
        shell(
            host,
            &[
                upgrade,
                "n=0; until pgrep -f slow.postinst > /dev/null || grep -qs '^Status: install ok half' /var/lib/dpkg/status; do n=$((n+1)); [ $n -lt 200 ]; sleep 0.05; done",
            ],
        );
        let said = there.installer(host, &["--yes", "--no-confirm"]);
        assert_eq!(said.code, 3, "{}", said.text);
        for word in ["is held", "(apt-get", "wait until that package run is over", "host is now: unchanged"] {
            assert!(said.text.contains(word), "nothing of `{word}` in:\n{}", said.text);
        }
        assert!(
            !said.text.contains("dpkg --configure -a"),
            "it is not broken, it is at work:\n{}",
            said.text
        );
    });
}

/// The lock is free while the plan is made, and taken when the answer comes.
#[test]
fn a_package_run_that_begins_after_the_plan_is_not_run_into() {
    on_host(Suite::Trixie, |host| {
        let there = unpack(host, &SHOP);
        package(host, "slow", &[1], "sleep 6");
        let upgrade =
            "( apt-get -y install /var/tmp/slow-1.deb > /run/apt.said 2>&1; echo $? > /run/apt.code ) &
            sleep 2";
        // What dpkg says is no longer what the plan was made from.
        let said = there.answered(host, upgrade);
        assert_eq!(said.code, 1, "{}", said.text);
        for word in ["has changed since the plan was made", "host is now: unchanged", "chom-install plan"] {
            assert!(said.text.contains(word), "nothing of `{word}` in:\n{}", said.text);
        }
        shell(host, &["n=0; until [ -s /run/apt.code ]; do n=$((n+1)); [ $n -lt 300 ]; sleep 0.1; done"]);
        let theirs = must(host, &["dpkg", "-s", "slow"]);
        assert!(theirs.contains("Status: install ok installed"), "theirs stands: {theirs}");

        // Somebody only looks, and holds the lock for that: it is waited for, and nothing is planned anew.
        let looks = "use Fcntl; open F,\">\",\"/var/lib/dpkg/lock-frontend\"; \
             fcntl(F,F_SETLK,pack(\"s s l! l! i\",F_WRLCK,0,0,0,0)) or die; sleep 5";
        let said = there.answered(host, &format!("perl -e '{looks}' & sleep 1"));
        assert_eq!(said.code, 0, "{}", said.text);
        let back = there.installer(host, &["rollback", "--yes"]);
        assert_eq!(back.code, 0, "{}", back.text);
        let theirs = must(host, &["dpkg", "-s", "slow"]);
        assert!(theirs.contains("Status: install ok installed"), "theirs stands: {theirs}");
    });
}

/// Between our last look and apt's own lock: they are in the middle of it, and apt finds the lock taken.
#[test]
fn a_package_run_that_begins_just_before_ours_is_not_run_into() {
    just_before(
        "( env -u APT_CONFIG setsid OTHERS & )
        n=0; until pgrep -f slow.postinst > /dev/null || [ $n -ge 300 ]; do n=$((n+1)); sleep 0.05; done",
        "lock",
    );
}

/// They have begun and ended, and the lock is free again: apt looks whether all is as the plan found it.
#[test]
fn a_package_run_that_ends_just_before_ours_is_not_taken_for_ours() {
    just_before("env -u APT_CONFIG OTHERS", "others changed packages in the moment before");
}

/// A stand-in for `apt-get` lets the others in just before it.
fn just_before(come: &str, told: &str) {
    on_host(Suite::Trixie, |host| {
        let there = unpack(host, &SHOP);
        package(host, "slow", &[1], "sleep 6");
        let come = come.replace("OTHERS", "apt-get.real -y install /var/tmp/slow-1.deb > /run/apt.said 2>&1");
        shell(
            host,
            &[
                "mv /usr/bin/apt-get /usr/bin/apt-get.real; : > /run/window",
                &format!(
                    "cat > /usr/bin/apt-get <<'END'\n#!/bin/sh\ncase \"$*\" in *--simulate*) ;; *)\n\
                     if rm /run/window 2> /dev/null; then\n{come}\nfi ;;\nesac\n\
                     exec /usr/bin/apt-get.real \"$@\"\nEND"
                ),
                "chmod 0755 /usr/bin/apt-get",
            ],
        );
        let said = there.installer(host, &["--yes", "--no-confirm"]);
        assert_eq!(said.code, 4, "{}", said.text);
        for word in ["apt-get", told, "changed by others"] {
            assert!(said.text.contains(word), "nothing of `{word}` in:\n{}", said.text);
        }
        let theirs = must(host, &["dpkg", "-s", "slow"]);
        assert!(theirs.contains("Status: install ok installed"), "theirs stands: {theirs}");
        // And nothing is in the way of the next one.
        let said = there.installer(host, &["--yes", "--no-confirm"]);
        assert_eq!(said.code, 0, "{}", said.text);
    });
}
