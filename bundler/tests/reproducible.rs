//! The program as a user runs it: a stack of his own, built in two checkouts that have nothing in common but their
//! content.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const INVENTORY: &str = "version: 1.0.0\nenvironment: test\ndefaults: { suite: trixie, arch: x86_64 }\nhosts:\n  one:\n    address: 10.77.0.10\n    stacks: [small]\n";
const STACK: &str =
    "summary: A page\nrequires: { cpu: 1, memory_mb: 64, disk_gb: 1 }\nroot: /opt/small\nowner: root:root\n";
const COMPONENT: &str = "summary: One file\nsettings:\n  words: { type: map, default: { b: two, a: one, c: three }, help: Words }\nfiles:\n  - { path: /etc/small/page, template: small/page.tera, mode: \"0644\", owner: \"root:root\" }\n";
const TEMPLATE: &str =
    "{{ host.name }}\n{% for key, value in settings.words %}{{ key }}={{ value }}\n{% endfor %}";

/// A 64-bit x86 program without any segment: static as can be.
fn installer() -> Vec<u8> {
    let mut bytes = vec![0; 64];
    bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
    bytes[16] = 2;
    bytes[18] = 62;
    bytes
}

fn checkout(root: &Path) {
    for (path, text) in [
        ("inventory.yaml", INVENTORY),
        ("targets/small/stack.yaml", STACK),
        ("targets/small/page.yaml", COMPONENT),
        ("templates/small/page.tera", TEMPLATE),
    ] {
        fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
        fs::write(root.join(path), text).unwrap();
    }
    fs::write(root.join("installer"), installer()).unwrap();
}

fn run(root: &Path, umask: &str, settings: &[(&str, &str)], words: &[&str]) -> Output {
    let mut command = Command::new("sh");
    command
        .args(["-c", "umask \"$0\"; exec \"$@\"", umask])
        .arg(assert_cmd::cargo::cargo_bin!("chom-bundle"));
    command
        .args(words)
        .current_dir(root)
        .env("CHOM_CACHE", root.join("cache"))
        .env_remove("SOURCE_DATE_EPOCH");
    command.envs(settings.iter().copied());
    command.output().unwrap()
}

fn built(root: &Path, umask: &str, settings: &[(&str, &str)]) -> (PathBuf, Vec<u8>) {
    let output = run(root, umask, settings, &["build", "--installer", "installer"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let path = root.join(text.trim());
    let bytes = fs::read(&path).unwrap();
    (path, bytes)
}

#[test]
fn two_checkouts_give_the_same_bytes() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let deeper = other.path().join("a much/longer path");
    fs::create_dir_all(&deeper).unwrap();
    checkout(one.path());
    checkout(&deeper);
    let (path, first) = built(one.path(), "022", &[("LANG", "C"), ("TZ", "UTC")]);
    let (_, second) =
        built(&deeper, "077", &[("LANG", "tr_TR.UTF-8"), ("LC_ALL", "tr_TR.UTF-8"), ("TZ", "Asia/Kolkata")]);
    assert_eq!(first, second);
    let name = path.file_name().unwrap();
    assert_eq!(
        fs::read_to_string(one.path().join("dist").join(format!("{}.sha256", name.display()))).unwrap(),
        fs::read_to_string(deeper.join("dist").join(format!("{}.sha256", name.display()))).unwrap()
    );
    let mode = |path: &Path| std::os::unix::fs::MetadataExt::mode(&path.metadata().unwrap()) & 0o777;
    assert_eq!((mode(&path), mode(&deeper.join("dist").join(name))), (0o600, 0o600));

    let (_, dated) = built(one.path(), "022", &[("SOURCE_DATE_EPOCH", "1700000000")]);
    assert_ne!(dated, second);
    let refused =
        run(one.path(), "022", &[("SOURCE_DATE_EPOCH", "tomorrow")], &["build", "--installer", "installer"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("SOURCE_DATE_EPOCH"));
}

#[test]
fn a_bundle_is_verified_inspected_and_compared() {
    let root = tempfile::tempdir().unwrap();
    checkout(root.path());
    let (path, bytes) = built(root.path(), "022", &[]);
    let file = path.to_str().unwrap();
    let go = |words: &[&str]| run(root.path(), "022", &[], words);
    let text = |output: &Output| String::from_utf8_lossy(&output.stdout).into_owned();

    assert!(text(&go(&["verify", file])).contains("every byte as listed"));
    let json: serde_json::Value = serde_json::from_slice(&go(&["inspect", "--json", file]).stdout).unwrap();
    assert_eq!(json["manifest"]["host"]["name"], "one");
    assert_eq!(go(&["diff", file, file]).status.code(), Some(0));

    let set = ["--set", "one.components.page.words={a: four}", "build", "--installer", "installer"];
    let other = root.path().join(text(&go(&set)).trim());
    let difference = go(&["diff", file, other.to_str().unwrap()]);
    assert_eq!(difference.status.code(), Some(1));
    assert!(text(&difference).contains("-b=two"), "{}", text(&difference));

    let mut changed = bytes.clone();
    changed[bytes.len() / 2] ^= 1;
    fs::write(&path, changed).unwrap();
    let refused = go(&["verify", file]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("hint: "));
}

#[test]
fn the_files_can_be_reviewed_before_anything_is_locked() {
    let root = tempfile::tempdir().unwrap();
    checkout(root.path());
    let output = run(root.path(), "022", &[], &["render"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        text.starts_with("==> one:/etc/small/page (0644 root:root)\none\na=one\nb=two\nc=three\n"),
        "{text}"
    );
    let written = run(root.path(), "022", &[], &["render", "--output", "review"]);
    assert!(written.status.success());
    assert_eq!(
        fs::read_to_string(root.path().join("review/one/etc/small/page")).unwrap(),
        "one\na=one\nb=two\nc=three\n"
    );

    let typo = TEMPLATE.replace("settings.words", "settings.wrods");
    fs::write(root.path().join("templates/small/page.tera"), typo).unwrap();
    let refused = run(root.path(), "022", &[], &["build", "--installer", "installer"]);
    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        said.contains("templates/small/page.tera:2:22") && said.contains("`wrods` is not declared"),
        "{said}"
    );
    assert!(!root.path().join("dist").exists(), "no bundle exists");
}

#[test]
fn an_installer_that_is_none_is_refused_before_the_work() {
    let root = tempfile::tempdir().unwrap();
    checkout(root.path());
    fs::write(root.path().join("installer"), "#!/bin/sh\n").unwrap();
    let refused = run(root.path(), "022", &[], &["build", "--installer", "installer"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("no 64-bit Linux program"));
}
