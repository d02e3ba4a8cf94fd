//! Whole components through the renderer: what comes out, and what is refused at which place.

use std::collections::BTreeMap;
use std::sync::Arc;

use chom_format::manifest::{Arch, Suite};
use chom_format::{ComponentName, HostName};
use serde_json::{Value, json};

use super::sources::Sources;
use super::wanted::{Open, Rendered};
use super::{Releases, Renderer};
use crate::problem::Problems;
use crate::resolve::{Address, Component, Fleet, Host, Mirrors, Origins, Specs, Ssh, Tls};
use crate::stack::component::{ComponentFile, SettingKind};
use crate::stack::{Catalog, Stack, TextFile};

/// A fleet from component texts.
pub(crate) struct Bench {
    pub(crate) fleet: Fleet,
    pub(crate) sources: Sources,
}

pub(crate) const STACK: &str =
    "summary: s\nrequires: { cpu: 1, memory_mb: 512, disk_gb: 5 }\nroot: /opt/web\nowner: root:root\n";

impl Bench {
    pub(crate) fn new(hosts: &[(&str, &str)]) -> Self {
        let hosts = hosts.iter().map(|(name, address)| {
            let host = host(name, address);
            (host.name.clone(), host)
        });
        let fleet = Fleet {
            version: "1.2.3".into(),
            environment: "test".into(),
            hosts: hosts.collect(),
            mirrors: Mirrors::default(),
            origins: Origins::default(),
        };
        Self { fleet, sources: Sources::default() }
    }

    /// A component on a host, with settings over its defaults.
    pub(crate) fn component(mut self, host: &str, name: &str, yaml: &str, settings: Value) -> Self {
        let path = format!("targets/web/{name}.yaml");
        let file: ComponentFile =
            serde_saphyr::from_str(yaml).unwrap_or_else(|error| panic!("{path}: {error}"));
        self.sources.add_component(TextFile { shown: path.clone(), text: yaml.into() });
        let mut values: BTreeMap<String, Value> =
            file.settings.iter().map(|(key, setting)| (key.clone(), setting.default.clone())).collect();
        values.extend(serde_json::from_value::<BTreeMap<String, Value>>(settings).unwrap());
        let name: ComponentName = name.parse().unwrap();
        let component = Component {
            stack: "web".parse().unwrap(),
            name: name.clone(),
            enabled: true,
            source: file.payload.as_ref().map(|payload| payload.source),
            version: None,
            settings: values,
            file: Arc::new(file),
            path,
        };
        self.fleet
            .hosts
            .get_mut(&host.parse::<HostName>().unwrap())
            .unwrap()
            .components
            .insert(name, component);
        self
    }

    pub(crate) fn template(mut self, name: &str, text: &str) -> Self {
        let text = TextFile { shown: format!("templates/{name}"), text: text.into() };
        self.sources.templates.insert(name.into(), text);
        self
    }

    pub(crate) fn host(&self, name: &str) -> &Host {
        &self.fleet.hosts[&name.parse::<HostName>().unwrap()]
    }

    pub(crate) fn render(&self, host: &str) -> Result<Rendered, Problems> {
        let releases =
            Releases::from([("web".parse().unwrap(), "/opt/web/releases/0123456789ab".parse().unwrap())]);
        Renderer::new(&self.fleet, &self.sources)?.host(self.host(host), &releases)
    }

    fn problems(&self) -> Vec<String> {
        let problems = self.render("a").unwrap_err();
        problems.iter().map(|p| format!("{}:{}:{} {}", p.file, p.line, p.column, p.message)).collect()
    }
}

fn host(name: &str, address: &str) -> Host {
    Host {
        backup: Default::default(),
        dwell_s: 20,
        name: name.parse().unwrap(),
        address: Address::Ip(address.parse().unwrap()),
        fqdn: format!("{name}.internal"),
        domain: None,
        names: Vec::new(),
        tls: Tls::default(),
        ssh: Ssh { user: "root".into(), port: 22, key: None, host_key: None },
        arch: Arch::X86_64,
        suite: Suite::Trixie,
        machine_id: None,
        specs: Specs::default(),
        stacks: vec!["web".parse().unwrap()],
        stack_files: [("web".parse().unwrap(), Arc::new(serde_saphyr::from_str(STACK).unwrap()))].into(),
        components: BTreeMap::new(),
    }
}

fn one(yaml: &str) -> Bench {
    Bench::new(&[("a", "10.9.0.1")]).component("a", "app", yaml, json!({}))
}

#[test]
fn entries_are_filled_in_repeated_and_left_out() {
    let yaml = r#"
summary: s
settings:
  port: { type: port, default: 8080, help: h }
  users: { type: list, default: [ann, bob], help: h }
  extra: { type: bool, default: false, help: h }
  note: { type: string, default: null, help: h }
files:
  - path: "/etc/app/{{ item }}.conf"
    each: "{{ settings.users }}"
    when: "{{ item != 'bob' }}"
    template: web/user.tera
    mode: "0640"
    owner: root:root
  - { path: /etc/app/n, content: "{{ settings.port }}", mode: "0644", owner: "root:root", when: "{{ settings.extra }}" }
  - { path: /etc/app/p, content: "{{ settings.port }}", mode: "0644", owner: "root:root" }
units:
  - { name: app.service, content: "ExecStart={{ bin }}/app {{ release }}\n", timeout: 5s }
ports: [{ port: "{{ settings.port }}", unit: app.service, open: app }]
commands: [{ id: x, argv: ["{{ bin }}/x", "{{ settings.port }}"] }]
"#;
    let bench =
        one(yaml).template("web/user.tera", "{{ item }}@{{ host.fqdn }}{% if settings.note %}!{% endif %}\n");
    let rendered = bench.render("a").unwrap();
    let app = &rendered.components[0];
    let files: Vec<(&str, &str)> =
        app.files.iter().map(|file| (file.value.path.as_str(), file.value.content.as_str())).collect();
    assert_eq!(files, [("/etc/app/ann.conf", "ann@a.internal\n"), ("/etc/app/p", "8080")]);
    assert_eq!(app.files[0].at.place().0, 9);
    let unit = &app.units[0].value;
    assert_eq!(unit.content.as_deref(), Some("ExecStart=/opt/web/bin/app /opt/web/releases/0123456789ab\n"));
    assert_eq!((unit.enable, unit.start, unit.timeout), (true, true, 5));
    assert_eq!(
        (app.ports[0].value.port, &app.ports[0].value.open),
        (8080, &Open::PeersWith("app".parse().unwrap()))
    );
    assert_eq!(app.commands[0].value.argv, ["/opt/web/bin/x", "8080"]);
    assert_eq!(rendered.warnings, []);
}

#[test]
fn every_undefined_name_is_told_with_its_place_at_once() {
    let yaml = r#"summary: s
settings:
  smtp: { type: string, default: null, help: h }
files:
  - { path: "/etc/{{ nope }}", content: x, mode: "0644", owner: "root:root" }
  - path: /etc/b
    content: |
      one
        {{ settings.smtp }}
    mode: "0644"
    owner: root:root
  - { path: /etc/c, template: web/c.tera, mode: "0644", owner: "root:root" }
  - { path: /etc/d, template: web/gone.tera, mode: "0644", owner: "root:root" }
checks:
  - { id: x, tcp: { address: "127.0.0.1:{{ settings.prot }}" } }
"#;
    let bench =
        one(yaml).template("web/c.tera", "a\n{% if settings.nope %}{% endif %}\n b {{ host.nome }} c\n");
    let problems = bench.problems();
    let expected = [
        "targets/web/app.yaml:5:22 variable `nope` is not defined; there are: bin, components, fleet, host, hosts, release, scrape, settings (in `{{ nope }}`)",
        "targets/web/app.yaml:9:21 setting `smtp` has no value: set it in the inventory, or stand the text in `{% if settings.smtp %}` (in `{{ settings.smtp }}`)",
        "targets/web/app.yaml:13:31 there is no template `web/gone.tera`",
        "targets/web/app.yaml:15:44 setting `prot` is not declared by this component; there are: smtp (in `{{ settings.prot }}`)",
        "templates/web/c.tera:2:7 setting `nope` is not declared by this component; there are: smtp (in `{% if settings.nope %}`)",
    ];
    for (found, expected) in problems.iter().zip(expected) {
        assert_eq!(found, expected);
    }
    assert!(
        problems[5].starts_with(
            "templates/web/c.tera:3:7 field `nome` of `host` is not defined; there are: address"
        )
    );
    assert_eq!(problems.len(), 6, "{problems:#?}");
}

#[test]
fn wrong_fields_and_types_name_the_entry() {
    let problems = one(r#"summary: s
files:
  - { path: etc/x, content: x, mode: "0644", owner: "root:root" }
  - { path: /etc/x, content: x, mode: 644, owner: "root:root" }
  - { path: /etc/x, mode: "0644", owner: "root:root" }
dirs:
  - { path: /srv/x, mode: "0755", owner: root, colour: red }
  - { path: /srv/y, mode: "0755", owner: root }
units: [{ name: app, timeout: soon }]
links: [{ path: /l, target: x, when: maybe }, { path: /m, target: x, each: one }]
"#)
    .problems();
    for (line, says) in
        [(3, "not absolute"), (4, "644"), (5, "either"), (7, "colour"), (8, "root:root"), (9, "unit name")]
    {
        assert!(
            problems
                .iter()
                .any(|p| p.starts_with(&format!("targets/web/app.yaml:{line}:")) && p.contains(says)),
            "{line} {says}: {problems:#?}"
        );
    }
    assert!(problems.iter().any(|p| p.contains("neither true nor false")), "{problems:#?}");
    assert!(problems.iter().any(|p| p.contains("no list")), "{problems:#?}");
}

#[test]
fn a_broken_template_is_placed() {
    let problems = one("summary: s\n").template("web/x.tera", "ok\n{% if %}\n").problems();
    assert!(problems[0].starts_with("templates/web/x.tera:2:7 found `%}`"), "{problems:?}");
}

const EXPORTER: &str = r#"
summary: s
scrape:
  - { job: node, port: 9100 }
  - { job: own, port: 9101, path: /own/metrics, local: true }
"#;

#[test]
fn scrape_targets_come_from_the_whole_fleet() {
    let yaml =
        "summary: s\nfiles: [{ path: /etc/s, template: web/s.tera, mode: '0644', owner: 'root:root' }]\n";
    let bench = Bench::new(&[("a", "10.9.0.1"), ("b", "fd00::2")])
        .component("a", "exporter", EXPORTER, json!({}))
        .component("b", "exporter", EXPORTER, json!({}))
        .component("a", "prom", yaml, json!({}))
        .template("web/s.tera", "{% for j in scrape %}{{ j.job }} {{ j.scheme }} {{ j.path }}{% for t in j.targets %} {{ t.address }}={{ t.host }}/{{ t.fqdn }}{% endfor %}\n{% endfor %}");
    let rendered = bench.render("a").unwrap();
    let prom = rendered.components.iter().find(|component| component.name.as_str() == "prom").unwrap();
    assert_eq!(
        prom.files[0].value.content,
        "node http /metrics 127.0.0.1:9100=a/a.internal [fd00::2]:9100=b/b.internal\nown http /own/metrics 127.0.0.1:9101=a/a.internal\n"
    );
}

#[test]
fn two_claims_to_one_path_port_or_unit_are_refused() {
    let other = r#"summary: s
dirs: [{ path: /etc/shared, mode: "0755", owner: "root:root" }, { path: /etc/app/x/y, mode: "0755", owner: "root:root" }]
files: [{ path: /etc/app/x, content: b, mode: "0644", owner: "root:root", reload: gone.service }]
absent: [{ path: /etc/systemd/system/app.service }]
units: [{ name: app.service }]
ports: [{ port: 80, unit: other.service, open: none }]
"#;
    let app = r#"summary: s
dirs: [{ path: /etc/shared, mode: "0755", owner: "root:root" }]
files: [{ path: /etc/app/x, content: a, mode: "0644", owner: "root:app" }, { path: /opt/web/bin/x, content: a, mode: "0644", owner: "root:root" }]
units: [{ name: app.service, content: x }]
ports: [{ port: 80, unit: app.service, open: none }, { port: 80, unit: app.service, open: public }]
"#;
    let problems = one(app).component("a", "other", other, json!({})).problems();
    for says in [
        "other.yaml:3:9 /etc/app/x is wanted a second time; the first is at targets/web/app.yaml:3",
        "other.yaml:2:65 /etc/app/x/y lies below /etc/app/x, which is a file",
        "other.yaml:4:10 /etc/systemd/system/app.service is wanted a second time",
        "other.yaml:5:9 unit app.service is there a second time",
        "other.yaml:6:9 port 80 of other.service is already that of app.service (targets/web/app.yaml:5)",
        "other.yaml:3:9 no enabled component of this host has a unit gone.service",
        "app.yaml:3:9 /etc/app/x belongs to group app, which nothing makes",
        "app.yaml:3:76 /opt/web/bin/x lies in /opt/web/bin, which belongs to the releases",
    ] {
        assert!(problems.iter().any(|p| p.contains(says)), "{says}\n{problems:#?}");
    }
    assert_eq!(problems.len(), 8, "{problems:#?}");
}

#[test]
fn prefixes_are_compared_wherever_a_service_is_asked() {
    let yaml = r#"summary: s
files:
  - { path: /etc/p/prometheus.yml, template: web/p.tera, mode: "0644", owner: "root:root" }
  - { path: /etc/n.conf, template: web/n.tera, mode: "0644", owner: "root:root" }
units:
  - { name: p.service, content: "ExecStart=/x --web.listen-address=127.0.0.1:9090 --web.route-prefix=/prometheus\n" }
ports: [{ port: 9090, unit: p.service, open: none }]
scrape: [{ job: p, port: 9090, path: /metrics }]
checks: [{ id: r, http: { url: "http://127.0.0.1:9090/-/ready", status: [200] } }, { id: ok, http: { url: "http://127.0.0.1:9090/prometheus/-/ready", status: [200] } }]
"#;
    let prometheus = "alerting:\n  alertmanagers:\n    - path_prefix: /am\n      static_configs: [{ targets: ['127.0.0.1:9090'] }]\nscrape_configs:\n  - job_name: a\n    static_configs: [{ targets: ['localhost:9090'] }]\n  - job_name: b\n    metrics_path: /prometheus/metrics\n    static_configs: [{ targets: ['localhost:9090'] }]\n";
    let nginx =
        "proxy_pass http://127.0.0.1:9090;\nproxy_pass http://127.0.0.1:9090/;\n# http://127.0.0.1:9090/\n";
    let problems = one(yaml).template("web/p.tera", prometheus).template("web/n.tera", nginx).problems();
    for place in [
        "app.yaml:8:10 this metrics path",
        "app.yaml:9:10 this check",
        "templates/web/n.tera:2:1 this URL",
        "templates/web/p.tera:3:1 path_prefix",
        "templates/web/p.tera:6:1 metrics_path",
    ] {
        assert!(problems.iter().any(|p| p.contains(place)), "{place}\n{problems:#?}");
    }
    assert_eq!(problems.len(), 5, "{problems:#?}");
}

#[test]
fn a_second_default_datasource_and_a_broken_file_are_refused() {
    let yaml = r#"summary: s
files:
  - { path: /etc/grafana/provisioning/datasources/d.yaml, template: web/d.tera, mode: "0644", owner: "root:root" }
  - { path: /etc/x.json, content: "{,}", mode: "0644", owner: "root:root" }
  - { path: /etc/x.yml, content: "a: [1", mode: "0644", owner: "root:root" }
"#;
    let sources = "datasources:\n  - name: P\n    uid: p\n    isDefault: true\n  - name: {{ host.name }}\n    uid: p\n    isDefault: {{ 1 == 1 }}\n";
    let problems = one(yaml).template("web/d.tera", sources).problems();
    assert!(
        problems
            .iter()
            .any(|p| p.contains("app.yaml:3:5 datasource a is a second default beside P (line 7 of")),
        "{problems:#?}"
    );
    assert!(problems.iter().any(|p| p.contains("has the uid `p` of P")), "{problems:#?}");
    assert!(
        problems.iter().any(|p| p.contains("not JSON")) && problems.iter().any(|p| p.contains("not YAML")),
        "{problems:#?}"
    );
}

#[test]
fn a_template_that_nothing_names_is_a_warning() {
    let yaml =
        "summary: s\nfiles: [{ path: /x, template: web/used.tera, mode: '0644', owner: 'root:root' }]\n";
    let bench = one(yaml)
        .template("web/used.tera", "{% include \"web/part.tera\" %}")
        .template("web/part.tera", "x")
        .template("web/typo.tera", "x")
        .template("other/typo.tera", "x");
    let warnings = bench.render("a").unwrap().warnings;
    assert_eq!(warnings.iter().map(|w| &*w.file).collect::<Vec<_>>(), ["templates/web/typo.tera"]);
}

// One built-in stack on two hosts: as it comes, or all of its components with a value for each setting.
fn built_in(catalog: &Catalog, stack: &Stack, values: bool) -> Bench {
    let mut bench = Bench::new(&[("a", "10.9.0.1"), ("b", "10.9.0.2")]);
    bench.sources = Sources::new(catalog);
    for host in bench.fleet.hosts.values_mut() {
        host.stacks = vec![stack.name.clone()];
        host.stack_files = [(stack.name.clone(), Arc::clone(&stack.file))].into();
        for (part, loaded) in &stack.components {
            let settings = loaded.file.settings.iter().map(|(key, setting)| {
                let value = match setting.default {
                    Value::Null if values => example(setting.kind),
                    ref default => default.clone(),
                };
                (key.clone(), value)
            });
            let component = Component {
                stack: stack.name.clone(),
                name: part.clone(),
                enabled: values || loaded.file.enabled,
                source: loaded.file.payload.as_ref().map(|payload| payload.source),
                version: None,
                settings: settings.collect(),
                file: Arc::clone(&loaded.file),
                path: loaded.source.shown.clone(),
            };
            host.components.insert(part.clone(), component);
        }
    }
    bench
}

fn example(kind: SettingKind) -> Value {
    match kind {
        SettingKind::Bool => json!(true),
        SettingKind::Integer => json!(7),
        SettingKind::Port => json!(5432),
        SettingKind::Duration => json!("30d"),
        SettingKind::Size => json!("20GB"),
        SettingKind::Url => json!("https://front.internal/x"),
        SettingKind::Network => json!("10.9.0.0/24"),
        SettingKind::Name => json!("chom"),
        SettingKind::Mail => json!("ops@arrakis.internal"),
        SettingKind::ShortSize => json!("64M"),
        SettingKind::CryptHash => json!("$6$salt$hash"),
        SettingKind::Address => json!("10.9.0.9"),
        SettingKind::Path | SettingKind::SecretFile => json!("/root/secret"),
        SettingKind::List => json!(["one"]),
        SettingKind::Map => json!({ "one": "two" }),
        SettingKind::String | SettingKind::Text | SettingKind::Enum => json!("text"),
    }
}

#[test]
fn everything_built_in_renders() {
    let catalog = Catalog::parse(&crate::stack::Sources::built_in()).unwrap();
    for (stack, values) in catalog.stacks.values().flat_map(|stack| [(stack, false), (stack, true)]) {
        let bench = built_in(&catalog, stack, values);
        let releases =
            Releases::from([(stack.name.clone(), "/opt/r/releases/0123456789ab".parse().unwrap())]);
        let rendered = Renderer::new(&bench.fleet, &bench.sources)
            .and_then(|renderer| renderer.host(bench.host("a"), &releases))
            .unwrap_or_else(|problems| panic!("{} with values {values}: {problems}", stack.name));
        assert_eq!(rendered.components.len(), bench.host("a").enabled().len());
        assert_eq!(rendered.warnings, []);
    }
}

// Names that a template's loop over a setting binds.
fn bound_by_loops<'t>(text: &'t str, setting: &str) -> Vec<&'t str> {
    let loops = text
        .split("{%")
        .filter_map(|tag| tag.split("%}").next()?.trim_matches(['-', ' ']).strip_prefix("for "));
    let over = loops.filter_map(|head| head.split_once(" in ")).filter(|(_, over)| over.trim() == setting);
    over.flat_map(|(names, _)| names.split(',').map(str::trim)).collect()
}

#[test]
fn no_built_in_template_prints_a_free_text_bare() {
    let catalog = Catalog::parse(&crate::stack::Sources::built_in()).unwrap();
    let free =
        |kind: Option<SettingKind>| matches!(kind, None | Some(SettingKind::String | SettingKind::Text));
    let mut looked_at = 0;
    for (stack, part) in
        catalog.stacks.values().flat_map(|stack| stack.components.values().map(move |part| (stack, part)))
    {
        let own = format!("{}/{}/", part.home, part.name);
        for (name, declared) in &part.file.settings {
            let whole = free(Some(declared.kind));
            let holds = matches!(declared.kind, SettingKind::List | SettingKind::Map) && free(declared.of);
            for (template, text) in &catalog.templates {
                let seen = match template.starts_with(&own) {
                    true => format!("settings.{name}"),
                    false => format!("components.{}.settings.{name}", part.name),
                };
                let mut bare = if whole || holds { vec![seen.clone()] } else { Vec::new() };
                if holds {
                    bare.extend(bound_by_loops(&text.text, &seen).into_iter().map(str::to_owned));
                }
                for name in bare {
                    looked_at += 1;
                    let printed = [format!("{{{{ {name} }}}}"), format!("{{{{- {name} }}}}")];
                    let found = printed.iter().any(|printed| text.text.contains(printed));
                    assert!(!found, "{}: {template} prints `{name}` without `quote`", stack.name);
                }
            }
        }
    }
    assert!(looked_at > 20, "{looked_at}");
}
