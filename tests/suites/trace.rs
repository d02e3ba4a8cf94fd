//! The system calls of one installation, and of taking it back, on a real host: nothing happens before the record
//! that announces it is on the disk, and nothing is left unsynced when the next record is written. The checker
//! itself is shown traces that are wrong on purpose.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::process::Command;

use chom_format::manifest::Suite;
use chom_tests::fleet::{bundle, on_host, scratch, unpack};
use chom_tests::succeed;
use chom_tests::trace::{Breach, Checker, check, traced as calls};

#[test]
fn one_installation_announces_and_syncs_all_that_it_does() {
    on_host(Suite::Trixie, |host| {
        let there = unpack(host, &bundle(Suite::Trixie));
        let program = format!("{}/chom-install", there.folder);
        let leader = host.leader().unwrap().to_string();
        // The way back goes on with the journal of the installation.
        let mut checker = Checker::default();
        for (words, least) in [
            (&["install", "--yes", "--no-confirm"][..], 100),
            (&["install", "--yes", "--no-confirm"], 100),
            (&["rollback", "--yes"], 200),
        ] {
            let file = scratch("trace").join(format!("{}-{}", words[0], std::process::id()));
            traced(&leader, &program, words, &file);
            checker.read(BufReader::new(File::open(&file).unwrap())).unwrap();
            let checked = checker.checked();
            println!(
                "{}: {} records, {} changes of the host, {} renames, {} paths, {} lines",
                words[0], checked.records, checked.changes, checked.renames, checked.paths, checked.lines
            );
            assert_eq!(summed(&checked.breaches), Vec::<String>::new(), "{}", file.display());
            assert!(
                checked.records >= 20 && checked.changes >= least,
                "{words:?}: {} records, {} changes: that was no installation",
                checked.records,
                checked.changes
            );
            std::fs::remove_file(&file).unwrap();
        }
    });
}

/// Each kind of breach once, with how often it came and the first line.
fn summed(breaches: &[Breach]) -> Vec<String> {
    let mut kinds: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for breach in breaches {
        kinds.entry(&breach.what).or_insert((0, breach.line)).0 += 1;
    }
    kinds
        .iter()
        .map(|(what, (times, line))| format!("{what} ({times} times, first in line {line})"))
        .collect()
}

// Followed from this machine, across the namespaces of the host: nothing has to be installed on it.
fn traced(leader: &str, program: &str, words: &[&str], file: &Path) {
    let mut command = Command::new("strace");
    command
        .args(["-f", "-Y", "-y", "-xx", "-s", "1000000", "-e", &calls(), "-e", "signal=none", "-o"])
        .arg(file);
    command.args(["nsenter", "-t", leader, "-m", "-p", "-u", "-i", "-n", "-C", "--", program]).args(words);
    succeed(&mut command);
}

const JOURNAL: &str = "/var/lib/chom/transactions/000001/journal";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect()
}

fn line(call: &str) -> String {
    format!("17<{}> {call} = 0", hex(b"chom-install"))
}

fn text(path: &str) -> String {
    format!("\"{}\"", hex(path.as_bytes()))
}

fn record(json: &str) -> [String; 2] {
    let frame = [&[0; 48][..], json.as_bytes(), b"\n"].concat();
    let journal = hex(JOURNAL.as_bytes());
    [
        line(&format!("pwrite64(4<{journal}>, \"{}\", {}, 0)", hex(&frame), frame.len())),
        line(&format!("fdatasync(4<{journal}>)")),
    ]
}

fn intent(path: &str) -> [String; 2] {
    record(&format!(
        r#"{{"record":"intent","step":"a/b","token":"0badcafe","touches":[{{"resource":"path","path":"{path}"}}]}}"#
    ))
}

const TEMPORARY: &str = ".chom-tmp-0badcafe-17";

fn fd(number: u32, path: &str) -> String {
    format!("{number}<{}>", hex(path.as_bytes()))
}

/// A file that is written, given attributes, synced, renamed to its place, and its directory synced.
fn file(path: &str) -> Vec<String> {
    let (dir, name) = path.rsplit_once('/').unwrap();
    let (temporary, dir) = (fd(5, &format!("{dir}/{TEMPORARY}")), fd(4, dir));
    vec![
        line(&format!("openat({dir}, {}, O_RDWR|O_CREAT|O_EXCL|O_NOFOLLOW, 0600)", text(TEMPORARY)))
            .replace("= 0", &format!("= {temporary}")),
        line(&format!("write({temporary}, \"\\x61\", 1)")),
        line(&format!("fchownat({temporary}, \"\", 0, 0, AT_EMPTY_PATH)")),
        line(&format!("chmod({}, 0644)", text("/proc/thread-self/fd/5"))),
        line(&format!("utimensat({temporary}, \"\", [UTIME_OMIT, {{tv_sec=1}}], AT_EMPTY_PATH)")),
        line(&format!("fsync({temporary})")),
        line(&format!("renameat2({dir}, {}, {dir}, {}, RENAME_NOREPLACE)", text(TEMPORARY), text(name))),
        line(&format!("fsync({})", dir.replace("4<", "6<"))),
    ]
}

/// One step that is as it should be.
fn good() -> Vec<String> {
    let mut all = record(r#"{"record":"begin"}"#).to_vec();
    all.extend(intent("/etc/app/x.conf"));
    all.extend(file("/etc/app/x.conf"));
    all.extend(record(r#"{"record":"done","step":"a/b","after":[]}"#));
    all
}

fn breaches(trace: &[String]) -> Vec<String> {
    check(&trace.join("\n")).breaches.into_iter().map(|breach| breach.what).collect()
}

#[test]
fn a_trace_that_is_right_passes() {
    assert_eq!(breaches(&good()), Vec::<String>::new());
    let checked = check(&good().join("\n"));
    assert_eq!((checked.records, checked.renames), (3, 1));
    assert_eq!(checked.changes, 6, "a file, its owner, mode and time, and the two names of the rename");
}

#[test]
fn a_call_on_two_lines_is_one() {
    let mut trace = good();
    let at = trace.iter().position(|line| line.contains("fdatasync")).unwrap();
    let whole = trace.remove(at);
    let (begin, _) = whole.split_once(") = 0").unwrap();
    trace.insert(at, format!("{begin} <unfinished ...>"));
    trace.insert(at + 1, "99<\\x64\\x70\\x6b\\x67> fsync(3<\\x2f\\x61>) = 0".to_owned());
    trace.insert(at + 2, format!("17<{}> <... fdatasync resumed>) = 0", hex(b"chom-install")));
    assert_eq!(breaches(&trace), Vec::<String>::new());
}

/// The good trace without the lines in which all of these stand.
fn without(words: &[&str]) -> Vec<String> {
    let all = good();
    let kept: Vec<String> =
        all.iter().filter(|line| !words.iter().all(|word| line.contains(word))).cloned().collect();
    assert_eq!(kept.len() + 1, all.len(), "{words:?}");
    kept
}

/// The good trace with one more call in the step, before the file is there.
fn with(call: &str) -> Vec<String> {
    let mut trace = good();
    trace.insert(4, line(call));
    trace
}

fn has(trace: &[String], wanted: &str) {
    let found = breaches(trace);
    assert!(found.iter().any(|what| what.contains(wanted)), "not `{wanted}`: {found:#?}");
}

#[test]
fn wrong_orders_are_found() {
    // The intent is written, and not synced before the first effect.
    let mut trace = good();
    trace.remove(3);
    has(&trace, "before the record that announces it");
    // There is no intent at all.
    trace.remove(2);
    has(&trace, "no record announces it");
    // The intent is about another path.
    let mut trace = good();
    trace.splice(2..4, intent("/etc/app/y.conf"));
    has(&trace, "/etc/app/x.conf changes, and no record announces it");
    // It says nothing of temporary names.
    let trace: Vec<String> =
        good().iter().map(|line| line.replace(&hex(b"0badcafe"), &hex(b"01234567"))).collect();
    assert_eq!(breaches(&trace), Vec::<String>::new(), "another token, announced");
    let mut trace = good();
    trace[2] = trace[2].replace(&hex(b"0badcafe"), &hex(b"01234567"));
    has(&trace, "is a temporary name that no record announces");
    // The file is not synced before it is renamed, nor after.
    has(&without(&["fsync(5<"]), "without its content");
    // The directory is not synced.
    has(&without(&["fsync(6<"]), "names in /etc/app are not on the disk");
    // An effect after the step is done.
    let mut trace = good();
    trace.extend(file("/etc/app/x.conf"));
    has(&trace, "no record announces it");
    // A program that runs before its announcement is durable.
    let mut trace = good();
    trace[3] = line(&format!("execve({}, [], 0x1)", text("/usr/bin/dpkg")));
    has(&trace, "a program is run before");
    // What only a child sees is nobody's concern, and a thread beside it is.
    let apart = [vec![line("unshare(CLONE_NEWNS)")], file("/etc/app/x.conf")].concat();
    assert_eq!(breaches(&apart), Vec::<String>::new());
    let beside: Vec<String> = apart.iter().skip(1).map(|line| line.replacen("17<", "18<", 1)).collect();
    has(&[&apart[..1], &beside[..]].concat(), "no record announces it");
    // What other programs do is not the installer's.
    let foreign = good().into_iter().map(|line| line.replace(&hex(b"chom-install"), &hex(b"dpkg")));
    assert_eq!(check(&foreign.collect::<Vec<_>>().join("\n")).records, 0);
}

/// Every call that changes something, aimed at a path that no record announces.
#[test]
fn every_call_that_changes_something_is_seen() {
    let (etc, other, name) = (fd(7, "/etc"), fd(8, "/etc/other"), text("other"));
    let magic = text("/proc/thread-self/fd/8");
    for call in [
        format!("openat({etc}, {name}, O_WRONLY|O_CREAT|O_NOFOLLOW, 0600)"),
        format!("openat({etc}, {name}, O_WRONLY|O_TRUNC|O_NOFOLLOW)"),
        format!("renameat2({etc}, {name}, {etc}, {}, RENAME_EXCHANGE)", text("more")),
        format!("renameat({etc}, {}, {etc}, {name})", text("more")),
        format!("unlinkat({etc}, {name}, 0)"),
        format!("mkdirat({etc}, {name}, 0700)"),
        format!("mknodat({etc}, {name}, S_IFIFO|0600)"),
        format!("symlinkat({}, {etc}, {name})", text("/target")),
        format!("linkat({}, {}, {etc}, {name}, 0)", fd(9, "/srv"), text("original")),
        format!("fchown({other}, 0, 0)"),
        format!("fchownat({other}, \"\", 0, 0, AT_EMPTY_PATH)"),
        format!("fchownat({etc}, {name}, 0, 0, AT_SYMLINK_NOFOLLOW)"),
        format!("fchmod({other}, 0600)"),
        format!("fchmodat2({etc}, {name}, 0600, AT_SYMLINK_NOFOLLOW)"),
        format!("utimensat({other}, \"\", NULL, AT_EMPTY_PATH)"),
        format!("utimensat({other}, NULL, NULL, 0)"),
        format!("fsetxattr({other}, {}, {}, 1, 0)", text("user.a"), text("b")),
        format!("fremovexattr({other}, {})", text("user.a")),
        format!("write({other}, {}, 1)", text("a")),
        format!("pwritev({other}, [{{iov_base={}}}], 1, 0)", text("a")),
        format!("ftruncate({other}, 0)"),
        format!("fallocate({other}, 0, 0, 4096)"),
        format!("copy_file_range({}, NULL, {other}, NULL, 1, 0)", fd(9, "/srv/file")),
        format!("sendfile({other}, {}, NULL, 1)", fd(9, "/srv/file")),
    ] {
        has(&with(&call), "/etc/other changes, and no record announces it");
    }
    // By the name of a descriptor: the last word that the trace had of it counts.
    for call in [
        format!("chmod({magic}, 0600)"),
        format!("setxattr({magic}, {}, {}, 1, 0)", text("user.a"), text("b")),
        format!("removexattr({magic}, {})", text("user.a")),
    ] {
        let mut trace = with(&call);
        trace.insert(
            4,
            line(&format!("openat({etc}, {name}, O_PATH|O_NOFOLLOW)")).replace("= 0", &format!("= {other}")),
        );
        has(&trace, "/etc/other changes, and no record announces it");
        has(&with(&call), "goes by a path and not by a descriptor");
    }
}

#[test]
fn ways_on_which_a_call_can_be_led_astray_are_found() {
    let (dir, here) = (fd(7, "/etc/app"), format!("AT_FDCWD<{}>", hex(b"/root")));
    let (name, deep, whole) = (text("x"), text("a/x"), text("/etc/app/x"));
    let magic = text("/proc/thread-self/fd/7/x");
    for (call, wanted) in [
        (format!("openat({dir}, {name}, O_RDONLY)"), "follows a link at /etc/app/x"),
        (format!("statx({dir}, {name}, AT_STATX_SYNC_AS_STAT, STATX_ALL, {{}})"), "follows a link"),
        (format!("newfstatat({dir}, {name}, {{}}, 0)"), "follows a link"),
        (format!("faccessat({dir}, {name}, R_OK)"), "follows a link"),
        (format!("fchownat({dir}, {name}, 0, 0, 0)"), "follows a link"),
        (format!("fchmodat({dir}, {name}, 0600)"), "follows a link"),
        (format!("linkat({dir}, {name}, {dir}, {}, AT_SYMLINK_FOLLOW)", text("y")), "follows a link"),
        (format!("getxattr({magic}, {}, 0x1, 1)", text("user.a")), "follows a link at /etc/app/x"),
        (
            format!("openat({dir}, {deep}, O_RDONLY|O_NOFOLLOW)"),
            "several names below a descriptor: /etc/app/a/x",
        ),
        (format!("readlinkat({dir}, {deep}, 0x1, 1)"), "several names"),
        (format!("unlinkat({dir}, {}, 0)", text("../x")), "several names"),
        (
            format!("openat({here}, {whole}, O_RDONLY|O_NOFOLLOW)"),
            "by a path and not by a descriptor: /etc/app/x",
        ),
        (format!("openat({here}, {name}, O_RDONLY|O_NOFOLLOW)"), "by a path and not by a descriptor: x"),
        (format!("openat({dir}, {whole}, O_RDONLY|O_NOFOLLOW)"), "by a path"),
        (format!("lstat({whole}, {{}})"), "by a path"),
        (format!("access({whole}, F_OK)"), "by a path"),
        (format!("rename({whole}, {})", text("/etc/app/y")), "by a path"),
        (format!("mount({name}, {whole}, {name}, 0, NULL)"), "by a path"),
        (format!("openat({here}, {}, O_RDONLY)", text("/proc/1/root/etc/app/x")), "by a path"),
        (format!("openat({here}, {}, O_RDONLY)", text("/dev/../etc/app/x")), "by a path"),
        (format!("open_by_handle_at({dir}, {{}}, O_RDONLY)"), "does not know how"),
        (format!("acct({whole})"), "acct takes a path, and this checker does not know how"),
    ] {
        // What the descriptor is, the trace has told before.
        let known = line(&format!("statx({dir}, \"\", AT_EMPTY_PATH, STATX_ALL, {{}})"));
        let mut trace = with(&call);
        trace.insert(4, known);
        has(&trace, wanted);
        // Also when it came to nothing.
        trace[5] = trace[5].replace("= 0", "= -1 ENOENT (No such file or directory)");
        has(&trace, wanted);
    }
    for call in [
        format!("openat({dir}, {}, O_RDONLY|O_DIRECTORY)", text(".")),
        format!("openat({dir}, {name}, O_RDONLY|O_NOFOLLOW)"),
        format!("statx({dir}, {name}, AT_STATX_SYNC_AS_STAT|AT_SYMLINK_NOFOLLOW, STATX_ALL, {{}})"),
        format!("statx({dir}, \"\", AT_EMPTY_PATH, STATX_ALL, {{}})"),
        format!("readlinkat({dir}, \"\", 0x1, 1)"),
        format!("openat({here}, {}, O_PATH|O_DIRECTORY)", text("/")),
        format!("openat({here}, {}, O_RDONLY)", text("/proc/self/mountinfo")),
    ] {
        assert_eq!(breaches(&with(&call)), Vec::<String>::new(), "{call}");
    }
}
