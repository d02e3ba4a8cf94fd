//! Whole inventories in, values, origins and problems out.

use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::inventory::load::parse;
use crate::stack::{Sources, TextFile};

const STACK: &str =
    "summary: s\nrequires: {cpu: 1, memory_mb: 1, disk_gb: 1}\nroot: /opt/s\nowner: root:root\n";
const PROMETHEUS: &str = "
summary: metrics
after: [alertmanager]
settings:
  port: { type: port, default: 9090, help: h }
  retention: { type: duration, default: 15d, help: h }
  labels: { type: map, default: {}, help: h }
  extra: { type: list, default: [], help: h }
payload:
  source: debian
  debian: { packages: [prometheus] }
  upstream:
    version: 3.5.0
    url: https://host/{version}
    sums: https://host/sums
    members: { a: b }
";
const ALERTMANAGER: &str = "
summary: alerts
settings:
  email_to: { type: string, default: null, help: h }
  smtp_host: { type: address, default: null, help: h }
  smtp_port: { type: port, default: 587, help: h }
  smtp_user: { type: string, default: null, help: h }
  smtp_from: { type: string, default: null, help: h }
  smtp_password_file: { type: secret_file, default: null, help: h }
";

fn catalog() -> Catalog {
    let vpsmanager = format!("{STACK}includes: [observability/node_exporter]\n");
    let mut sources = Sources::default();
    for (path, text) in [
        ("targets/observability/stack.yaml", STACK),
        ("targets/observability/prometheus.yaml", PROMETHEUS),
        ("targets/observability/alertmanager.yaml", ALERTMANAGER),
        ("targets/observability/node_exporter.yaml", "summary: n\n"),
        ("targets/observability/promtail.yaml", "summary: p\nenabled: false\n"),
        ("targets/vpsmanager/stack.yaml", &vpsmanager),
    ] {
        sources.0.insert(path.to_owned(), TextFile { shown: path.to_owned(), text: Arc::from(text) });
    }
    Catalog::parse(&sources).unwrap()
}

fn resolved(text: &str, environment: &[(&str, &str)], set: &[&str]) -> Resolved {
    let request = Request {
        environment: environment.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect(),
        set: set.iter().map(|option| (*option).to_owned()).collect(),
        ..Request::default()
    };
    layers(parse("inventory.yaml", Arc::from(text)).unwrap(), catalog(), &request)
}

fn fleet(text: &str, environment: &[(&str, &str)], set: &[&str]) -> Fleet {
    let resolved = resolved(text, environment, set);
    assert_eq!(told(&resolved), "");
    resolved.fleet.unwrap()
}

fn told(resolved: &Resolved) -> String {
    let one = |p: &Problem| format!("{}:{}:{} {} | {}", p.file, p.line, p.column, p.message, p.remedy);
    resolved.problems.iter().map(one).collect::<Vec<_>>().join("\n")
}

const GOOD: &str = "version: 1.4
defaults:
  ssh: { user: ops }
  components:
    prometheus: { retention: 20d }
hosts:
  mentat:
    address: 10.0.0.1
    domain: mentat.internal
    stacks: [observability]
    components:
      prometheus:
        port: 9091
        source: upstream
        version: 3.6
  landsraad:
    address: fd00::2
    stacks: [vpsmanager]
";

#[test]
fn every_layer_lies_over_the_one_below() {
    let key = "components.prometheus.retention";
    let environment = [("CHOM__MENTAT__COMPONENTS__PROMETHEUS__RETENTION", "40d")];
    let set = ["mentat.components.prometheus.retention=50d"];
    let stated = GOOD.replace("port: 9091", "port: 9091\n        retention: 30d");
    let bare = GOOD.replace("    prometheus: { retention: 20d }\n", "    {}\n");
    for (text, environment, set, value, layer) in [
        (bare.as_str(), &[][..], &[][..], "15d", Layer::ComponentDefault),
        (GOOD, &[], &[], "20d", Layer::Defaults),
        (&stated, &[], &[], "30d", Layer::Host),
        (&stated, &environment, &[], "40d", Layer::Environment),
        (&stated, &environment, &set, "50d", Layer::CommandLine),
    ] {
        let fleet = fleet(text, environment, set);
        let mentat = &fleet.hosts["mentat"];
        assert_eq!(mentat.components["prometheus"].settings["retention"], json!(value));
        assert_eq!(fleet.origins.of(&format!("hosts.mentat.{key}")).unwrap().layer, layer);
    }
}

#[test]
fn a_host_is_complete_and_typed() {
    let fleet = fleet(GOOD, &[], &[]);
    assert_eq!((fleet.version.as_str(), fleet.environment.as_str()), ("1.4", "production"));
    let mentat = &fleet.hosts["mentat"];
    assert_eq!((mentat.ssh.user.as_str(), mentat.ssh.port), ("ops", 22));
    assert_eq!(mentat.fqdn, "mentat.internal");
    let prometheus = &mentat.components["prometheus"];
    assert_eq!(prometheus.settings["port"], json!(9091));
    // 3.6 is a number to YAML and a version to us.
    assert_eq!(prometheus.version.as_deref(), Some("3.6"));
    assert_eq!(prometheus.settings["labels"], json!({}));
    let order: Vec<&str> = mentat.enabled().iter().map(|part| part.name.as_str()).collect();
    assert_eq!(order, ["alertmanager", "node_exporter", "prometheus"]);
    let landsraad = &fleet.hosts["landsraad"];
    assert_eq!(landsraad.address.in_url(), "[fd00::2]");
    assert_eq!(landsraad.components["node_exporter"].stack.as_str(), "vpsmanager");
    let seen = serde_json::to_value(mentat).unwrap();
    assert_eq!(seen["components"]["prometheus"]["settings"]["port"], json!(9091));
    assert_eq!(seen["tls"]["mode"], json!("off"));
}

#[test]
fn origins_name_file_line_and_column() {
    let fleet = fleet(GOOD, &[("CHOM__LANDSRAAD__SSH__PORT", "2222")], &[]);
    let origin = |key: &str| fleet.origins.of(key).unwrap().to_string();
    assert_eq!(origin("hosts.mentat.components.prometheus.port"), "inventory.yaml:13:15");
    assert_eq!(origin("hosts.mentat.ssh.user"), "inventory.yaml:3:16 (defaults)");
    assert_eq!(origin("hosts.landsraad.ssh.port"), "environment CHOM__LANDSRAAD__SSH__PORT");
    assert_eq!(origin("hosts.mentat.suite"), "built in");
    let default = origin("hosts.mentat.components.alertmanager.smtp_port");
    assert_eq!(default, "targets/observability/alertmanager.yaml:6:37 (component)");
    assert_eq!(fleet.hosts["landsraad"].ssh.port, 2222);
}

// One change to a good inventory, and what is said of it.
#[test]
fn every_mistake_is_told_with_place_and_remedy() {
    for (from, to, says) in [
        ("version: 1.4\n", "", "1:1 the inventory has no `version` | add `version: ...`"),
        ("    address: 10.0.0.1\n", "", "7:3 host `mentat` has no `address` |"),
        (
            "address: 10.0.0.1",
            "adress: 10.0.0.1",
            "8:5 unknown key `adress` in `hosts.mentat` | did you mean `address`?",
        ),
        (
            "address: 10.0.0.1",
            "address: 10.0.0.256",
            "8:14 `10.0.0.256` in `hosts.mentat.address` is not an IPv4",
        ),
        (
            "address: 10.0.0.1",
            "address: 0.0.0.0",
            "8:14 `hosts.mentat.address`: `0.0.0.0` is a placeholder: it stands for no host | put in the real value",
        ),
        (
            "address: 10.0.0.1",
            "address: 192.0.2.10",
            "`192.0.2.10` is an address that is reserved for examples",
        ),
        (
            "domain: mentat.internal",
            "domain: obs.example.com",
            "9:13 `hosts.mentat.domain`: `obs.example.com` is a placeholder: `example.com` is reserved",
        ),
        (
            "address: fd00::2",
            "address: 10.0.0.1",
            "17:14 `10.0.0.1` is the address of host `mentat` already (line 8) | give each host its own",
        ),
        (
            "address: fd00::2",
            "address: fd00::2\n    domain: MENTAT.internal",
            "`mentat.internal` is a name of host `mentat` already",
        ),
        ("user: ops", "port: 0", "`defaults.ssh.port` is 0, out of its range | it goes from 1 to 65535"),
        (
            "user: ops",
            "port: \"22\"",
            "`defaults.ssh.port` is text, but a whole number is wanted | write the number without quotes",
        ),
        ("user: ops", "user: yes", ""),
        ("user: ops", "user: true", "3:16 `defaults.ssh.user` is true or false, but text is wanted"),
        (
            "[observability]",
            "[observabilty]",
            "10:14 there is no stack `observabilty` | did you mean `observability`?",
        ),
        ("[observability]", "[]", "10:13 the list of stacks is empty"),
        (
            "[observability]",
            "[observability, observability]",
            "10:29 stack `observability` stands here twice",
        ),
        (
            "      prometheus:\n",
            "      promtheus:\n",
            "12:7 there is no component `promtheus` in observability of `mentat` | did you mean `prometheus`?",
        ),
        (
            "    prometheus: {",
            "    promtheus: {",
            "5:5 there is no component `promtheus` in any stack | did you mean `prometheus`?",
        ),
        (
            "port: 9091",
            "prot: 9091",
            "13:9 unknown key `prot` in `hosts.mentat.components.prometheus` | did you mean `port`?",
        ),
        (
            "port: 9091",
            "port: 90910",
            "13:15 `hosts.mentat.components.prometheus.port` is 90910, out of its range",
        ),
        (
            "retention: 20d",
            "retention: 20 days",
            "5:30 `20 days` in `defaults.components.prometheus.retention` is not a duration such as 30s, 5m, 15d",
        ),
        (
            "port: 9091",
            "port: 9091\n        port: 9092",
            "14:9 duplicate key `hosts.mentat.components.prometheus.port`: it stands on line 13 already",
        ),
        ("  landsraad:", "  mentat:", "16:3 duplicate key `hosts.mentat`: it stands on line 7 already"),
        ("  landsraad:", "  Lands_raad:", "16:3 `Lands_raad` is not a host name"),
        (
            "source: upstream",
            "source: debian",
            "`hosts.mentat.components.prometheus.version` has no effect: the payload comes from Debian",
        ),
        (
            "source: upstream",
            "source: snap",
            "`snap` is no value of `hosts.mentat.components.prometheus.source`",
        ),
        (
            "    stacks: [vpsmanager]",
            "    stacks: [vpsmanager]\n    tls: { mode: files }",
            "`tls.mode` is `files`, and host `landsraad` has no `tls.certificate`",
        ),
        (
            "    stacks: [vpsmanager]",
            "    stacks: [vpsmanager]\n    tls: { key: /x }",
            "`tls.key` of host `landsraad` has no effect while `tls.mode` is `off`",
        ),
        (
            "    stacks: [vpsmanager]",
            "    stacks: [vpsmanager]\n    backup: { keep: 0 }",
            "`hosts.landsraad.backup.keep` is 0, out of its range",
        ),
        (
            "    stacks: [vpsmanager]",
            "    stacks: [vpsmanager]\n    dwell_s: 61",
            "`hosts.landsraad.dwell_s` is 61, out of its range | it goes from 1 to 60",
        ),
        (
            "    stacks: [vpsmanager]",
            "    stacks: [vpsmanager]\n    backup: { recipients: [age1typo] }",
            "`age1typo` in `hosts.landsraad.backup.recipients.0` is not the public key of an age identity",
        ),
        (
            "    stacks: [vpsmanager]",
            "    stacks: [vpsmanager]\n    backup: { schedule: at night, direcotry: /x }",
            "`at night` in `hosts.landsraad.backup.schedule` is not times as systemd writes them",
        ),
        (
            "      prometheus:\n",
            "      alertmanager: { smtp_password: hunter2 }\n      prometheus:\n",
            "| a secret does not stand in the inventory: put it in a file on the host and set `smtp_password_file`",
        ),
        (
            "      prometheus:\n",
            "      alertmanager: { email_to: ops@example.org }\n      prometheus:\n",
            "`ops@example.org` is a placeholder",
        ),
    ] {
        assert!(GOOD.contains(from), "{from}");
        let told = told(&resolved(&GOOD.replacen(from, to, 1), &[], &[]));
        assert!(
            told.contains(says) && (told.is_empty() == says.is_empty()),
            "{to}\nwanted: {says}\ngot: {told}"
        );
        assert!(!told.contains("hunter2"));
    }
}

#[test]
fn all_mistakes_are_told_at_once() {
    let text = GOOD
        .replace("address: 10.0.0.1", "address: CHANGE_ME")
        .replace("user: ops", "prot: 22")
        .replace("[vpsmanager]", "[vpsmanger]")
        .replace("port: 9091", "port: x");
    let resolved =
        resolved(&text, &[("CHOM__X__Y", "1")], &["mentat.ssh.port=0", "mentat.ssh=1", "mentat.names.0=a"]);
    let told = told(&resolved);
    for says in [
        "CHANGE_ME",
        "`prot`",
        "`vpsmanger`",
        "prometheus.port` is text",
        "no host `X`",
        "ssh.port` is 0",
        "`hosts.mentat.ssh` is a whole number",
        "names.0",
    ] {
        assert!(told.contains(says), "{says}\n{told}");
    }
    assert!(resolved.fleet.is_none());
}

#[test]
fn overrides_are_checked_like_the_file() {
    for (set, says) in [
        ("mentat.ssh.port=22", ""),
        ("mentat.names=[a.b, c.d]", ""),
        ("mentat.domain=null", ""),
        ("mentat.components.prometheus.labels={a: b}", ""),
        ("mentat.components.prometheus.labels.a=b", "is part of one value"),
        ("mentat.ssh={port: 22}", "holds several values"),
        (
            "mentat.address=10.0.0.999",
            "--set mentat.address:0:0 `10.0.0.999` in `hosts.mentat.address` is not an IPv4",
        ),
        ("mentat.adress=1", "did you mean `address`?"),
        (
            "landsraad.components.prometheus.port=1",
            "there is no component `prometheus` in vpsmanager of `landsraad`",
        ),
        ("mentat.components.prometheus.port=nine", "is text, but a whole number is wanted"),
    ] {
        let told = told(&resolved(GOOD, &[], &[set]));
        assert!(
            told.contains(says) && told.is_empty() == says.is_empty(),
            "{set}\nwanted: {says}\ngot: {told}"
        );
    }
    let fleet = fleet(GOOD, &[], &["mentat.names=[a.b, c.d]", "mentat.domain=null"]);
    assert_eq!(fleet.hosts["mentat"].names, ["a.b", "c.d"]);
    assert_eq!(fleet.hosts["mentat"].domain, None);
}

const OLD: &str = "# Old
observability:
  hostname: mentat.arrakis.internal
  ip: 10.0.0.1
  ssh_user: root
  ssh_port: 2222
  specs: { cpu: 1, memory_mb: 2048, disk_gb: 20 }
  components: [prometheus, alertmanager]
  config:
    grafana_domain: grafana.arrakis.internal
    alertmanager_email: ops@arrakis.internal
    retention_days: 30
    smtp: { host: mail.arrakis.internal, port: 25, user: bot@arrakis.internal, password: '' }
vpsmanager:
  hostname: landsraad
  ip: 10.0.0.2
  components: [node-exporter, vpsmanager]
  config: { observability_server: mentat }
ssh_key_path: ./keys/deploy
log_collector: promtail
";

#[test]
fn the_old_shape_reads_as_two_hosts_and_every_key_has_an_effect() {
    let fleet = fleet(OLD, &[], &[]);
    assert_eq!(fleet.hosts.keys().map(|name| name.as_str()).collect::<Vec<_>>(), ["landsraad", "mentat"]);
    let mentat = &fleet.hosts["mentat"];
    assert_eq!(mentat.address.to_string(), "10.0.0.1");
    assert_eq!(mentat.domain.as_deref(), Some("grafana.arrakis.internal"));
    assert_eq!(mentat.names, ["mentat.arrakis.internal"]);
    assert_eq!(
        (mentat.ssh.user.as_str(), mentat.ssh.port, mentat.ssh.key.as_deref()),
        ("root", 2222, Some("./keys/deploy"))
    );
    assert_eq!(
        (mentat.specs.cpu, mentat.specs.memory_mb, mentat.specs.disk_gb),
        (Some(1), Some(2048), Some(20))
    );
    assert_eq!(mentat.components["prometheus"].settings["retention"], json!("30d"));
    let mail = &mentat.components["alertmanager"].settings;
    assert_eq!(mail["email_to"], json!("ops@arrakis.internal"));
    assert_eq!(mail["smtp_host"], json!("mail.arrakis.internal"));
    assert_eq!((&mail["smtp_port"], &mail["smtp_from"]), (&json!(25), &json!("bot@arrakis.internal")));
    assert_eq!(mail["smtp_user"], json!("bot@arrakis.internal"));
    assert!(mentat.components["promtail"].enabled);
    assert_eq!(fleet.hosts["landsraad"].stacks[0].as_str(), "vpsmanager");
    assert_eq!(fleet.origins.of("hosts.landsraad.components.node_exporter.enabled").unwrap().line, 17);
    let origin = fleet.origins.of("hosts.mentat.components.prometheus.retention").unwrap();
    assert_eq!((origin.line, origin.column), (12, 21));
}

#[test]
fn what_the_old_shape_cannot_mean_any_more_is_refused_by_name() {
    for (from, to, says) in [
        ("password: ''", "password: hunter2", "13:80 a password does not stand in the inventory in clear |"),
        ("log_collector: promtail", "log_collector: alloy", "20:1 `log_collector: alloy` is refused"),
        ("log_collector: promtail", "log_collector: vector", "`vector` is no value of `log_collector`"),
        (
            "observability_server: mentat",
            "observability_server: other",
            "18:13 `vpsmanager.config.observability_server` is `other`, and no host has that name",
        ),
        (
            "observability_server: mentat",
            "php_versions: [8.2]",
            "`vpsmanager.config.php_versions` has no effect",
        ),
        ("observability_server: mentat", "default_php: 8.2", "`vpsmanager.config.default_php` has no effect"),
        (
            "components: [node-exporter, vpsmanager]",
            "components: [mariadb]",
            "there is no component `mariadb` in vpsmanager of `landsraad`",
        ),
        ("  ip: 10.0.0.2\n", "", "`vpsmanager` has no `ip`"),
        ("ip: 10.0.0.2", "ip: 0.0.0.0", "`0.0.0.0` is a placeholder"),
        (
            "ssh_port: 2222",
            "ssh_prot: 2222",
            "6:3 unknown key `ssh_prot` in `observability` | did you mean `ssh_port`?",
        ),
        ("retention_days: 30", "retention_days: soon", "`observability.config.retention_days` is text"),
        ("hostname: landsraad", "hostname: mentat", "duplicate key `hosts.mentat`"),
    ] {
        assert!(OLD.contains(from), "{from}");
        let told = told(&resolved(&OLD.replacen(from, to, 1), &[], &[]));
        assert!(told.contains(says), "{to}\nwanted: {says}\ngot: {told}");
        assert!(!told.contains("hunter2"));
    }
}

#[test]
fn how_backups_are_kept_has_layers_like_everything() {
    let key = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
    let text = GOOD.replacen("defaults:\n", "defaults:\n  backup: { keep: 30, max_age: 90d }\n", 1);
    let set =
        [format!("mentat.backup.recipients=[{key}]"), "mentat.backup.schedule=Mon *-*-* 03:30".to_owned()];
    let set: Vec<&str> = set.iter().map(String::as_str).collect();
    let fleet = fleet(&text, &[("CHOM__MENTAT__BACKUP__BEFORE_INSTALL", "true")], &set);
    let backup = &fleet.hosts["mentat"].backup;
    assert_eq!((backup.policy.keep, backup.policy.max_age_s), (30, Some(90 * 86_400)));
    assert_eq!(backup.policy.recipients.iter().map(ToString::to_string).collect::<Vec<_>>(), [key]);
    assert!(backup.policy.before_install && backup.schedule.as_deref() == Some("Mon *-*-* 03:30"));
    let other = &fleet.hosts["landsraad"].backup;
    assert_eq!((other.policy.dir.as_str(), other.policy.before_install), ("/var/lib/chom/backups", false));
    assert_eq!(fleet.origins.of("hosts.landsraad.backup.directory").unwrap().layer, Layer::BuiltIn);
}

#[test]
fn how_long_a_unit_must_run_has_layers_like_everything() {
    let usual = fleet(GOOD, &[], &[]);
    assert_eq!(usual.hosts["mentat"].dwell_s, 20);
    let text = GOOD.replacen("defaults:\n", "defaults:\n  dwell_s: 5\n", 1);
    let fleet = fleet(&text, &[], &["mentat.dwell_s=3"]);
    assert_eq!((fleet.hosts["mentat"].dwell_s, fleet.hosts["landsraad"].dwell_s), (3, 5));
}
