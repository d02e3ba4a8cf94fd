//! Backups of a host with PostgreSQL, MariaDB, Redis and files: made, damaged, restored, taken back, refused, encrypted
//! and read by Debian's own programs. What is backed up stands in the YAML of a stack that is not ours.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use chom_bundle::rehearse::Host;
use chom_format::manifest::Suite;
use chom_tests::fleet::{Said, Unpacked, must, of_stack, on_host, scratch, shell, unpack};
use chom_tests::{matrix, run, succeed};

/// Every bundle of this suite has a timer.
const POLICY: [&str; 2] = ["mentat.backup.keep=9", "mentat.backup.schedule='*-*-* 03:30'"];

const BACKUPS: &str = "/var/lib/chom/backups";

/// Where a restore is killed in the usual run, in tenths of its effects.
const MOMENTS: [u64; 3] = [4, 6, 8];

const SEED: &[&str] = &[
    "psql() { setpriv --reuid=postgres --regid=postgres --init-groups psql -X -q \"$@\"; }",
    "psql -d postgres -c 'CREATE DATABASE sales'",
    "psql -d sales -c \"CREATE TABLE items (id serial PRIMARY KEY, name text);
        INSERT INTO items (name) SELECT 'item ' || n FROM generate_series(1, 2000) n\"",
    "mariadb -e \"CREATE DATABASE shop; CREATE TABLE shop.orders (id int AUTO_INCREMENT PRIMARY KEY, what varchar(40));
        INSERT INTO shop.orders (what) VALUES ('tea'), ('milk');
        CREATE DATABASE staff; CREATE TABLE staff.people (name varchar(20)); INSERT INTO staff.people VALUES ('ada')\"",
    "redis-cli set cart:1 apples; redis-cli rpush list a b c; redis-cli hset hash f 1 g 2; redis-cli -n 3 set far away",
    "mkdir -p /srv/till/deep; echo one >/srv/till/ledger; echo two >/srv/till/deep/x; ln -s ledger /srv/till/now",
    "echo scratch >/srv/till/a.tmp; chown 65534:8 /srv/till/ledger; chmod 0640 /srv/till/ledger",
    "touch -d '2020-01-02 03:04:05.123456789' /srv/till/ledger /srv/till/deep",
];

const CHANGE: &[&str] = &[
    "psql() { setpriv --reuid=postgres --regid=postgres --init-groups psql -X -q \"$@\"; }",
    "psql -d sales -c 'DELETE FROM items WHERE id > 5; CREATE TABLE more (x int); INSERT INTO more VALUES (7)'",
    "mariadb -e 'DROP TABLE shop.orders; CREATE TABLE shop.other (x int); DROP DATABASE staff'",
    "redis-cli set cart:1 stones; redis-cli del list; redis-cli hset hash f 9; redis-cli set cart:9 new",
    "echo changed >/srv/till/ledger; rm -r /srv/till/deep; mkdir /srv/till/new; echo n >/srv/till/new/f",
    "rm /srv/till/now; chmod 0600 /etc/till/till.conf; echo more >>/srv/till/a.tmp",
];

/// What is in the tables.
const TABLES: &[&str] = &[
    "psql() { setpriv --reuid=postgres --regid=postgres --init-groups psql -X -At \"$@\"; }",
    "psql -d sales -c 'SELECT count(*), max(name) FROM items' -c \"SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1\"",
    "mariadb -BN -e 'SHOW DATABASES; SHOW TABLES IN shop'",
    "mariadb -BN -e 'SELECT * FROM shop.orders; SELECT * FROM staff.people' 2>&1 || true",
];

/// Everything else that is backed up, as a person would look at it. The figures are written behind every run.
const REST: &[&str] = &[
    "for key in cart:1 cart:9; do redis-cli get $key; done; redis-cli lrange list 0 -1; redis-cli hgetall hash",
    "redis-cli -n 3 get far; redis-cli dbsize",
    "find /srv/till /etc/till -path /srv/till/metrics -prune -o -name '*.tmp' -o -printf '%p %y %m %U:%G %T@ %l\\n' | sort",
    "cat /srv/till/ledger",
];

fn bundle(host: &Host, name: &str, set: &[&str]) -> PathBuf {
    let release = must(host, &["sh", "-c", ". /etc/os-release; echo $VERSION_CODENAME"]);
    let (name, suite) = (format!("{name}-{}", release.trim()), format!("mentat.suite={}", release.trim()));
    of_stack("till", &name, &[&POLICY[..], &[suite.as_str()], set].concat())
}

fn install(host: &Host, name: &str, set: &[&str]) -> Unpacked {
    let there = unpack(host, &bundle(host, name, set));
    let said = there.installer(host, &["--yes", "--no-confirm"]);
    assert_eq!(said.code, 0, "{}", said.text);
    there
}

/// Runs the copy of the program that the host keeps: no command here needs the bundle.
fn chom(host: &Host, words: &[&str]) -> Said {
    Unpacked { folder: "/var/lib/chom".to_owned() }.installer(host, words)
}

fn tell(host: &Host) -> String {
    shell(host, TABLES) + &shell(host, REST)
}

fn good(host: &Host, words: &[&str]) -> String {
    let said = chom(host, words);
    assert_eq!(said.code, 0, "{words:?}: {}", said.text);
    said.text
}

fn refused(host: &Host, words: &[&str], code: i32, says: &[&str]) {
    let before = must(host, &["ls", "-A", BACKUPS]);
    let said = chom(host, words);
    assert_eq!(said.code, code, "{words:?}: {}", said.text);
    for text in says {
        assert!(said.text.contains(text), "{words:?} does not say `{text}`: {}", said.text);
    }
    assert!(said.text.contains("host is now: unchanged"), "{}", said.text);
    assert_eq!(must(host, &["ls", "-A", BACKUPS]), before, "{words:?} left something");
}

/// Debian's own `age`, with the private key that never comes near the host.
fn age(key: &Path, sealed: &Path) -> Vec<u8> {
    let output = run(Command::new("age").args(["-d", "-i"]).arg(key).arg(sealed));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// What a program makes of these bytes.
fn piped(bytes: &[u8], program: &[&str]) -> String {
    let mut child = Command::new(program[0])
        .args(&program[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program:?}: {error}"));
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{program:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn three_databases_and_files_live_through_it_all() {
    on_host(Suite::Trixie, |host| {
        install(host, "plain", &[]);
        shell(host, SEED);
        made_by_the_timers_service(host);
        read_by_hand(host);
        a_damaged_byte(host);
        restored_and_taken_back(host);
        whatever_goes_wrong(host);
    });
}

/// The same programs in other versions; the rest with `CHOM_MATRIX=full`.
#[test]
fn the_older_release_has_its_databases_back_too() {
    on_host(Suite::Bookworm, |host| {
        install(host, "plain", &[]);
        shell(host, SEED);
        made_by_the_timers_service(host);
        restored_and_taken_back(host);
        if matrix::part().is_some() {
            whatever_goes_wrong(host);
        }
    });
}

fn whatever_goes_wrong(host: &Host) {
    one_part_alone(host);
    a_damaged_way_back(host);
    put_back_when_it_fails(host);
    killed_at_effects_of_a_restore(host);
    killed_at_effects_of_a_backup(host);
    nobody_to_dump(host);
    encrypted(host);
    too_large(host);
}

fn made_by_the_timers_service(host: &Host) {
    let timer = must(
        host,
        &["systemctl", "show", "--property=ActiveState,NextElapseUSecRealtime", "chom-backup.timer"],
    );
    assert!(timer.contains("ActiveState=active") && timer.contains("03:30:00"), "{timer}");
    assert!(good(host, &["backup", "list"]).contains("there is no backup"));
    must(host, &["systemctl", "start", "chom-backup.service"]);
    let list = good(host, &["backup", "list"]);
    for file in ["mariadb.all.sql.gz", "postgresql.sales.pgdump", "redis.carts.rdb.gz", "till.ledger.tar.gz"]
    {
        assert!(list.contains(file), "{list}");
    }
    assert!(good(host, &["backup", "verify"]).contains("backup 1 is good"));
    let modes = must(host, &["find", BACKUPS, "-printf", "%m %u\n"]);
    assert!(modes.lines().all(|line| ["700 root", "600 root"].contains(&line)), "{modes}");
    let figures = must(host, &["cat", "/srv/till/metrics/chom_backup.prom"]);
    let at: u64 = figures.split_whitespace().next_back().unwrap().parse().unwrap();
    let now: u64 = must(host, &["date", "+%s"]).trim().parse().unwrap();
    assert!(at <= now && now - at < 120, "{figures}");
}

fn read_by_hand(host: &Host) {
    let said = shell(
        host,
        &[
            &format!("cd {BACKUPS}/000001; sha256sum -c SHA256SUMS"),
            "mkdir -p /var/tmp/hand; tar --xattrs -xpzf till.ledger.tar.gz -C /var/tmp/hand",
            "stat -c '%a %u:%g %y' /var/tmp/hand/srv/till/ledger; ls -A /var/tmp/hand/srv/till",
            "pg_restore --list postgresql.sales.pgdump | grep 'TABLE DATA public items'",
            "zcat mariadb.all.sql.gz | tail -n 1; zcat redis.carts.rdb.gz >/var/tmp/hand/x.rdb",
            "redis-check-rdb /var/tmp/hand/x.rdb | grep -c 'Checksum OK'",
        ],
    );
    assert!(said.contains("640 65534:8 2020-01-02 03:04:05.123456789"), "{said}");
    assert!(!said.contains("a.tmp") && !said.contains("metrics"), "left out: {said}");
    assert!(said.contains("-- Dump completed"), "{said}");
}

fn a_damaged_byte(host: &Host) {
    let file = host.root().join("var/lib/chom/backups/000001/till.ledger.tar.gz");
    let whole = fs::read(&file).unwrap();
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 1;
    fs::write(&file, &damaged).unwrap();
    let says = ["till.ledger.tar.gz: it is not what was written: sha256"];
    refused(host, &["backup", "verify", "1"], 2, &says);
    refused(host, &["backup", "restore", "1", "--yes"], 2, &says);
    fs::write(&file, &whole[..whole.len() - 1]).unwrap();
    refused(host, &["backup", "verify", "1"], 2, &["till.ledger.tar.gz", "bytes, and had"]);
    fs::write(&file, &whole).unwrap();
    good(host, &["backup", "verify", "1"]);
    refused(host, &["backup", "verify", "7"], 2, &["there is no backup 7"]);
}

fn restored_and_taken_back(host: &Host) {
    let before = tell(host);
    shell(host, CHANGE);
    let changed = tell(host);
    assert_ne!(before, changed);
    let ran = must(host, &["systemctl", "show", "--property=InvocationID", "till.service"]);
    let plan = good(host, &["backup", "restore", "1", "--yes"]);
    for text in ["undone from a copy", "-/srv/till/new/f", "+/srv/till/deep", "stop till.service"] {
        assert!(plan.contains(text), "{text}: {plan}");
    }
    assert_eq!(tell(host), before);
    assert_ne!(
        must(host, &["systemctl", "show", "--property=InvocationID", "till.service"]),
        ran,
        "it stood still"
    );
    assert!(must(host, &["cat", "/srv/till/a.tmp"]).contains("more"), "what is left out is left alone");
    let again = good(host, &["backup", "restore", "1", "--yes", "--only", "till.ledger"]);
    assert!(again.contains("nothing to do"), "{again}");
    let back = good(host, &["rollback", "--yes"]);
    assert!(back.contains("proof: "), "{back}");
    assert_eq!(tell(host), changed);
    assert!(!host.root().join("var/lib/chom/restore").exists(), "what was unpacked is gone");
}

fn one_part_alone(host: &Host) {
    let before = tell(host);
    // Each exchange is a start of its own, and they come in a row.
    shell(
        host,
        &[
            "mkdir /run/systemd/system/redis-server.service.d",
            "cd /run/systemd/system/redis-server.service.d",
            "printf '[Unit]\\nStartLimitIntervalSec=3600\\nStartLimitBurst=1\\n' >seldom.conf",
            "systemctl daemon-reload",
        ],
    );
    good(host, &["backup", "restore", "1", "--yes", "--only", "redis.carts"]);
    assert_eq!(must(host, &["redis-cli", "get", "cart:1"]).trim(), "apples");
    assert_eq!(must(host, &["cat", "/srv/till/ledger"]).trim(), "changed", "nothing else is touched");
    good(host, &["rollback", "--yes"]);
    assert_eq!(tell(host), before);
    shell(host, &["rm -r /run/systemd/system/redis-server.service.d; systemctl daemon-reload"]);
    refused(
        host,
        &["backup", "restore", "1", "--yes", "--only", "redis.cart"],
        2,
        &["has no part `redis.cart`"],
    );
}

/// With a dump that is not what was saved nothing is taken back; and where that must be, what is in a database stays
/// until the dump is whole again.
fn a_damaged_way_back(host: &Host) {
    let before = tell(host);
    good(host, &["backup", "restore", "1", "--yes"]);
    let restored = tell(host);
    let found =
        must(host, &["grep", "-lrE", "PostgreSQL database dump|MariaDB dump", "/var/lib/chom/objects"]);
    let dumps: Vec<PathBuf> =
        found.lines().map(|path| host.root().join(path.trim_start_matches('/'))).collect();
    let whole: Vec<Vec<u8>> = dumps.iter().map(|path| fs::read(path).unwrap()).collect();
    for (path, whole) in dumps.iter().zip(&whole) {
        fs::write(path, &whole[..whole.len() / 2]).unwrap();
    }
    // Those of an earlier restore are damaged too, and nobody asks for them.
    let named = |said: &Said| {
        let is_named = |path: &&PathBuf| {
            said.text.contains(&format!("objects/{} is ", path.file_name().unwrap().to_string_lossy()))
        };
        assert_eq!(dumps.iter().filter(is_named).count(), 2, "{found}: {}", said.text);
    };
    let said = chom(host, &["rollback", "--yes"]);
    assert_eq!(said.code, 3, "{}", said.text);
    named(&said);
    assert!(said.text.contains("host is now: unchanged"), "{}", said.text);
    assert_eq!(tell(host), restored, "{}", said.text);
    let tables = shell(host, TABLES);
    let said = chom(host, &["rollback", "--yes", "--partly"]);
    assert_eq!(said.code, 5, "{}", said.text);
    named(&said);
    assert_eq!(shell(host, TABLES), tables, "{}", said.text);
    for (path, whole) in dumps.iter().zip(&whole) {
        fs::write(path, whole).unwrap();
    }
    let back = good(host, &["recover"]);
    assert!(back.contains("putting the host back: what could not be put back is tried again"), "{back}");
    assert_eq!(tell(host), before, "{back}");
}

/// PostgreSQL drops no database that somebody is connected to. By then MariaDB has been exchanged, and comes back.
fn put_back_when_it_fails(host: &Host) {
    let before = tell(host);
    let held = "SELECT pg_sleep(600)";
    let session = ["--uid=postgres", "psql", "-X", "-d", "sales", "-c", held];
    must(host, &[&["systemd-run", "--quiet", "--collect", "--unit=held"], &session[..]].concat());
    shell(
        host,
        &[
            "for _ in $(seq 100); do setpriv --reuid=postgres --regid=postgres --init-groups psql -X -At -d postgres -c \
         \"SELECT count(*) FROM pg_stat_activity WHERE datname = 'sales'\" | grep -q 1 && exit 0; sleep 0.1; done; exit 1",
        ],
    );
    let said = chom(host, &["backup", "restore", "1", "--yes"]);
    // The server does not notice by itself that its client is gone.
    shell(
        host,
        &[
            "setpriv --reuid=postgres --regid=postgres --init-groups psql -X -At -d postgres -c \
             \"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'sales'\"",
            "systemctl stop held.service || true",
        ],
    );
    assert_eq!(said.code, 4, "{}", said.text);
    for text in ["restore/data/postgresql.sales", "is being accessed by other users", "as before, proved"] {
        assert!(said.text.contains(text), "{text}: {}", said.text);
    }
    assert_eq!(tell(host), before);
}

/// How many effects a command has, as it says itself when a fault is asked for that it does not come to.
fn effects(text: &str) -> u64 {
    let count =
        text.lines().find_map(|line| line.split_once(" effects in all")?.0.rsplit_once(' ')?.1.parse().ok());
    count.unwrap_or_else(|| panic!("no count of effects: {text}"))
}

/// SIGKILL in the middle of a restore: taken back by the next command, databases included.
fn killed_at_effects_of_a_restore(host: &Host) {
    let before = tell(host);
    let whole = chom(host, &["backup", "restore", "1", "--yes", "--fault", "fail@100000"]);
    assert_eq!(whole.code, 0, "{}", whole.text);
    let (all, restored) = (effects(&whole.text), tell(host));
    good(host, &["rollback", "--yes"]);
    assert_eq!(tell(host), before);
    for (kind, at) in faults(all) {
        let fault = format!("{kind}@{at}");
        let said = chom(host, &["backup", "restore", "1", "--yes", "--fault", &fault]);
        if said.code == 137 {
            let recovered = chom(host, &["recover"]);
            assert!([0, 4].contains(&recovered.code), "{fault}: {}", recovered.text);
        } else {
            assert!([0, 1, 4].contains(&said.code) && kind == "fail", "{fault}: {} {}", said.code, said.text);
        }
        assert!(!host.root().join("var/lib/chom/restore").exists(), "{fault}: clear text stays");
        let stands = tell(host) == restored;
        assert!(said.code == 137 || stands == (said.code == 0), "{fault}: told {}, {}", said.code, said.text);
        if stands {
            good(host, &["rollback", "--yes"]);
        }
        assert_eq!(tell(host), before, "{fault}: {}", said.text);
    }
}

/// Killed at a few effects; or every kind at every one, or the part of that which is wanted.
fn faults(effects: u64) -> Vec<(&'static str, u64)> {
    let Some(part) = matrix::part() else {
        return MOMENTS.iter().map(|tenth| ("kill-after", effects * tenth / 10)).collect();
    };
    let all = (1..=effects).flat_map(|at| ["fail", "kill-before", "kill-after"].map(|kind| (kind, at)));
    (0..).zip(all).filter(|(number, _)| part.has(*number)).map(|(_, fault)| fault).collect()
}

/// SIGKILL in the middle of a backup: nothing of it is seen, and the next one is whole.
fn killed_at_effects_of_a_backup(host: &Host) {
    let list = || good(host, &["backup", "list"]);
    let before = list();
    for number in [3, 6] {
        let said = chom(host, &["backup", "create", "--fault", &format!("kill-after@{number}")]);
        assert_eq!(said.code, 137, "{}", said.text);
        assert_eq!(list(), before);
    }
    good(host, &["backup", "create"]);
    good(host, &["backup", "verify"]);
    let hidden = must(host, &["find", BACKUPS, "-name", ".chom-tmp-*"]);
    assert_eq!(hidden, "", "what was cut off is swept");
}

fn nobody_to_dump(host: &Host) {
    must(host, &["systemctl", "stop", "mariadb.service"]);
    refused(host, &["backup", "create"], 3, &["`mariadb.all`", "Can't connect"]);
    must(host, &["systemctl", "start", "mariadb.service"]);
}

fn encrypted(host: &Host) {
    let key = scratch("backup-key").join("key.txt");
    fs::remove_file(&key).ok();
    succeed(Command::new("age-keygen").arg("-o").arg(&key));
    let public = succeed(Command::new("age-keygen").arg("-y").arg(&key));
    let recipients = format!("mentat.backup.recipients=[{}]", public.trim());
    // The policy comes with this bundle; the next installation begins with a backup.
    let policy = [&recipients, "mentat.backup.before_install=true", "mentat.backup.keep=2"];
    install(host, "sealed", &policy);
    let upgraded =
        install(host, "next", &[&policy[..], &["mentat.components.till.greeting=welcome"]].concat());
    let list = good(host, &["backup", "list"]);
    let line =
        list.lines().find(|line| line.contains("before transaction")).unwrap_or_else(|| panic!("{list}"));
    let id = line.split_whitespace().next().unwrap();
    assert!(line.contains("encrypted"), "{line}");
    assert_eq!(fs::read_dir(host.root().join("var/lib/chom/backups")).unwrap().count(), 2, "keep: 2");

    let folder = host.root().join(format!("var/lib/chom/backups/{:0>6}", id));
    let tar = age(&key, &folder.join("till.ledger.tar.gz.age"));
    assert!(piped(&tar, &["tar", "tz"]).contains("srv/till/ledger"));
    let sql = age(&key, &folder.join("mariadb.all.sql.gz.age"));
    assert!(piped(&sql, &["zcat"]).contains("CREATE DATABASE"));
    assert!(age(&key, &folder.join("postgresql.sales.pgdump.age")).starts_with(b"PGDMP"));
    let sealed = fs::read(folder.join("redis.carts.rdb.gz.age")).unwrap();
    assert!(sealed.starts_with(b"age-encryption.org/v1\n"));

    assert!(good(host, &["backup", "verify", id]).contains("was not read without --identity"));
    fs::copy(&key, host.root().join("run/key.txt")).unwrap();
    let identity = ["--identity", "/run/key.txt"];
    let verified = good(host, &[&["backup", "verify", id], &identity[..]].concat());
    assert!(verified.contains(&format!("backup {id} is good")), "{verified}");
    refused(host, &["backup", "restore", id, "--yes"], 2, &["is encrypted", "--identity FILE"]);

    let before = tell(host);
    shell(host, &["redis-cli set cart:1 lost", "echo lost >/srv/till/ledger"]);
    // The configuration is the newer bundle's; what services have written comes back.
    let parts = ["--only", "redis.carts", "--only", "till.ledger", "--only", "postgresql.sales"];
    good(host, &[&["backup", "restore", id, "--yes"], &identity[..], &parts[..]].concat());
    assert_eq!(tell(host), before);
    good(host, &["rollback", "--yes"]);
    assert_eq!(must(host, &["redis-cli", "get", "cart:1"]).trim(), "lost");
    let back = upgraded.installer(host, &["rollback", "--yes"]);
    assert_eq!(back.code, 0, "{}", back.text);
    assert!(
        back.text.contains(&format!("backup {id} was made before it: chom-install backup restore {id}")),
        "{}",
        back.text
    );
    must(host, &["rm", "/run/key.txt"]);
}

fn too_large(host: &Host) {
    let small = ["mentat.components.till.limit=1KB", "mentat.backup.before_install=true"];
    install(host, "small", &small);
    refused(host, &["backup", "create"], 3, &["`till.ledger` has", "and its limit is 1 KiB"]);
    let next = unpack(
        host,
        &bundle(host, "never", &[&small[..], &["mentat.components.till.greeting=bye"]].concat()),
    );
    let said = next.installer(host, &["--yes", "--no-confirm"]);
    assert_eq!(said.code, 3, "{}", said.text);
    assert!(said.text.contains("and its limit is 1 KiB"), "{}", said.text);
}
