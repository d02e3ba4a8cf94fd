//! What must be refused, on a real host: the right exit code, the reason, the remedy, and nothing changed.

use std::time::Duration;

use chom_bundle::rehearse::{Cancel, Capture, Host};
use chom_format::manifest::Suite;
use chom_tests::fleet::{Unpacked, bundle, on_host, shell, shop, unpack};

/// What is done to a host, and how the installer must answer.
struct Refusal<'a> {
    spoil: &'a [&'a str],
    mend: &'a [&'a str],
    words: &'a [&'a str],
    code: i32,
    says: &'a [&'a str],
}

fn refused(host: &mut Host, there: &Unpacked, case: &Refusal<'_>) {
    shell(host, case.spoil);
    let before = host.capture().unwrap();
    let said = there.installer(host, case.words);
    let after = host.capture().unwrap();
    assert_eq!(said.code, case.code, "{:?}:\n{}", case.spoil, said.text);
    for word in case.says.iter().chain(&["host is now: unchanged"]) {
        assert!(said.text.contains(word), "{:?}: nothing about `{word}` in:\n{}", case.spoil, said.text);
    }
    assert_eq!(Capture::diff(&before, &after), Vec::new(), "{:?} changed the host", case.spoil);
    shell(host, case.mend);
}

#[test]
fn what_stands_in_the_way_is_named_and_nothing_is_touched() {
    on_host(Suite::Trixie, |host| {
        let there = unpack(host, &bundle(Suite::Trixie));
        let cases = [
            // Somebody else listens on 9090: the port, the unit and the program are named.
            Refusal {
                spoil: &["systemd-run -q --unit=squatter --socket-property=ListenStream=9090 sleep 600"],
                mend: &["systemctl stop squatter.socket"],
                words: &["--yes"],
                code: 3,
                says: &["9090", "squatter.socket"],
            },
            Refusal {
                spoil: &[
                    "cp -a /var/lib/dpkg/status /root/kept",
                    "sed -i '0,/^Status: install ok installed$/s//Status: install ok half-configured/' /var/lib/dpkg/status",
                ],
                mend: &["mv /root/kept /var/lib/dpkg/status"],
                words: &["--yes"],
                code: 3,
                says: &["dpkg --configure -a"],
            },
            Refusal {
                spoil: &["mount -t tmpfs -o size=8m,mode=0755 tmpfs /opt"],
                mend: &["umount /opt"],
                words: &["--yes"],
                code: 3,
                says: &["/opt"],
            },
            Refusal {
                spoil: &["mount --bind /etc /etc", "mount -o remount,bind,ro /etc"],
                mend: &["umount /etc"],
                words: &["--yes"],
                code: 3,
                says: &["/etc", "read-only"],
            },
            // Nobody to answer the question, and nobody said yes.
            Refusal { spoil: &[], mend: &[], words: &[], code: 2, says: &["--yes"] },
            Refusal {
                spoil: &["hostnamectl hostname somebody-else || hostname somebody-else"],
                mend: &["hostnamectl hostname mentat || hostname mentat"],
                words: &["--yes"],
                code: 3,
                says: &["somebody-else", "mentat", "--any-host"],
            },
        ];
        for case in &cases {
            refused(host, &there, case);
        }
    });
}

#[test]
fn a_bundle_for_another_release_is_refused() {
    on_host(Suite::Bookworm, |host| {
        let there = unpack(host, &bundle(Suite::Trixie));
        let case =
            Refusal { spoil: &[], mend: &[], words: &["--yes"], code: 3, says: &["trixie", "bookworm"] };
        refused(host, &there, &case);
    });
}

/// The bundle's own program could not even start there, so that of this host reads it.
#[test]
fn a_bundle_for_another_processor_is_refused() {
    on_host(Suite::Trixie, |host| {
        let there = unpack(host, &shop("here", &[]));
        host.scp(&shop("aarch64", &["mentat.arch=aarch64"]), "/var/tmp/other.tar.gz").unwrap();
        let words = &["install", "--yes", "--bundle", "/var/tmp/other.tar.gz"];
        let says = &["aarch64 is wanted, this is x86_64"];
        refused(host, &there, &Refusal { spoil: &[], mend: &[], words, code: 3, says });
    });
}

/// The terminal goes in the middle of a run, as with a laptop that is closed: nobody can see how it ends, so it ends
/// where it began.
#[test]
fn a_terminal_that_goes_takes_the_run_back() {
    on_host(Suite::Trixie, |host| {
        let there = unpack(host, &bundle(Suite::Trixie));
        let before = host.capture().unwrap();
        let run = format!("script -qfc '{}/chom-install --yes' /dev/null >/dev/null 2>&1 &", there.folder);
        let script = [
            run.as_str(),
            "terminal=$!",
            "log=/var/lib/chom/transactions/000001/log",
            "for try in $(seq 600); do grep -q alertmanager/unit $log 2>/dev/null && break; sleep 0.2; done",
            "kill -KILL $terminal",
            "for try in $(seq 600); do grep -qx chom-install /proc/[0-9]*/comm 2>/dev/null || exit 0; sleep 0.2; done",
            "exit 1",
        ];
        // A busy machine takes a minute for what takes ten seconds otherwise.
        let ran = host.inside(&["sh", "-e", "-c", &script.join("\n")]).unwrap();
        ran.limit(Duration::from_secs(300)).succeed(&Cancel::default()).unwrap();
        let history = there.installer(host, &["history"]);
        assert!(history.code == 0 && history.text.contains("taken back"), "{}", history.text);
        assert_eq!(Capture::diff(&before, &host.capture().unwrap()), Vec::new());
    });
}
