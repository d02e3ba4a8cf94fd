//! Other accounts of a host work against root, while it installs, takes back, saves and restores: with links, pipes, leases,
//! further names and open files, with names that they have guessed and with trees deeper than any path.
//!
//! Each item is tried once; `CHOM_RACES=200`, which `make test-races` sets, tries each race as often.

use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

use chom_bundle::rehearse::{Cancel, Host};
use chom_format::manifest::Suite;
use chom_tests::fleet::{Said, Unpacked, must, of_stack, on_host, scratch, shell, unpack};
use chom_tests::{checkout, succeed};

static YARD: LazyLock<PathBuf> = LazyLock::new(|| of_stack("yard", "races", &["mentat.backup.keep=3"]));
static WELL: LazyLock<PathBuf> = LazyLock::new(|| of_stack("well", "races", &["mentat.backup.keep=3"]));
const INSTALL: [&str; 2] = ["--yes", "--no-confirm"];
const ROLLBACK: [&str; 2] = ["rollback", "--yes"];

/// `as_user NAME WORDS`: the adversary at work as that account, in the background.
const TOOLS: &str = "as_user() { user=$1; shift; \
    setpriv --reuid=$user --regid=$user --clear-groups /usr/local/bin/adversary \"$@\" > /dev/null 2>&1 & }
until_there() { n=0; until [ -e \"$1\" ]; do n=$((n+1)); [ $n -lt 600 ] || exit 1; sleep 0.05; done; }";

fn tries() -> usize {
    std::env::var("CHOM_RACES").ok().and_then(|times| times.parse().ok()).unwrap_or(1)
}

/// The adversary's program, on the host; and what nobody but root may touch.
fn arm(host: &Host) {
    static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| {
        let program = scratch("adversary").join("adversary");
        let source = checkout().join("tests/suites/adversary/adversary.c");
        succeed(Command::new("gcc").args(["-O1", "-static", "-Wall", "-o"]).arg(&program).arg(source));
        program
    });
    host.scp(&PROGRAM, "/usr/local/bin/adversary").unwrap();
    shell(host, &["chmod 755 /usr/local/bin/adversary; id eve > /dev/null 2>&1 || useradd -m eve"]);
    shell(
        host,
        &[
            "mkdir -m 700 /root/precious; cd /root/precious; mkdir sub; echo keep | tee victim conf sub/victim > id; \
         touch -d 2020-01-01 victim conf id sub/victim sub .",
        ],
    );
}

/// All of it, and the account files' modes: what each item would have changed.
fn precious(host: &Host) -> String {
    shell(
        host,
        &[
            "find /root/precious -printf '%p %y %m %u %g %s %T@\\n' | sort",
            "stat -c '%n %a %u %g' /etc/shadow /etc/passwd /etc /root",
            "cat /root/precious/victim /root/precious/conf",
        ],
    )
}

fn others(host: &Host, lines: &[&str]) -> String {
    shell(host, &[&[TOOLS], lines].concat())
}

fn ended(host: &Host) {
    shell(host, &["pkill -x adversary || true"]);
}

fn says(said: &Said, codes: &[i32]) {
    assert!(codes.contains(&said.code), "{} is none of {codes:?}: {}", said.code, said.text);
    assert!(!said.text.contains("panicked"), "{}", said.text);
}

/// The host's own copy of the program.
fn chom(host: &Host, words: &[&str]) -> Said {
    Unpacked { folder: "/var/lib/chom".to_owned() }.installer(host, words)
}

#[test]
fn nobody_misleads_or_holds_up_a_first_installation() {
    on_host(Suite::Trixie, |host| {
        let there = unpack(host, &YARD);
        arm(host);
        let before = precious(host);
        others(
            host,
            &[
                "as_user eve sweep /var/tmp/.chom-tmp-state /root/precious victim 2000",
                "setpriv --reuid=eve --regid=eve --clear-groups sh -c 'for i in 0 1 2 3; do mkdir -p /var/tmp/.chom-tmp-$i/x; done'",
                "setpriv --reuid=eve --regid=eve --clear-groups flock /var/lib sleep 600 > /dev/null 2>&1 &",
                "mkdir -p /home/eve/tree; chown eve:eve /home/eve/tree; as_user eve deep /home/eve/tree 60",
                "until_there /var/tmp/.chom-tmp-state/ready",
            ],
        );
        says(&there.answered(host, ""), &[0]);
        // A program that runs as another account has no terminal into which it could type for root.
        assert_eq!(must(host, &["cat", "/srv/yard/own/terminal"]).trim(), "0");
        assert_eq!(precious(host), before);
        // What others have in their homes, and however deep, does not keep an account from going.
        let said = chom(host, &ROLLBACK);
        says(&said, &[0]);
        shell(host, &["! getent passwd keeper; [ -e /var/tmp/.chom-tmp-0/x ]; [ -e /home/eve/tree/d* ]"]);
        assert_eq!(precious(host), before);
        ended(host);
    });
}

#[test]
fn whoever_owns_a_directory_leads_nobody_out_of_it() {
    on_host(Suite::Trixie, |host| {
        let there = unpack(host, &YARD);
        arm(host);
        let before = precious(host);
        says(&there.installer(host, &INSTALL), &[0]);
        caught_names(host, &there, &before);
        held_files(host, &there);
        odd_files(host, &there, &before);
        exchanged_in_a_restore(host, &before);
        swept(host, &there, &before);
    });
}

/// Temporary files become links while they get owner and mode.
fn caught_names(host: &Host, there: &Unpacked, before: &str) {
    for _ in 0..tries() {
        others(host, &["as_user keeper catch /srv/yard/own /etc/shadow"]);
        shell(host, &["echo other > /srv/yard/own/conf"]);
        // The name was missed, or it was caught: that is told, and as long as it goes on nothing can be put back there.
        says(&there.installer(host, &INSTALL), &[0, 1, 4, 5]);
        assert_eq!(precious(host), before);
        ended(host);
        settled(host, before);
    }
    says(&there.installer(host, &INSTALL), &[0]);
}

/// Once nobody races any more, nothing is left to a person.
fn settled(host: &Host, before: &str) {
    says(&chom(host, &["recover"]), &[0, 4]);
    assert_eq!(precious(host), before);
    shell(host, &["cd /srv/yard/own; rm -f caught; find . -name '.chom-tmp-*' -delete"]);
}

/// A file that becomes root's is none that its former owner still holds open or has a further name of.
fn held_files(host: &Host, there: &Unpacked) {
    let theirs = "cd /srv/yard/own; cp conf new; chown keeper:keeper new; mv new conf; ln conf second";
    let said =
        shell(host, &[theirs, "exec 9>> conf", "cd /", "ls -l /proc/self/fd/9 > /dev/null", "echo ready"]);
    assert!(said.contains("ready"));
    others(host, &["cd /srv/yard/own; (exec 9>> conf; sleep 5; echo planted >&9) > /dev/null 2>&1 &"]);
    says(&there.installer(host, &INSTALL), &[0]);
    shell(host, &["echo planted >> /srv/yard/own/second; sleep 6"]);
    assert_eq!(must(host, &["cat", "/srv/yard/own/conf"]), "greeting = hello\n");
    assert_eq!(must(host, &["stat", "-c", "%U %h", "/srv/yard/own/conf"]).trim(), "root 1");
    shell(host, &["rm /srv/yard/own/second"]);
}

/// A pipe, a lease, a file of three gigabytes of nothing, a link: a plan ends soon and in little memory.
fn odd_files(host: &Host, there: &Unpacked, before: &str) {
    for make in [
        "mkfifo conf; chown keeper conf",
        "ln -s /root/precious/conf conf; chown -h keeper conf",
        "truncate -s 3G conf; chown keeper conf",
        "ln -s /dev/zero conf",
        "mkdir conf; chown keeper conf",
        "echo theirs > conf; chown keeper conf; as_user keeper lease /srv/yard/own/conf; sleep 0.3",
    ] {
        others(host, &["cd /srv/yard/own; rm -rf conf", make]);
        // The kernel takes a lease away after 45 seconds.
        let script = format!("ulimit -v 1000000; exec timeout 120 {}/chom-install plan 2>&1", there.folder);
        let tool = host.inside(&["sh", "-c", &script]).unwrap().limit(Duration::from_secs(150));
        let ran = tool.run(&Cancel::default()).unwrap();
        let said = Said { code: ran.code, text: String::from_utf8_lossy(&ran.stdout).into_owned() };
        says(&said, &[0, 1, 3]);
        assert!(!said.text.contains("keep\n"), "{make}: the plan shows it: {}", said.text);
        assert_eq!(precious(host), before, "{make}");
        ended(host);
    }
    shell(host, &["rm -rf /srv/yard/own/conf"]);
    says(&there.installer(host, &INSTALL), &[0]);
}

/// What is restored goes where it was, and not where a link leads by then.
fn exchanged_in_a_restore(host: &Host, before: &str) {
    shell(
        host,
        &["cd /srv/yard/own; mkdir sub; echo of-the-keeper > sub/victim; chown -R keeper:keeper sub"],
    );
    says(&chom(host, &["backup", "create"]), &[0]);
    let change = "cd /srv/yard/own; rm -rf sub out; echo changed > note; ln -s /root/precious out; chown -h keeper out";
    // A link in the place of the folder, without any race.
    shell(host, &[change, "mv out sub"]);
    says(&chom(host, &["backup", "restore", "1", "--yes"]), &[0, 3, 4]);
    assert_eq!(precious(host), before);
    // The two exchanged for each other all the time.
    for _ in 0..tries() {
        shell(host, &[change, "mkdir sub; echo changed > sub/victim; chown -R keeper:keeper sub"]);
        others(host, &["as_user keeper flip /srv/yard/own sub out"]);
        says(&chom(host, &["backup", "restore", "1", "--yes"]), &[0, 1, 3, 4, 5]);
        assert_eq!(precious(host), before);
        ended(host);
        // The race may have ended with the link in the place of the folder: what was below it is named, a person puts the
        // folder back, as the hint says, and then all of it is back.
        let said = chom(host, &["recover"]);
        says(&said, &[0, 4, 5]);
        if said.code == 5 {
            assert!(said.text.contains("needs a person: /srv/yard/own/sub/victim"), "{}", said.text);
            shell(host, &["cd /srv/yard/own; [ -L sub ]; mv sub link; mv out sub; mv link out"]);
        }
        settled(host, before);
    }
}

/// A folder with a name like a temporary one is not swept, and leads nowhere.
fn swept(host: &Host, there: &Unpacked, before: &str) {
    for _ in 0..tries() {
        others(
            host,
            &[
                "rm -rf /srv/yard/own/.chom-tmp-z; as_user keeper sweep /srv/yard/own/.chom-tmp-z /root/precious victim 2000",
                "until_there /srv/yard/own/.chom-tmp-z/ready",
            ],
        );
        says(&chom(host, &ROLLBACK), &[0, 4]);
        assert_eq!(precious(host), before);
        ended(host);
        says(&there.installer(host, &INSTALL), &[0]);
    }
}

#[test]
fn a_redis_does_not_say_what_root_empties() {
    on_host(Suite::Trixie, |host| {
        let there = unpack(host, &WELL);
        arm(host);
        let before = precious(host);
        says(&there.installer(host, &INSTALL), &[0]);
        shell(
            host,
            &[
                "redis-cli set cart apples",
                "n=0; until [ -d /var/lib/redis/appendonlydir ] || [ $n = 100 ]; do n=$((n+1)); sleep 0.1; done",
            ],
        );
        says(&chom(host, &["backup", "create"]), &[0]);
        // A link in the place of the folder of its append-only files.
        shell(
            host,
            &[
                "cd /var/lib/redis; mv appendonlydir aod.old; ln -s /root/precious appendonlydir; chown -h redis appendonlydir",
            ],
        );
        let said = chom(host, &["backup", "restore", "1", "--yes"]);
        says(&said, &[1, 3, 4]);
        assert!(said.text.contains("/var/lib/redis/appendonlydir"), "{}", said.text);
        assert_eq!(precious(host), before);
        shell(host, &["cd /var/lib/redis; rm appendonlydir; mv aod.old appendonlydir"]);
        // Its account owns its configuration, and names another directory in it.
        shell(
            host,
            &[
                "cp -p /etc/redis/redis.conf /root/redis.conf; install -d -o redis -g redis /var/lib/redis/other",
                "sed -i 's#^dir .*#dir /var/lib/redis/other#' /etc/redis/redis.conf; systemctl restart redis-server",
                "n=0; until redis-cli ping | grep -q PONG; do n=$((n+1)); [ $n -lt 100 ]; sleep 0.1; done",
            ],
        );
        let said = chom(host, &["backup", "restore", "1", "--yes"]);
        says(&said, &[1, 3]);
        assert!(said.text.contains("name its directory as `dir`"), "{}", said.text);
        shell(host, &["cp -p /root/redis.conf /etc/redis/redis.conf; systemctl restart redis-server"]);
        says(&chom(host, &["backup", "restore", "1", "--yes"]), &[0]);
        assert_eq!(shell(host, &["redis-cli get cart"]).trim(), "apples");
        // A folder of its own that looks like ours, while its configuration goes.
        others(
            host,
            &[
                "as_user redis sweep /etc/redis/.chom-tmp-z /root/precious victim 2000",
                "until_there /etc/redis/.chom-tmp-z/ready",
            ],
        );
        says(&chom(host, &ROLLBACK), &[0, 4]);
        says(&chom(host, &ROLLBACK), &[0, 4]);
        assert_eq!(precious(host), before);
        ended(host);
    });
}
