//! The firewall of a host without ufw: one table of nftables that is ours, and a unit that loads it.
//!
//! What others have in nftables is neither read nor changed: their tables go on filtering, and `nft flush ruleset`
//! by somebody else is mended when our unit is started again. The file replaces the table in one transaction of the
//! kernel, so at no moment is there half a rule set. The unit's stop takes the table away, by which a rollback needs
//! nothing but the file and the unit of before.

use std::collections::BTreeSet;
use std::time::Duration;

use chom_format::HostPath;
use chom_format::step::{FirewallSpec, Proto, Rule};

use super::super::place::fresh;
use super::super::{Change, Decision, Detail, FirewallMove, StepError, Undo};
use super::ssh::{SshPorts, list};
use super::{run, shown_rule};
use crate::resource::Resource;
use crate::sys::{Command, Effect, Source, Sys, named, text_at};
use crate::ufw::tag;

/// The program that every host with nftables has.
const PROGRAM: &str = "/usr/sbin/nft";
/// The table, ready to be loaded.
pub(super) const RULES: &str = "/etc/chom-firewall.nft";
const UNIT_FILE: &str = "/etc/systemd/system/chom-firewall.service";
const UNIT: &str = "chom-firewall.service";
const TIMEOUT: Duration = Duration::from_secs(60);

// A restart of nftables begins with an empty rule set: ours follows it.
const UNIT_TEXT: &str = "\
[Unit]
Description=The openings of this host, as chom-install has set them
DefaultDependencies=no
Wants=network-pre.target
Before=network-pre.target shutdown.target
After=nftables.service
PartOf=nftables.service
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/nft -f /etc/chom-firewall.nft
ExecReload=/usr/sbin/nft -f /etc/chom-firewall.nft
ExecStop=-/usr/sbin/nft delete table inet chom

[Install]
WantedBy=sysinit.target
";

/// Whether this host's firewall is this one: it was before, or there is no other.
pub(super) fn is_there(sys: &dyn Sys) -> Result<bool, StepError> {
    Ok(sys.meta(&named(RULES)?)?.is_some())
}

/// Whether it can be this one.
pub(super) fn can_be(sys: &dyn Sys) -> Result<bool, StepError> {
    Ok(sys.meta(&named(PROGRAM)?)?.is_some())
}

/// What is to be done. sshd is asked only when something changes.
pub(super) fn decide(sys: &dyn Sys, spec: &FirewallSpec) -> Result<Decision, StepError> {
    let now = text_at(sys, RULES)?;
    let loaded = text_at(sys, UNIT_FILE)? == UNIT_TEXT && is_enabled(sys)?;
    let ports = SshPorts::read(sys, spec.ssh_port)?.all();
    if loaded && says(&now, spec, &ports) {
        let why = format!("{} rules, ssh open on {}", spec.rules.len(), list(&ports));
        return Ok(Decision::Keep { why });
    }
    let wanted = wanted(spec, &SshPorts::ask(sys, spec.ssh_port)?.all());
    let after: BTreeSet<String> = wanted.iter().map(line).collect();
    let before = openings(&now);
    let mut diff: Vec<String> = wanted
        .iter()
        .filter(|rule| !before.contains(&line(rule)))
        .map(|rule| format!("+{}", shown_rule(rule)))
        .collect();
    let added = diff.len();
    diff.extend(before.difference(&after).map(|line| format!("-{line}")));
    let removed = diff.len() - added;
    if !loaded {
        diff.push("the firewall is switched on; what is not allowed is closed".to_owned());
    }
    Ok(Decision::Change(Change {
        verb: "open",
        summary: format!("firewall (nftables): {added} rules more, {removed} less"),
        detail: Detail::Firewall(FirewallMove { add: wanted, remove: Vec::new(), enable: true, sieve: true }),
        diff,
        undo: Undo::Copy,
        writes: Vec::new(),
        changes: Vec::new(),
    }))
}

// Whether the file is what is wanted. What sshd itself said when it was made may be more than is read without it:
// those openings stay.
fn says(now: &str, spec: &FirewallSpec, ports: &BTreeSet<u16>) -> bool {
    let wanted = text(spec, ports);
    let rest = |text: &str| -> Vec<String> {
        text.lines().filter(|line| !is_opening(line)).map(str::to_owned).collect()
    };
    let (there, open) = (openings(now), openings(&wanted));
    let more = there.difference(&open).all(|line| line.ends_with("comment \"chom:ssh\""));
    rest(now) == rest(&wanted) && there.is_superset(&open) && more
}

/// What it touches.
pub(super) fn touches() -> Result<Vec<Resource>, StepError> {
    let file = |text| Ok::<_, StepError>(Resource::Path { path: named(text)?, data: false });
    Ok(vec![file(RULES)?, file(UNIT_FILE)?, Resource::unit(named(UNIT)?)])
}

/// The paths that a decision was made from.
pub(super) fn paths() -> impl Iterator<Item = HostPath> {
    [RULES, UNIT_FILE].into_iter().filter_map(|path| path.parse().ok())
}

/// Does it: the kernel's own check, the files, the unit, and a look at what the kernel has then.
pub(super) fn apply(sys: &mut dyn Sys, planned: &FirewallMove) -> Result<(), StepError> {
    let text = table(&planned.add);
    let check =
        Command { stdin: Some(text.clone().into_bytes()), ..Command::new([PROGRAM, "--check", "-f", "-"]) };
    done(sys, &check)?;
    let attrs = fresh(chom_format::Mode::from_bits(0o644), (0, 0));
    for (place, text) in [(RULES, text.as_str()), (UNIT_FILE, UNIT_TEXT)] {
        let (path, source) = (named(place)?, Source::Bytes(text.as_bytes()));
        sys.effect(&Effect::Write { path: &path, source, attrs: &attrs })?;
    }
    for words in [&["daemon-reload"][..], &["enable", UNIT], &["reload-or-restart", UNIT]] {
        let argv = ["systemctl"].iter().chain(words).copied();
        done(sys, &Command::new(argv).timeout(TIMEOUT))?;
    }
    let live = sys.ask(&Command::new([PROGRAM, "-s", "list", "table", "inet", "chom"]))?.text();
    let missing = planned.add.iter().find(|rule| !live.lines().any(|found| is_rule(found, rule)));
    missing.map_or(Ok(()), |rule| {
        Err(StepError::Refused {
            what: format!("{} is in {RULES}, and the kernel does not have it", shown_rule(rule)),
            hint: Some(format!("systemctl status {UNIT}; nft list ruleset")),
        })
    })
}

fn done(sys: &mut dyn Sys, command: &Command) -> Result<(), StepError> {
    run(sys, command).map_err(|error| match error {
        StepError::Refused { what, .. } => {
            StepError::Refused { what, hint: Some("nft list ruleset".to_owned()) }
        }
        error => error,
    })
}

fn is_rule(found: &str, rule: &Rule) -> bool {
    let words: Vec<&str> = found.split_whitespace().collect();
    let port = rule.port.to_string();
    words.windows(2).any(|pair| pair == ["dport", port.as_str()]) && words.contains(&"accept")
}

fn is_enabled(sys: &dyn Sys) -> Result<bool, StepError> {
    let link = format!("/etc/systemd/system/sysinit.target.wants/{UNIT}");
    Ok(sys.meta(&named(&link)?)?.is_some())
}

fn wanted(spec: &FirewallSpec, ports: &BTreeSet<u16>) -> Vec<Rule> {
    let ssh =
        ports.iter().map(|port| Rule { port: *port, proto: Proto::Tcp, from: None, why: "ssh".to_owned() });
    ssh.chain(spec.rules.iter().cloned()).collect()
}

fn text(spec: &FirewallSpec, ports: &BTreeSet<u16>) -> String {
    table(&wanted(spec, ports))
}

// Made, emptied and filled: so it is replaced whether it was there or not, all in one, and keeps its place among others. Protocols are numbers (icmp of
// both families), for a minimal host has no list of their names.
fn table(rules: &[Rule]) -> String {
    let lines: String = rules.iter().map(|rule| format!("\t\t{}\n", line(rule))).collect();
    format!(
        "#!/usr/sbin/nft -f\n# Written by chom-install, which writes it anew.\ntable inet chom\nflush table inet chom\n\
         table inet chom {{\n\tchain input {{\n\t\ttype filter hook input priority filter; policy drop;\n\
         \t\tct state established,related accept\n\t\tiifname \"lo\" accept\n\
         \t\tmeta l4proto {{ 1, 58 }} accept\n\t\tudp sport 67 udp dport 68 accept\n\
         \t\tudp sport 547 udp dport 546 accept\n{lines}\t}}\n}}\n"
    )
}

fn line(rule: &Rule) -> String {
    let proto = match rule.proto {
        Proto::Tcp => "tcp",
        Proto::Udp => "udp",
    };
    let from = match &rule.from {
        Some(from) if from.contains(':') => format!("ip6 saddr {from} "),
        Some(from) => format!("ip saddr {from} "),
        None => String::new(),
    };
    format!("{from}{proto} dport {} accept comment \"{}\"", rule.port, tag(rule).replace(['"', '\\'], " "))
}

fn is_opening(line: &str) -> bool {
    line.contains(" comment \"chom:")
}

// The lines that are rules of ours.
fn openings(text: &str) -> BTreeSet<String> {
    text.lines().map(str::trim).filter(|line| is_opening(line)).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> FirewallSpec {
        let rule = |port, from: Option<&str>, why: &str| Rule {
            port,
            proto: Proto::Tcp,
            from: from.map(str::to_owned),
            why: why.to_owned(),
        };
        let rules = vec![
            rule(80, None, "nginx"),
            rule(9100, Some("10.0.0.5"), "node"),
            rule(9100, Some("2001:db8::5"), "node"),
        ];
        FirewallSpec { rules, ssh_port: 22 }
    }

    #[test]
    fn the_table_is_replaced_as_a_whole_and_ssh_comes_first() {
        let text = text(&spec(), &BTreeSet::from([22, 2222]));
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        assert_eq!(lines[2..5], ["table inet chom", "flush table inet chom", "table inet chom {"]);
        assert!(text.contains("policy drop;"));
        let rules: Vec<&&str> = lines.iter().filter(|line| line.contains("comment")).collect();
        assert_eq!(
            rules,
            [
                &"tcp dport 22 accept comment \"chom:ssh\"",
                &"tcp dport 2222 accept comment \"chom:ssh\"",
                &"tcp dport 80 accept comment \"chom:nginx\"",
                &"ip saddr 10.0.0.5 tcp dport 9100 accept comment \"chom:node\"",
                &"ip6 saddr 2001:db8::5 tcp dport 9100 accept comment \"chom:node\"",
            ]
        );
        assert_eq!(openings(&text).len(), 5);
    }

    #[test]
    fn an_opening_for_ssh_more_is_no_change_and_any_other_is() {
        let made = text(&spec(), &BTreeSet::from([22, 2222]));
        assert!(says(&made, &spec(), &BTreeSet::from([22])));
        assert!(!says(&made, &spec(), &BTreeSet::from([22, 2200])), "one is missing");
        assert!(!says(&made.replace("policy drop", "policy accept"), &spec(), &BTreeSet::from([22])));
        let less = FirewallSpec { rules: Vec::new(), ssh_port: 22 };
        assert!(!says(&made, &less, &BTreeSet::from([22])));
    }
}
