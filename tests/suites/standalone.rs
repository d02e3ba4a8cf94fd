//! The installers are static: read from their ELF headers, and seen by running in an empty root.
//! `ldd` is not asked, it calls a binary static that asks for an interpreter.

use std::fs;
use std::path::Path;
use std::process::Command;

use chom_tests::fleet::shop;
use chom_tests::{dist, need_root, succeed};

const INTERP: u32 = 3;
const DYNAMIC: u32 = 2;
const NEEDED: u64 = 1;

struct Elf {
    machine: u16,
    segments: Vec<u32>,
    needed: usize,
}

fn elf(program: &str) -> Elf {
    let bytes = fs::read(dist(program)).unwrap();
    let u16_at = |at: usize| u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap());
    let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    assert_eq!(&bytes[..5], b"\x7fELF\x02", "{program} is a 64-bit ELF file");
    let (table, entry, count) = (u64_at(32) as usize, u16_at(54) as usize, u16_at(56) as usize);
    let mut segments = Vec::new();
    let mut needed = 0;
    for header in (0..count).map(|n| table + n * entry) {
        segments.push(u32_at(header));
        if u32_at(header) == DYNAMIC {
            let (offset, size) = (u64_at(header + 8) as usize, u64_at(header + 32) as usize);
            needed += (offset..offset + size).step_by(16).filter(|at| u64_at(*at) == NEEDED).count();
        }
    }
    Elf { machine: u16_at(18), segments, needed }
}

#[test]
fn no_program_asks_for_an_interpreter_or_a_library() {
    for (program, machine) in
        [("chom-install-x86_64", 62), ("chom-install-aarch64", 183), ("chom-bundle", 62)]
    {
        let elf = elf(program);
        assert_eq!(elf.machine, machine, "{program}");
        assert!(!elf.segments.contains(&INTERP), "{program} has an INTERP segment");
        assert_eq!(elf.needed, 0, "{program} needs a library");
    }
}

#[test]
fn the_installer_runs_in_an_empty_root() {
    need_root();
    let root = tempfile::tempdir().unwrap();
    fs::copy(dist("chom-install-x86_64"), root.path().join("chom-install")).unwrap();
    let version = succeed(Command::new("chroot").arg(root.path()).args(["/chom-install", "--version"]));
    assert!(version.starts_with("chom-install "), "{version}");
    let facts = succeed(Command::new("chroot").arg(root.path()).args(["/chom-install", "facts", "--json"]));
    let facts: chom_format::Facts = serde_json::from_str(&facts).unwrap();
    assert!(facts.cpu >= 1, "{facts:?}");
}

#[test]
fn faults_are_for_those_who_have_allowed_them() {
    let run = |words: &[&str], allowed: &str| {
        let output = Command::new(dist("chom-install-x86_64"))
            .args(words)
            .env("CHOM_FAULTS", allowed)
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(text).unwrap())
    };
    for allowed in ["", "0"] {
        let (code, text) = run(&["facts", "--fault", "fail@1"], allowed);
        assert!(code == 2 && text.contains("CHOM_FAULTS=1") && !text.contains("effects in all"), "{text}");
        assert!(!run(&["--help"], allowed).1.contains("--fault"));
    }
    let (code, text) = run(&["facts", "--fault", "fail@1"], "1");
    assert!(code == 0 && text.contains("fail@1: 0 effects in all"), "{text}");
    assert!(run(&["--help"], "1").1.contains("--fault"));
}

#[test]
fn the_other_architecture_runs_under_emulation() {
    need_root();
    let installer = |words: &[&str]| {
        succeed(Command::new("qemu-aarch64-static").arg(dist("chom-install-aarch64")).args(words))
    };
    let version = installer(&["--version"]);
    assert!(version.starts_with("chom-install "), "{version}");
    let facts: chom_format::Facts = serde_json::from_str(&installer(&["facts", "--json"])).unwrap();
    assert!(facts.arch == "aarch64" && facts.cpu >= 1 && facts.memory_mb > 0, "{facts:?}");

    let bundle = shop("aarch64", &["mentat.arch=aarch64"]);
    let bundle = bundle.to_str().unwrap();
    let verified = installer(&["verify", "--json", "--bundle", bundle]);
    let verified: serde_json::Value = serde_json::from_str(verified.lines().last().unwrap()).unwrap();
    assert!(verified["files"].as_u64().unwrap() > 5 && verified["host"] == "mentat", "{verified}");

    let root = debian();
    let plan = |more: &[&str]| {
        let root = root.path().to_str().unwrap();
        let words = ["plan", "--json", "--any-host", "--bundle", bundle, "--root", root];
        let plan = installer(&[&words, more].concat());
        serde_json::from_str::<serde_json::Value>(plan.lines().last().unwrap()).unwrap()
    };
    let before = listing(root.path());
    let changes = planned(&plan(&[]));
    for wanted in ["redis/etc/redis/redis.conf", "web/srv/shop/page/index.html", "web/unit"] {
        assert!(changes.iter().any(|id| id == wanted), "{wanted} is not planned: {changes:?}");
    }
    assert_eq!(listing(root.path()), before, "a plan writes nothing");
    // What is there already is no change: it did look at that directory.
    let page = root.path().join("srv/shop/page");
    fs::create_dir_all(&page).unwrap();
    fs::write(page.join("index.html"), "<p>hello</p>\n").unwrap();
    let fewer = planned(&plan(&[]));
    assert!(!fewer.iter().any(|id| id == "web/srv/shop/page/index.html"), "{fewer:?}");
}

/// A directory that looks like the root of a Debian host of that architecture.
fn debian() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in [
        ("etc/os-release", "ID=debian\nVERSION_ID=\"13\"\nVERSION_CODENAME=trixie\n"),
        ("etc/hostname", "mentat\n"),
        ("etc/passwd", "root:x:0:0:root:/root:/bin/bash\n"),
        ("etc/group", "root:x:0:\n"),
        ("etc/systemd/system/.keep", ""),
        ("var/lib/dpkg/status", ""),
    ] {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    root
}

fn listing(root: &Path) -> String {
    succeed(Command::new("find").arg(root).args(["-printf", "%p %m %T@\n"]))
}

fn planned(plan: &serde_json::Value) -> Vec<String> {
    let steps = plan["plan"]["steps"].as_array().unwrap_or_else(|| panic!("{plan}"));
    let changes = steps.iter().filter(|step| step["decision"] == "change");
    changes.map(|step| step["id"].as_str().unwrap().to_owned()).collect()
}
