//! Hosts that are not as most are: file systems mounted where we write, a place where no program starts, a unit that had
//! failed long before, a journal that a disk has damaged. Refused, or said, and nothing is lost.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::LazyLock;

use chom_bundle::rehearse::{Capture, Host};
use chom_format::manifest::Suite;
use chom_tests::fleet::{Said, Unpacked, mounts_seen, must, on_host, shell, shop, unpack};

static SHOP: LazyLock<PathBuf> = LazyLock::new(|| shop("odd", &[]));
const INSTALL: [&str; 2] = ["--yes", "--no-confirm"];
/// Where these hosts have file systems of their own, now and then.
const MOUNTS: [&str; 5] =
    ["/opt/shop/bin/inner", "/opt/shop/bin", "/etc/passwd", "/srv/shop", "/var/lib/chom"];

fn says(said: &Said, code: i32, words: &[&str]) {
    assert_eq!(said.code, code, "{}", said.text);
    for word in words {
        assert!(said.text.contains(word), "nothing of `{word}` in:\n{}", said.text);
    }
}

/// Runs a script that mounts or unmounts.
fn mounting(host: &Host, script: &[&str]) {
    shell(host, script);
    mounts_seen(host, &MOUNTS);
}

fn refused(host: &mut Host, there: &Unpacked, spoil: &[&str], mend: &[&str], words: &[&str]) {
    mounting(host, spoil);
    let before = host.capture().unwrap();
    let said = there.installer(host, &INSTALL);
    says(&said, 3, &[words, &["host is now: unchanged"]].concat());
    assert_eq!(Capture::diff(&before, &host.capture().unwrap()), Vec::new(), "{spoil:?} changed the host");
    mounting(host, mend);
}

#[test]
fn file_systems_in_the_way_are_found_before_anything_happens() {
    on_host(Suite::Trixie, |host| {
        let there = unpack(host, &SHOP);
        // A directory of somebody's own stands where a link will be, and holds another file system.
        refused(
            host,
            &there,
            &["mkdir -p /opt/shop/bin/inner; mount -t tmpfs tmpfs /opt/shop/bin/inner"],
            &["umount /opt/shop/bin/inner"],
            &["/opt/shop/bin is a directory", "/opt/shop/bin/inner could not be put back"],
        );
        refused(
            host,
            &there,
            &["mount --bind /opt/shop/bin/inner /opt/shop/bin"],
            &["umount /opt/shop/bin; rm -r /opt/shop"],
            &["/opt/shop/bin is a mount point", "umount"],
        );
        // A file that is another file, as containers do with those of the system.
        refused(
            host,
            &there,
            &["cp -a /etc/passwd /etc/other; mount --bind /etc/other /etc/passwd"],
            &["umount /etc/passwd; rm /etc/other"],
            &["/etc/passwd is a mount point"],
        );
        // A directory of another file system is written into, and all of it comes back.
        mounting(
            host,
            &["mkdir -p /srv/shop; mount -t tmpfs tmpfs /srv/shop; echo theirs > /srv/shop/theirs"],
        );
        let list = "find /srv/shop -printf '%p %m %U %s\n' | sort; cat /srv/shop/theirs";
        let before = (host.capture().unwrap(), shell(host, &[list]));
        says(&there.installer(host, &INSTALL), 0, &["installed and healthy"]);
        says(&there.installer(host, &["rollback", "--yes"]), 0, &["as before, proved"]);
        assert_eq!(shell(host, &[list]), before.1);
        assert_eq!(Capture::diff(&before.0, &host.capture().unwrap()), Vec::new());
    });
}

#[test]
fn where_no_program_starts_nothing_is_begun() {
    on_host(Suite::Trixie, |host| {
        let there = unpack(host, &SHOP);
        refused(
            host,
            &there,
            &["mkdir -m 0700 /var/lib/chom; mount -t tmpfs -o noexec,mode=0700 tmpfs /var/lib/chom"],
            &["umount /var/lib/chom; rmdir /var/lib/chom"],
            &[
                "/var/lib/chom is mounted noexec",
                "mount -o remount,exec /var/lib/chom",
                "reboot in the middle",
            ],
        );
    });
}

#[test]
fn a_unit_that_had_failed_is_told_of() {
    on_host(Suite::Trixie, |host| {
        shell(
            host,
            &[
                "printf '[Service]\nExecStart=/bin/false\n' > /etc/systemd/system/shop-web.service",
                "systemctl daemon-reload; systemctl start shop-web.service",
                "n=0; until systemctl is-failed --quiet shop-web.service; do n=$((n+1)); [ $n -lt 100 ]; sleep 0.05; done",
            ],
        );
        let there = unpack(host, &SHOP);
        // A run that does not come to it leaves it as it is, also in systemd's eyes.
        let failed = there.installer(host, &["--yes", "--no-confirm", "--fail-at", "host/packages"]);
        says(&failed, 4, &["as before, proved"]);
        must(host, &["systemctl", "is-failed", "shop-web.service"]);
        says(&there.installer(host, &INSTALL), 0, &["installed and healthy"]);
        let back = there.installer(host, &["rollback", "--yes"]);
        says(&back, 0, &["as before, proved", "unit shop-web.service had failed before, and is stopped now"]);
        let proof = there.installer(host, &["history", "2", "--proof"]);
        says(&proof, 0, &["had failed before"]);
        assert_eq!(
            must(host, &["cat", "/etc/systemd/system/shop-web.service"]),
            "[Service]\nExecStart=/bin/false\n"
        );
    });
}

/// One byte in the middle of a journal is another one: everything is left alone, and a person is told where to look.
#[test]
fn a_damaged_journal_is_named_with_what_to_do() {
    on_host(Suite::Trixie, |host| {
        let there = unpack(host, &SHOP);
        says(&there.installer(host, &INSTALL), 0, &[]);
        let path = "/var/lib/chom/transactions/000001/journal";
        let journal =
            fs::OpenOptions::new().read(true).write(true).open(host.root().join(&path[1..])).unwrap();
        let mut byte = [0];
        let middle = journal.metadata().unwrap().len() / 2;
        journal.read_exact_at(&mut byte, middle).unwrap();
        journal.write_all_at(&[byte[0] ^ 0x40], middle).unwrap();
        let before = host.capture().unwrap();
        for words in [&["status"][..], &["history"], &["rollback", "--yes"], &["recover"], &INSTALL] {
            let said = there.installer(host, words);
            says(
                &said,
                5,
                &[
                    &format!("journal {path}: record "),
                    " at byte ",
                    "is damaged",
                    "host is now: mixed",
                    "hint: the host was left alone",
                    "/var/lib/chom/objects",
                ],
            );
        }
        assert_eq!(Capture::diff(&before, &host.capture().unwrap()), Vec::new());
        // The command of the hint shows what was done, and the other one lets the next begin.
        let shown = shell(host, &[&format!("grep -ao '{{\"record\".*' {path}")]);
        assert!(
            shown.contains("\"record\":\"begin\"") && shown.contains("\"record\":\"committed\""),
            "{shown}"
        );
        shell(host, &["mv /var/lib/chom/transactions/000001 /root/"]);
        says(&there.installer(host, &["status"]), 0, &["without a transaction of ours"]);
    });
}
