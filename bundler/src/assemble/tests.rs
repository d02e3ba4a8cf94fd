//! Whole hosts through the assembler: which steps come out, in which order, and what is refused.

use chom_format::step::{ActivateSpec, ExposeSpec, InstallSpec, PrepareSpec, Step};
use chom_format::{Manifest, PackageName};
use serde_json::json;

use super::*;
use crate::render::tests::Bench;
use crate::resolve::Address;

pub(crate) const APP: &str = r#"
summary: s
after: [store]
settings:
  port: { type: port, default: 8080, help: h }
  greeting: { type: string, default: hello, help: h }
accounts: [{ name: app, home: /var/lib/app, groups: [adm] }]
dirs:
  - { path: /var/lib/app, mode: "0750", owner: "app:app", data: true }
  - { path: /etc/app, mode: "0755", owner: "root:root" }
files:
  - { path: /etc/app/z.conf, content: "{{ settings.greeting }}\n", mode: "0640", owner: "root:app", reload: app.service }
  - { path: /etc/app/a.conf, content: "a\n", mode: "0644", owner: "root:root", restart: app.service }
links: [{ path: /etc/app/on, target: z.conf, reload: [app.service, store.service] }]
absent: [{ path: /etc/app/default, reload: app.service }]
validate: [{ argv: ["{{ release }}/bin/app", --check], tree: /etc/app, timeout: 30s }]
units: [{ name: app.service, content: "ExecStart={{ bin }}/app\n", runs: [bin/app, share/app/page], timeout: 60s }]
commands: [{ id: migrate, argv: ["{{ bin }}/app", migrate], user: app, touches: [/var/lib/app] }]
ports: [{ port: "{{ settings.port }}", unit: app.service, open: store }, { port: 80, unit: app.service, open: public }]
checks: [{ id: ready, deadline: 2m, tcp: { address: "127.0.0.1:8080" } }]
"#;

pub(crate) const STORE: &str = r#"
summary: s
accounts: [{ name: app, home: /var/lib/app, groups: [www-data] }]
dirs: [{ path: /etc/app, mode: "0755", owner: "root:root" }]
units: [{ name: store.service }]
"#;

pub(crate) const FIREWALL: &str = "summary: s\n";

pub(crate) fn bench() -> Bench {
    Bench::new(&[("a", "10.9.0.1"), ("b", "fd00::2"), ("c", "10.9.0.3")])
        .component("a", "app", APP, json!({}))
        .component("a", "store", STORE, json!({}))
        .component("a", "firewall", FIREWALL, json!({}))
        .component("b", "store", STORE, json!({}))
        .component("c", "app", APP, json!({}))
}

pub(crate) fn payloads() -> Payloads {
    let file = |text: &str, mode| {
        let (sha256, size) = (Digest::of(text.as_bytes()), text.len() as u64);
        ReleaseFile {
            mode: chom_format::Mode::from_bits(mode),
            content: Content { from: ids::object(&sha256), sha256, size },
        }
    };
    let files = [("bin/app", file("program", 0o755)), ("share/app/page", file("page", 0o644))];
    let files = files.map(|(path, file)| (path.parse().unwrap(), file)).into();
    let release = Release { dir: "/opt/web/releases/0123456789ab".parse().unwrap(), files };
    let name: PackageName = "tool".parse().unwrap();
    let content = Content { from: ids::object(&Digest::of(b"deb")), sha256: Digest::of(b"deb"), size: 3 };
    let deb =
        Deb { name: name.clone(), version: "1:2-3".into(), arch: "all".into(), installed_kb: 9, content };
    let origin = PartOrigin::Debian { arch: "all".into(), suite: "trixie" };
    Payloads {
        releases: [("web".parse().unwrap(), release)].into(),
        packages: Some(Packages { roots: vec![name], debs: vec![deb], index: "Package: tool\n".into() }),
        parts: vec![Part {
            name: "tool".into(),
            version: "1:2-3".into(),
            sha256: Digest::of(b"deb"),
            origin,
        }],
    }
}

pub(crate) fn assembled(bench: &Bench) -> Result<Assembled, Problems> {
    let rendered = bench.render("a").unwrap_or_else(|problems| panic!("{problems}"));
    assemble(&bench.fleet, bench.host("a"), &rendered, &payloads(), Digest::of(b"lock"))
}

fn ids<S>(steps: &[Step<S>]) -> Vec<&str> {
    steps.iter().map(|step| step.id.as_str()).collect()
}

fn manifest() -> Manifest {
    assembled(&bench()).unwrap_or_else(|problems| panic!("{problems}")).manifest
}

#[test]
fn steps_stand_in_the_order_in_which_they_must_run() {
    let phases = manifest().phases;
    assert_eq!(
        ids(&phases.prepare),
        [
            "host/packages",
            "store/account/app",
            "store/etc/app",
            "web/opt/web",
            "web/opt/web/releases",
            "app/var/lib/app"
        ]
    );
    assert_eq!(
        ids(&phases.install),
        [
            "web/release",
            "app/validate",
            "app/etc/app/a.conf",
            "app/etc/app/z.conf",
            "app/etc/systemd/system/app.service",
            "app/etc/app/on",
            "app/etc/app/default",
        ]
    );
    assert_eq!(ids(&phases.activate), ["web/bin", "store/unit", "app/unit", "app/migrate"]);
    assert_eq!(ids(&phases.expose), ["firewall/rules"]);
}

#[test]
fn an_account_of_two_components_is_made_once_with_the_groups_of_both() {
    let phases = manifest().phases;
    let PrepareSpec::Account(account) = &phases.prepare[1].spec else { panic!("{:?}", phases.prepare[1]) };
    let groups: Vec<&str> = account.groups.iter().map(chom_format::AccountName::as_str).collect();
    assert_eq!(groups, ["adm", "www-data"]);
}

#[test]
fn a_validation_guards_what_lies_in_its_tree() {
    let phases = manifest().phases;
    let InstallSpec::Validate(validate) = &phases.install[1].spec else { panic!("{:?}", phases.install[1]) };
    let guards: Vec<&str> = validate.guards.iter().map(chom_format::StepId::as_str).collect();
    assert_eq!(guards, ["app/etc/app/a.conf", "app/etc/app/z.conf", "app/etc/app/on", "app/etc/app/default"]);
    assert_eq!(validate.argv[0], "/opt/web/releases/0123456789ab/bin/app");
}

#[test]
fn a_unit_knows_its_inputs_and_programs() {
    let phases = manifest().phases;
    let units: Vec<_> = phases
        .activate
        .iter()
        .filter_map(|step| match &step.spec {
            ActivateSpec::Unit(unit) => Some(unit),
            _ => None,
        })
        .collect();
    let text = |paths: &[HostPath]| paths.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(text(&units[0].restart_on), [""; 0], "its package brings the unit file");
    assert_eq!(text(&units[0].reload_on), ["/etc/app/on"]);
    assert_eq!(text(&units[1].restart_on), ["/etc/app/a.conf", "/etc/systemd/system/app.service"]);
    assert_eq!(text(&units[1].reload_on), ["/etc/app/default", "/etc/app/on", "/etc/app/z.conf"]);
    let runs: Vec<_> = units[1].runs.iter().map(|(path, digest)| (path.as_str(), *digest)).collect();
    let wanted = [
        ("/opt/web/bin/app", Digest::of(b"program")),
        ("/opt/web/releases/0123456789ab/share/app/page", Digest::of(b"page")),
    ];
    assert_eq!(runs, wanted);
    let ActivateSpec::Link(link) = &phases.activate[0].spec else { panic!("{:?}", phases.activate[0]) };
    assert_eq!((link.path.as_str(), link.target.as_str()), ("/opt/web/bin", "releases/0123456789ab/bin"));
}

#[test]
fn openings_follow_from_ports_and_peers() {
    let phases = manifest().phases;
    let ExposeSpec::Firewall(firewall) = &phases.expose[0].spec;
    let rules: Vec<_> =
        firewall.rules.iter().map(|rule| (rule.port, rule.from.as_deref(), rule.why.as_str())).collect();
    assert_eq!(rules, [(80, None, "app"), (8080, Some("fd00::2"), "app from b")]);
    assert_eq!(firewall.ssh_port, 22);

    let mut named = bench();
    named.fleet.hosts.get_mut("b").unwrap().address = Address::Name("b.internal".into());
    let problems = assembled(&named).unwrap_err();
    assert!(problems.to_string().contains("whose address b.internal is a name"), "{problems}");

    let mut without = bench();
    without.fleet.hosts.get_mut("a").unwrap().components.get_mut("firewall").unwrap().enabled = false;
    assert_eq!(assembled(&without).unwrap().manifest.phases.expose, []);
}

#[test]
fn the_manifest_says_whom_it_is_for_and_what_it_asks() {
    let mut bench = bench();
    bench.fleet.hosts.get_mut("a").unwrap().specs.memory_mb = Some(256);
    let assembled = assembled(&bench).unwrap();
    let manifest = &assembled.manifest;
    assert_eq!(manifest.host.hostnames, ["a", "a.internal"]);
    assert_eq!((manifest.requires.cpus, manifest.requires.memory_mb, manifest.requires.disk_gb), (1, 512, 5));
    assert_eq!(manifest.ports.iter().map(|port| port.port).collect::<Vec<_>>(), [80, 8080]);
    assert_eq!((manifest.checks[0].id.as_str(), manifest.checks[0].deadline_s), ("app/ready", 120));
    assert_eq!(manifest.bundle.version, "1.2.3");
    assert!(assembled.warnings[0].message.contains("has 256 MiB of memory"), "{:?}", assembled.warnings);
}

#[test]
fn everything_that_steps_draw_on_is_there_and_nothing_else() {
    let assembled = assembled(&bench()).unwrap();
    let drawn: std::collections::BTreeSet<_> =
        assembled.manifest.contents().into_iter().map(|c| c.from).collect();
    assert_eq!(drawn, assembled.contents.keys().cloned().collect());
    for content in assembled.manifest.contents() {
        match &assembled.contents[&content.from] {
            Source::Bytes(bytes) => assert_eq!(Digest::of(bytes), content.sha256),
            Source::Object { sha256, size } => assert_eq!((*sha256, *size), (content.sha256, content.size)),
        }
    }
}

#[test]
fn what_cannot_be_is_refused_at_its_place() {
    let wrong = r#"
summary: s
files:
  - { path: /etc/x/A, content: a, mode: "0644", owner: "root:root" }
  - { path: /etc/x/a, content: a, mode: "0644", owner: "root:root" }
validate: [{ argv: [x], tree: /etc/y }]
units: [{ name: x.service, runs: [bin/none] }]
commands: [{ id: same, argv: [a] }, { id: same, argv: [b] }]
checks: [{ id: same, tcp: { address: "a:1" } }, { id: same, tcp: { address: "a:1" } }]
"#;
    let problems = assembled(&bench().component("a", "wrong", wrong, json!({}))).unwrap_err();
    let text = problems.to_string();
    for says in [
        "wrong.yaml:6:12: nothing that this host gets lies below /etc/y",
        "wrong.yaml:7:9: `runs` names bin/none, which the release does not hold",
        "wrong/same: two steps have this id",
        "wrong.yaml:9:49: a check wrong/same is there already",
        "differs from files/etc/x/A in upper and lower case only",
    ] {
        assert!(text.contains(says), "{says}\n{text}");
    }
}

const KEPT: &str = r#"
summary: s
backup:
  - { id: pages, limit: 100MB, stop: [app.service], paths: [/srv/app], exclude: ["*.tmp"] }
  - { id: data, limit: 1GB, postgresql: { database: app } }
"#;

fn kept(change: impl FnOnce(&mut crate::resolve::Backup)) -> Result<Assembled, Problems> {
    let mut bench = bench().component("a", "kept", KEPT, json!({}));
    change(&mut bench.fleet.hosts.get_mut("a").unwrap().backup);
    assembled(&bench)
}

#[test]
fn what_is_backed_up_stands_in_the_manifest_and_changes_a_file() {
    assert_eq!(manifest().backup, None, "nothing is named, so nothing is said");
    let one = kept(|_| {}).unwrap();
    let spec = one.manifest.backup.clone().unwrap();
    let names: Vec<&str> = spec.parts.iter().map(|part| part.name.as_str()).collect();
    assert_eq!(names, ["kept.pages", "kept.data"]);
    assert_eq!((spec.parts[0].limit, spec.policy.keep, spec.policy.recipients.len()), (100 << 20, 7, 0));
    let note = |assembled: &Assembled| match &assembled.contents["files/etc/chom/backup.json"] {
        Source::Bytes(bytes) => serde_json::from_slice::<chom_format::BackupSpec>(bytes).unwrap(),
        Source::Object { .. } => panic!("it is no payload"),
    };
    assert_eq!(note(&one), spec);
    let other = kept(|backup| backup.policy.keep = 3).unwrap();
    assert_ne!(note(&other), spec, "another policy is a change that a plan shows");
    assert!(!ids(&one.manifest.phases.activate).contains(&"chom-backup/timer"), "a timer comes on request");
}

#[test]
fn a_timer_comes_on_request_as_files_and_a_unit() {
    let assembled = kept(|backup| backup.schedule = Some("*-*-* 03:30".to_owned())).unwrap();
    let files = ids(&assembled.manifest.phases.install);
    for name in ["backup.service", "backup.timer"] {
        assert!(files.contains(&&*format!("chom-backup/etc/systemd/system/chom-{name}")), "{files:?}");
    }
    assert!(ids(&assembled.manifest.phases.activate).contains(&"chom-backup/timer"));
    let Source::Bytes(timer) = &assembled.contents["files/etc/systemd/system/chom-backup.timer"] else {
        panic!()
    };
    assert!(String::from_utf8_lossy(timer).contains("OnCalendar=*-*-* 03:30\n"));
}

#[test]
fn backups_that_cannot_be_are_told_all_at_once() {
    let told = |assembled: Result<Assembled, Problems>| assembled.unwrap_err().to_string();
    let problems = told(kept(|backup| backup.policy.dir = "/srv/app/backups".parse().unwrap()));
    assert!(problems.contains("holds /srv/app/backups, where the backups lie"), "{problems}");
    let mut idle = bench();
    idle.fleet.hosts.get_mut("a").unwrap().backup.schedule = Some("daily".to_owned());
    assert!(told(assembled(&idle)).contains("no component of the host names anything"));
}
