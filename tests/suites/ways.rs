//! What is on record of a host, and how far its way back leads: another manifest counts although nothing else changes, a
//! way that is not kept in full is refused, a record that is damaged is named, and one that is lost is told and made anew.

use std::sync::LazyLock;

use chom_bundle::rehearse::{Capture, Host};
use chom_format::manifest::Suite;
use chom_tests::fleet::{Said, Unpacked, manifest, must, on_host, shell, shop, unpack};
use serde_json::Value;

const RECORD: &str = "/var/lib/chom/transactions";

/// The same services under two names of the host: the bundles differ in their manifests alone.
static FIRST: LazyLock<std::path::PathBuf> = LazyLock::new(|| shop("ways-first", &[]));
static RENAMED: LazyLock<std::path::PathBuf> =
    LazyLock::new(|| shop("ways-renamed", &["mentat.domain=shop.internal"]));
/// One that has another page.
static OTHER: LazyLock<std::path::PathBuf> =
    LazyLock::new(|| shop("ways-other", &["mentat.components.web.greeting=hey"]));

/// What a command ended with, as a program reads it.
fn json(there: &Unpacked, host: &Host, words: &[&str], code: i32) -> Value {
    let said = there.installer(host, &[words, &["--json"]].concat());
    assert_eq!(said.code, code, "{words:?}: {}", said.text);
    let mut lines = said.text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    // Events come before it.
    let last = lines.rfind(|line| line.get("event").is_none());
    let last = last.unwrap_or_else(|| panic!("{words:?} said no JSON: {}", said.text));
    if let Some(exit) = last.get("exit") {
        assert_eq!(exit.as_i64(), Some(code.into()), "{words:?}: {last}");
    }
    last
}

fn installs(there: &Unpacked, host: &Host) -> Value {
    json(there, host, &["--yes", "--no-confirm"], 0)
}

fn text(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn same(before: &Capture, host: &mut Host, what: &str) {
    assert_eq!(Capture::diff(before, &host.capture().unwrap()), Vec::new(), "{what}");
}

fn says(said: &Said, code: i32, words: &[&str]) {
    assert_eq!(said.code, code, "{}", said.text);
    for word in words {
        assert!(said.text.contains(word), "nothing of `{word}` in:\n{}", said.text);
    }
}

/// The committed manifest is that of this bundle.
fn on_record(host: &Host, id: u64, there: &Unpacked) {
    must(
        host,
        &["cmp", &format!("{RECORD}/{id:06}/manifest.json"), &format!("{}/manifest.json", there.folder)],
    );
}

#[test]
fn a_way_back_exists_in_full_or_is_refused() {
    assert_eq!(
        manifest(&FIRST).phases,
        manifest(&RENAMED).phases,
        "they would not differ in the manifest alone"
    );
    on_host(Suite::Trixie, |host| {
        let [first, renamed, other] = [&FIRST, &RENAMED, &OTHER].map(|tarball| unpack(host, tarball));
        installs(&first, host);
        let installed = host.capture().unwrap();
        another_manifest_counts(host, &first, &renamed);
        same(&installed, host, "a manifest changed the host");
        says(&renamed.installer(host, &["history"]), 0, &["rollback --to 0 leads back to the host before"]);
        // Five are kept, 3 to 7, built on 2.
        for (id, there) in [(4, &other), (5, &first), (6, &other), (7, &first)] {
            assert_eq!(installs(there, host)["transaction"], id);
        }
        a_way_that_is_not_kept(host, &first);
        a_damaged_record(host, &first);
        let back = json(&first, host, &["rollback", "--to", "2", "--yes"], 0);
        let now = text(&back, "/host");
        assert!(now.starts_with("as transaction 2 left it") && now.contains("1 to 2 are not kept"), "{back}");
        same(&installed, host, "rolled back to 2");
        let refused = json(&first, host, &["rollback", "--yes"], 3);
        assert!(text(&refused, "/error/message").contains("not kept"), "{refused}");
        // What it has is known all the same.
        let status = json(&first, host, &["status"], 0);
        assert_eq!(status["host"], "installed and healthy", "{status}");
        assert!(status["checks"].as_array().is_some_and(|checks| !checks.is_empty()), "{status}");
        assert_eq!(installs(&renamed, host)["transaction"], Value::Null, "2 was of this bundle");
        a_lost_record(host, &renamed);
    });
}

fn another_manifest_counts(host: &Host, first: &Unpacked, renamed: &Unpacked) {
    for (id, there) in [(2, renamed), (3, first)] {
        says(&there.installer(host, &["plan"]), 0, &["0 to change", "the manifest changes"]);
        let outcome = installs(there, host);
        assert_eq!((&outcome["transaction"], &outcome["effects"]), (&id.into(), &0.into()), "{outcome}");
        assert_eq!(outcome.pointer("/manifest/change"), Some(&"other".into()), "{outcome}");
        on_record(host, id, there);
        let again = installs(there, host);
        assert_eq!(again["transaction"], Value::Null, "{again}");
        says(&there.installer(host, &["plan"]), 0, &["0 to change"]);
    }
}

fn a_way_that_is_not_kept(host: &mut Host, there: &Unpacked) {
    let before = host.capture().unwrap();
    let refused = json(there, host, &["rollback", "--to", "0", "--yes"], 3);
    let message = text(&refused, "/error/message");
    assert!(message.contains("transactions 1 to 2 are not kept"), "{message}");
    assert_eq!(text(&refused, "/error/hint"), "chom-install rollback --to 2");
    assert_eq!(refused["host"], "unchanged");
    says(
        &there.installer(host, &["rollback", "--to", "1", "--yes"]),
        3,
        &["transaction 2 is not kept", "rollback --to 2"],
    );
    // `--partly` is for originals that are lost, and no way over a gap.
    says(&there.installer(host, &["rollback", "--to", "0", "--yes", "--partly"]), 3, &["rollback --to 2"]);
    says(&there.installer(host, &["rollback", "--to", "8", "--yes"]), 2, &["no transaction 8"]);
    let done = json(there, host, &["rollback", "--to", "7", "--yes"], 0);
    assert_eq!(done["transaction"], Value::Null, "{done}");
    same(&before, host, "what was refused changed the host");
    for command in ["status", "history"] {
        let told = json(there, host, &[command], 0);
        assert_eq!(told.pointer("/way_back/to"), Some(&2.into()), "{told}");
        says(&there.installer(host, &[command]), 0, &["the way back ends at transaction 2"]);
    }
}

fn a_damaged_record(host: &Host, there: &Unpacked) {
    let file = format!("{RECORD}/000007/manifest.json");
    for damage in ["echo '{' > $file", "printf x >> $file", "rm $file", "rm $file; mkdir $file"] {
        shell(host, &[&format!("file={file}; cp $file /var/tmp/kept; {damage}")]);
        for words in [&["status"][..], &["plan"], &["--yes", "--no-confirm"]] {
            let refused = json(there, host, words, 3);
            assert!(text(&refused, "/error/message").contains(&file), "{damage}: {refused}");
            assert!(text(&refused, "/error/hint").contains("copy manifest.json of bundle"), "{refused}");
        }
        shell(host, &[&format!("rm -rf {file}; cp /var/tmp/kept {file}; chmod 0600 {file}")]);
    }
    let receipt = format!("{RECORD}/000007/receipt.json");
    shell(host, &[&format!("echo '{{' > {receipt}")]);
    let refused = json(there, host, &["status"], 3);
    let hint = text(&refused, "/error/hint");
    shell(host, &[hint.rsplit_once(": ").unwrap().1]);
    json(there, host, &["status"], 0);
}

fn a_lost_record(host: &mut Host, there: &Unpacked) {
    shell(host, &["rm -r /var/lib/chom"]);
    let before = host.capture().unwrap();
    let status = json(there, host, &["status"], 0);
    assert!(text(&status, "/host").contains("has lost its record"), "{status}");
    says(
        &there.installer(host, &["plan"]),
        0,
        &["/var/lib/chom has no record", "there is no way back to before them"],
    );
    let outcome = installs(there, host);
    assert_eq!((&outcome["transaction"], &outcome["effects"]), (&1.into(), &0.into()), "{outcome}");
    assert_eq!(outcome.pointer("/manifest/change"), Some(&"adopted".into()), "{outcome}");
    on_record(host, 1, there);
    let again = installs(there, host);
    assert_eq!(again["transaction"], Value::Null, "{again}");
    let status = json(there, host, &["status"], 0);
    assert_eq!(status["host"], "installed and healthy", "{status}");
    assert_eq!(status.pointer("/way_back/adopted_by"), Some(&1.into()), "{status}");
    let back = json(there, host, &["rollback", "--to", "0", "--yes"], 0);
    assert!(text(&back, "/host").starts_with("as transaction 1 found it"), "{back}");
    same(&before, host, "taking it over changed the host");
}
