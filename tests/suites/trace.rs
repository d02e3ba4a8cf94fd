//! The system calls of one installation, and of taking it back, on a real host: nothing happens before the record
//! that announces it is on the disk, and nothing is left unsynced when the next record is written. The checker
//! itself is shown traces that are wrong on purpose.

use std::path::Path;
use std::process::Command;

use chom_format::manifest::Suite;
use chom_tests::fleet::{bundle, on_host, scratch, unpack};
use chom_tests::succeed;
use chom_tests::trace::check;

const CALLS: &str = "trace=open,openat,creat,rename,renameat,renameat2,fsync,fdatasync,syncfs,sync,pwrite64,write,\
    mkdir,mkdirat,unlink,unlinkat,rmdir,symlink,symlinkat,link,linkat,chmod,fchmodat,lchown,fchownat,utimensat,\
    lsetxattr,lremovexattr,ftruncate,execve,unshare";

#[test]
fn one_installation_announces_and_syncs_all_that_it_does() {
    on_host(Suite::Trixie, |host| {
        let there = unpack(host, &bundle(Suite::Trixie));
        let program = format!("{}/chom-install", there.folder);
        let leader = host.leader().unwrap().to_string();
        // The way back goes on with the journal of the installation.
        let mut trace = String::new();
        for (words, least) in
            [(&["install", "--yes", "--no-confirm"][..], 100), (&["rollback", "--yes"], 200)]
        {
            let file = scratch("trace").join(format!("{}-{}", words[0], std::process::id()));
            traced(&leader, &program, words, &file);
            trace.push_str(&std::fs::read_to_string(&file).unwrap());
            let checked = check(&trace);
            println!(
                "{}: {} records, {} changes of the host, {} renames, {} lines",
                words[0],
                checked.records,
                checked.changes,
                checked.renames,
                trace.lines().count()
            );
            let shown: Vec<_> = checked.breaches.iter().take(20).collect();
            assert!(
                checked.breaches.is_empty(),
                "{} of {shown:#?}\n{}",
                checked.breaches.len(),
                file.display()
            );
            assert!(
                checked.records >= 20 && checked.changes >= least,
                "{checked:?}: that was no installation"
            );
            std::fs::remove_file(&file).unwrap();
        }
    });
}

// Followed from this machine, across the namespaces of the host: nothing has to be installed on it.
fn traced(leader: &str, program: &str, words: &[&str], file: &Path) {
    let mut command = Command::new("strace");
    command
        .args(["-f", "-Y", "-y", "-xx", "-s", "1000000", "-e", CALLS, "-e", "signal=none", "-o"])
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
        r#"{{"record":"intent","step":"a/b","touches":[{{"resource":"path","path":"{path}"}}]}}"#
    ))
}

/// A file that is written, synced, renamed to its place, and its directory synced.
fn file(path: &str) -> Vec<String> {
    let temporary = "/etc/app/.chom-tmp-0";
    vec![
        line(&format!("open({}, O_WRONLY|O_CREAT|O_EXCL|O_CLOEXEC, 0600)", text(temporary))),
        line(&format!("write(5<{}>, \"\\x61\", 1)", hex(temporary.as_bytes()))),
        line(&format!("fsync(5<{}>)", hex(temporary.as_bytes()))),
        line(&format!("rename({}, {})", text(temporary), text(path))),
        line(&format!("fsync(6<{}>)", hex(b"/etc/app"))),
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
    assert_eq!(checked.changes, 3, "a file under its temporary name, and the two names of the rename");
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

/// The trace without its nth line.
fn without(nth: usize) -> Vec<String> {
    let mut trace = good();
    trace.remove(nth);
    trace
}

#[test]
fn wrong_traces_are_found() {
    let has = |trace: &[String], wanted: &str| {
        let found = breaches(trace);
        assert!(found.iter().any(|what| what.contains(wanted)), "not `{wanted}`: {found:#?}");
    };
    // The intent is written, and not synced before the first effect.
    has(&without(3), "before the record that announces it");
    // There is no intent at all.
    let mut trace = without(3);
    trace.remove(2);
    has(&trace, "no record announces it");
    // The intent is about another path.
    let mut trace = good();
    trace.splice(2..4, intent("/etc/app/y.conf"));
    has(&trace, "/etc/app/x.conf changes, and no record announces it");
    // The file is not synced before it is renamed, nor after.
    has(&without(6), "without its content");
    // The directory is not synced.
    has(&without(8), "names in /etc/app are not on the disk");
    // An effect after the step is done.
    let mut trace = good();
    trace.extend(file("/etc/app/x.conf"));
    has(&trace, "no record announces it");
    // A program that runs before its announcement is durable.
    let mut trace = without(3);
    trace.insert(3, line(&format!("execve({}, [], 0x1)", text("/usr/bin/dpkg"))));
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
