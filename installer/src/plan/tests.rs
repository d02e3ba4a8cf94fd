//! Plans against a directory that stands for a host.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use chom_format::step::*;
use chom_format::{Digest, HostPath, Mode, RelPath};

use super::*;
use crate::step::{Change, Entry};
use crate::sys::RealSys;

struct Host {
    dir: tempfile::TempDir,
    specs: Vec<StepSpec>,
}

impl Host {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["host/etc", "host/opt", "bundle/files"] {
            fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        let host = Self { dir, specs: Vec::new() };
        let (uid, gid) = (nix::unistd::getuid(), nix::unistd::getgid());
        host.write("etc/passwd", &format!("me:x:{uid}:{gid}::/:/bin/sh\n"), 0o644);
        host.write("etc/group", &format!("me:x:{gid}:\n"), 0o644);
        host
    }

    fn write(&self, path: &str, text: &str, mode: u32) {
        let place = self.dir.path().join("host").join(path);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(&place, text).unwrap();
        fs::set_permissions(&place, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.dir.path().join("host").join(path)).unwrap()
    }

    fn content(&self, text: &str) -> Content {
        let sha256 = Digest::of(text.as_bytes());
        let from: RelPath = format!("files/{}", sha256.short()).parse().unwrap();
        fs::write(from.under(&self.dir.path().join("bundle")), text).unwrap();
        Content { from, sha256, size: text.len() as u64 }
    }

    fn file(&mut self, path: &str, text: &str) {
        let content = self.content(text);
        let mode = Mode::from_bits(0o644);
        let spec = FileSpec { path: path.parse().unwrap(), content, mode, owner: me() };
        self.specs.push(StepSpec::File(spec));
    }

    fn step(&mut self, spec: StepSpec) {
        self.specs.push(spec);
    }

    fn entries(&self) -> Vec<Entry> {
        let component: chom_format::ComponentName = "c".parse().unwrap();
        let number = |(number, spec): (usize, &StepSpec)| {
            let id = format!("c/{number}").parse().unwrap();
            (Phase::Install, chom_format::Step { id, component: component.clone(), spec: spec.clone() })
        };
        let steps: Vec<_> = self.specs.iter().enumerate().map(number).collect();
        step::build(&steps).unwrap()
    }

    fn sys(&self) -> RealSys {
        RealSys::new(self.dir.path().join("host"))
    }

    fn plan(&self) -> Plan {
        Plan::of(&self.sys(), &self.entries(), &self.dir.path().join("bundle"), &[], || {
            Ok(Snapshot::default())
        })
        .unwrap()
    }

    fn apply(&self) {
        let (plan, entries, mut sys) = (self.plan(), self.entries(), self.sys());
        for (planned, context) in plan.effects() {
            let entry = entries.iter().find(|entry| entry.id == planned.id).unwrap();
            let Decision::Change(change) = &planned.decision else { unreachable!() };
            entry.step.apply(&mut sys, &context, change).unwrap();
        }
    }

    fn change(&self) -> Change {
        match self.plan().steps.pop().unwrap().decision {
            Decision::Change(change) => change,
            other => panic!("{other:?}"),
        }
    }
}

fn me() -> Owner {
    Owner { user: "me".parse().unwrap(), group: "me".parse().unwrap() }
}

fn path(text: &str) -> HostPath {
    text.parse().unwrap()
}

#[test]
fn a_file_is_created_and_the_second_plan_is_empty() {
    let mut host = Host::new();
    host.file("/etc/a.conf", "one\n");
    assert_eq!(host.change().diff, ["mode 0644, owner me:me", "@@ -0,0 +1,1 @@", "+one"]);
    host.apply();
    assert_eq!(host.read("etc/a.conf"), "one\n");
    assert!(host.plan().is_empty());
}

#[test]
fn content_and_mode_are_both_changes() {
    let mut host = Host::new();
    host.write("etc/a.conf", "one\n", 0o600);
    host.file("/etc/a.conf", "two\n");
    assert_eq!(host.change().diff, ["mode 0600 -> 0644", "@@ -1,1 +1,1 @@", "-one", "+two"]);
    host.write("etc/a.conf", "two\n", 0o600);
    let change = host.change();
    assert_eq!((change.verb, change.diff), ("set", vec!["mode 0600 -> 0644".to_owned()]));
    host.apply();
    assert!(host.plan().is_empty());
}

#[test]
fn what_stands_in_the_way_is_refused_by_name() {
    let mut host = Host::new();
    host.write("etc/a.conf/x", "", 0o644);
    host.file("/etc/a.conf", "one\n");
    host.file("/nowhere/a.conf", "one\n");
    let plan = host.plan();
    let refusals: Vec<&str> = plan.refusals().iter().map(|(_, conflict, _)| *conflict).collect();
    assert_eq!(
        refusals,
        [
            "/etc/a.conf is a directory, and a file is to be there",
            "/nowhere is not a directory on this host, and no earlier step makes it"
        ]
    );
    assert!(!plan.is_empty());
}

#[test]
fn a_directory_that_an_earlier_step_makes_is_counted_on() {
    let mut host = Host::new();
    let spec = DirSpec { path: path("/etc/d"), mode: Mode::from_bits(0o750), owner: me(), data: false };
    host.step(StepSpec::Dir(spec));
    host.file("/etc/d/a", "one\n");
    assert!(host.plan().refusals().is_empty());
    host.apply();
    assert_eq!(host.read("etc/d/a"), "one\n");
}

#[test]
fn links_and_absences() {
    let mut host = Host::new();
    symlink("old", host.dir.path().join("host/etc/l")).unwrap();
    host.write("etc/gone", "x", 0o644);
    host.step(StepSpec::Link(LinkSpec { path: path("/etc/l"), target: "new".to_owned() }));
    host.step(StepSpec::Absent(AbsentSpec { path: path("/etc/gone") }));
    let shown = host.plan().show(Style::default());
    assert!(shown.contains("~ replace link /etc/l -> new\n      -old\n      +new\n"), "{shown}");
    assert!(shown.contains("- remove /etc/gone\n      -a file of 1 bytes\n"), "{shown}");
    assert!(shown.ends_with("2 to change, 0 as they should be\n"), "{shown}");
    host.apply();
    assert!(host.plan().is_empty());
}

fn release(host: &Host) -> StepSpec {
    let file = |text: &str, mode| ReleaseFile { mode: Mode::from_bits(mode), content: host.content(text) };
    let files = [("bin/p", file("program", 0o755)), ("etc/x/y", file("y", 0o644))];
    let files = files.into_iter().map(|(path, file)| (path.parse().unwrap(), file)).collect();
    StepSpec::Release(ReleaseSpec { dir: path("/opt/r1"), owner: me(), files })
}

#[test]
fn a_release_comes_whole_and_is_repaired_in_place() {
    let mut host = Host::new();
    let spec = release(&host);
    host.step(spec);
    assert_eq!(host.change().writes, [(path("/opt/r1"), 8)]);
    host.apply();
    assert!(host.plan().is_empty());
    assert_eq!(fs::read_dir(host.dir.path().join("host/opt")).unwrap().count(), 1);
    host.write("opt/r1/bin/p", "PROGRAM", 0o755);
    host.write("opt/r1/stray", "", 0o644);
    let change = host.change();
    assert_eq!((change.verb, change.diff.len()), ("repair", 2));
    host.apply();
    assert_eq!(host.read("opt/r1/bin/p"), "program");
    assert!(host.plan().is_empty());
}

#[test]
fn a_plan_knows_when_it_is_out_of_date() {
    let mut host = Host::new();
    host.file("/etc/a.conf", "one\n");
    let plan = host.plan();
    assert!(plan.outdated(&host.sys()).unwrap().is_empty());
    host.write("etc/a.conf", "somebody\n", 0o644);
    assert_eq!(plan.outdated(&host.sys()).unwrap(), [path("/etc/a.conf")]);
}

#[test]
fn room_counts_writes_and_the_way_back() {
    let mut host = Host::new();
    host.write("etc/a.conf", &"x".repeat(5000), 0o644);
    host.file("/etc/a.conf", "one\n");
    let room = host.plan().room.pop().unwrap();
    assert_eq!((room.writes, room.rollback, room.inodes), (4096, 8192, 1));
    assert!(room.is_enough());
}

#[test]
fn an_irreversible_command_wants_its_name_said() {
    let mut host = Host::new();
    let argv = vec!["true".to_owned()];
    let spec =
        CommandSpec { argv, user: None, unless: vec![], touches: vec![], irreversible: true, timeout_s: 1 };
    host.step(StepSpec::Command(spec));
    let plan = host.plan();
    assert_eq!(plan.refusals().first().unwrap().2, "--accept c/0");
    let accepted = ["c/0".parse().unwrap()];
    let plan = Plan::of(&host.sys(), &host.entries(), host.dir.path(), &accepted, || Ok(Snapshot::default()))
        .unwrap();
    assert!(plan.refusals().is_empty() && plan.show(Style::default()).contains("CANNOT BE UNDONE"));
}

#[test]
fn the_plan_as_json_names_decision_verb_and_diff() {
    let mut host = Host::new();
    host.file("/etc/a.conf", "one\n");
    let json = serde_json::to_value(host.plan()).unwrap();
    let step = &json["steps"][0];
    assert_eq!((step["id"].as_str(), step["decision"].as_str()), (Some("c/0"), Some("change")));
    assert_eq!((step["verb"].as_str(), step["undo"].as_str()), (Some("create"), Some("exactly")));
}

#[test]
fn no_content_and_no_path_moves_the_cursor_out_of_its_place_in_a_plan() {
    let mut host = Host::new();
    host.write("etc/evil", "old \u{1b}[7A\u{1b}[0J\n", 0o644);
    host.file("/etc/evil", "new \u{1b}[7A\u{1b}[0J\u{9b}2J\r.\n");
    host.file("/etc/\u{202e}fdp", "text\n");
    for color in [false, true] {
        let seen = host.plan().show(Style { color, all: true });
        let own = ["\u{1b}[0m", "\u{1b}[1m", "\u{1b}[31m", "\u{1b}[32m", "\u{1b}[33m", "\u{1b}[36m"];
        let rest = own.iter().fold(seen.clone(), |text, style| text.replace(style, ""));
        assert!(!rest.contains(['\u{1b}', '\u{9b}', '\r', '\u{202e}']), "{rest:?}");
        assert_eq!(seen.contains('\u{1b}'), color, "own styles stay");
        for words in
            ["-old \\u{1b}[7A\\u{1b}[0J", "+new \\u{1b}[7A\\u{1b}[0J\\u{9b}2J\\u{d}.", "/etc/\\u{202e}fdp"]
        {
            assert!(rest.contains(words), "{words}: {rest}");
        }
    }
}
