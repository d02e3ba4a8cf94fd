//! The firewall of a host with ufw.
//!
//! The openings for ssh come first, then ours, then what of ours nobody wants any longer goes, and only then
//! is the firewall switched on, so that at no moment is there a rule missing that a person needs to get in.
//! Rules carry our tag in their comment; whatever carries another, or none, belongs to somebody else: it is
//! never changed, and where it already opens what we want, nothing is added. What is there is read from ufw's
//! own files.

use std::collections::BTreeSet;
use std::time::Duration;

use chom_format::HostPath;
use chom_format::step::{FirewallSpec, Proto, Rule};

use super::super::{Change, Decision, Detail, FirewallMove, StepError, Undo};
use super::ssh::SshPorts;
use super::{run, shown_rule};
use crate::resource::Resource;
use crate::sys::{Command, Sys, SysError, named, text_at};
use crate::systemd::read_one;
use crate::ufw::{self, Tuple, families, source, tag};

const PROGRAM: &str = "/usr/sbin/ufw";
const FILES: [&str; 4] =
    ["/etc/ufw/user.rules", "/etc/ufw/user6.rules", "/etc/ufw/ufw.conf", "/etc/default/ufw"];
const UNIT: &str = "ufw.service";
const TIMEOUT: Duration = Duration::from_secs(60);

/// The firewall as ufw's files have it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Ufw {
    v4: Vec<Tuple>,
    v6: Vec<Tuple>,
    enabled: bool,
    ipv6: bool,
}

/// Whether this host has it.
pub(super) fn is_there(sys: &dyn Sys) -> Result<bool, SysError> {
    Ok(sys.meta(&named(PROGRAM)?)?.is_some())
}

/// What is to be done. sshd is asked only when something changes.
pub(super) fn decide(sys: &dyn Sys, spec: &FirewallSpec) -> Result<Decision, StepError> {
    let now = Ufw::read(sys)?;
    let decided = decided(spec, &now, &SshPorts::read(sys, spec.ssh_port)?.all());
    if let Decision::Keep { .. } = decided {
        return Ok(decided);
    }
    Ok(self::decided(spec, &now, &SshPorts::ask(sys, spec.ssh_port)?.all()))
}

/// What it touches.
pub(super) fn touches(planned: &FirewallMove) -> Result<Vec<Resource>, StepError> {
    let mut touches = vec![Resource::Firewall];
    if planned.enable {
        touches.push(Resource::unit(named(UNIT)?));
    }
    Ok(touches)
}

/// The paths that a decision was made from.
pub(super) fn paths() -> impl Iterator<Item = HostPath> {
    FILES.iter().filter_map(|path| path.parse().ok())
}

/// Does it, and looks at what the kernel has then.
pub(super) fn apply(sys: &mut dyn Sys, spec: &FirewallSpec, planned: &FirewallMove) -> Result<(), StepError> {
    for rule in &planned.add {
        ufw(sys, &allow(rule))?;
    }
    for rule in &planned.remove {
        ufw(sys, &delete(rule))?;
    }
    if planned.enable {
        // Said before it is on: from then on, what is not allowed is closed.
        ufw(sys, &words_of("default deny incoming"))?;
        ufw(sys, &words_of("--force enable"))?;
        if !read_one(sys, &named(UNIT)?)?.is_enabled() {
            run(sys, &Command::new(["systemctl", "enable", UNIT]))?;
        }
    }
    verify(sys, spec)
}

// What ufw's files say is one thing; what the kernel filters by is another.
fn verify(sys: &dyn Sys, spec: &FirewallSpec) -> Result<(), StepError> {
    let now = Ufw::read(sys)?;
    let ssh = SshPorts::ask(sys, spec.ssh_port)?.all();
    if let Decision::Change(left) = decided(spec, &now, &ssh) {
        return Err(StepError::Refused {
            what: format!("ufw took the rules and does not have them: {}", left.diff.join("; ")),
            hint: Some("ufw status numbered".to_owned()),
        });
    }
    let live = [live(sys, "iptables", "ufw-user-input")?, live(sys, "ip6tables", "ufw6-user-input")?];
    for rule in &spec.rules {
        for family in families(rule, now.ipv6) {
            let [v4, v6] = &live;
            let rules = if family { v6 } else { v4 };
            let port = rule.port.to_string();
            let shown = rules.lines().any(|line| {
                let words: Vec<&str> = line.split_whitespace().collect();
                words.windows(2).any(|pair| pair == ["--dport", port.as_str()])
                    && words.ends_with(&["ACCEPT"])
            });
            if !shown {
                let what = format!("{} is in ufw's files, and the kernel does not have it", shown_rule(rule));
                return Err(StepError::Refused { what, hint: Some("ufw reload".to_owned()) });
            }
        }
    }
    Ok(())
}

impl Ufw {
    fn read(sys: &dyn Sys) -> Result<Self, StepError> {
        let [v4, v6, conf, defaults] = FILES;
        let setting = |text: &str, key: &str| {
            let value = text.lines().rev().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='));
            value.map(|value| value.trim().trim_matches(['"', '\'']).to_ascii_lowercase())
        };
        let defaults = text_at(sys, defaults)?;
        Ok(Self {
            v4: ufw::parse(&text_at(sys, v4)?),
            v6: ufw::parse(&text_at(sys, v6)?),
            enabled: is_there(sys)? && setting(&text_at(sys, conf)?, "ENABLED").as_deref() == Some("yes"),
            // A ufw that is yet to be installed comes with IPv6 switched on.
            ipv6: setting(&defaults, "IPV6").is_none_or(|value| value == "yes"),
        })
    }

    fn family(&self, ipv6: bool) -> &[Tuple] {
        if ipv6 { &self.v6 } else { &self.v4 }
    }

    fn all(&self) -> impl Iterator<Item = (bool, &Tuple)> {
        let (v4, v6) =
            (self.v4.iter().map(|tuple| (false, tuple)), self.v6.iter().map(|tuple| (true, tuple)));
        v4.chain(v6)
    }
}

fn decided(spec: &FirewallSpec, now: &Ufw, ssh: &BTreeSet<u16>) -> Decision {
    if let Some(refusal) = locks_out(now, ssh) {
        return refusal;
    }
    let openings: Vec<Rule> =
        ssh.iter().filter(|port| needs_opening(now, **port)).map(|port| for_ssh(*port)).collect();
    let mut wanted: Vec<Rule> = ssh.iter().map(|port| for_ssh(*port)).collect();
    wanted.extend(spec.rules.iter().cloned());
    let missing = spec.rules.iter().filter(|rule| !has(now, rule)).cloned();
    let add: Vec<Rule> = openings.into_iter().chain(missing).collect();
    let remove = stale(now, &wanted);
    let planned = FirewallMove { add, remove, enable: !now.enabled, sieve: false };
    if planned == FirewallMove::default() {
        let ports: Vec<String> = ssh.iter().map(u16::to_string).collect();
        let why = format!("{} rules, ssh open on {}", spec.rules.len(), ports.join(", "));
        return Decision::Keep { why };
    }
    let mut diff: Vec<String> = planned.add.iter().map(|rule| format!("+{}", shown_rule(rule))).collect();
    diff.extend(planned.remove.iter().map(|rule| format!("-{}", shown_rule(rule))));
    if planned.enable {
        diff.push("the firewall is switched on; what is not allowed is closed".to_owned());
    }
    Decision::Change(Change {
        verb: "open",
        summary: format!("firewall: {} rules more, {} less", planned.add.len(), planned.remove.len()),
        detail: Detail::Firewall(planned),
        diff,
        undo: Undo::Copy,
        writes: Vec::new(),
        changes: Vec::new(),
    })
}

// A rule that closes ssh to anyone comes to life when the firewall is switched on, and stands before ours.
fn locks_out(now: &Ufw, ssh: &BTreeSet<u16>) -> Option<Decision> {
    if now.enabled {
        return None;
    }
    let port = ssh.iter().find(|port| now.all().any(|(_, tuple)| tuple.closes_to_anyone(**port)))?;
    Some(Decision::Refuse {
        conflict: format!(
            "ufw has a rule that closes port {port}, on which ssh listens, and is about to be switched on"
        ),
        remedy: format!("ufw delete deny {port}"),
    })
}

// On a firewall that is on, whoever closed ssh to some of the world wants it so; one that is switched on by us
// must not close it to anyone.
fn needs_opening(now: &Ufw, port: u16) -> bool {
    if now.enabled {
        return !mentions_port(now, port);
    }
    let families: &[bool] = if now.ipv6 { &[false, true] } else { &[false] };
    families.iter().any(|ipv6| !now.family(*ipv6).iter().any(|tuple| tuple.opens_to_anyone(port)))
}

/// Whether any rule is about it, also one that denies.
fn mentions_port(now: &Ufw, port: u16) -> bool {
    now.all().any(|(_, tuple)| tuple.is_about(port))
}

fn for_ssh(port: u16) -> Rule {
    Rule { port, proto: Proto::Tcp, from: None, why: "ssh".to_owned() }
}

fn has(now: &Ufw, rule: &Rule) -> bool {
    let fits = |tuple: &Tuple, ipv6| {
        tuple.fits(rule, ipv6) && (!tuple.is_ours() || tuple.comment.as_deref() == Some(tag(rule).as_str()))
    };
    families(rule, now.ipv6).into_iter().all(|ipv6| now.family(ipv6).iter().any(|tuple| fits(tuple, ipv6)))
}

// Rules of ours that are not wanted any longer, as rules again; the two families of one rule count once.
fn stale(now: &Ufw, wanted: &[Rule]) -> Vec<Rule> {
    let mut stale: Vec<Rule> = Vec::new();
    for (ipv6, tuple) in now.all().filter(|(_, tuple)| tuple.is_ours()) {
        if wanted.iter().any(|rule| tuple.fits(rule, ipv6)) {
            continue;
        }
        let Ok(port) = tuple.port.parse() else { continue };
        let proto = if tuple.proto == "udp" { Proto::Udp } else { Proto::Tcp };
        let why =
            tuple.comment.as_deref().and_then(|comment| comment.strip_prefix(ufw::TAG)).unwrap_or_default();
        let mut rule = Rule { port, proto, from: None, why: why.to_owned() };
        if tuple.from != source(&rule, ipv6) {
            rule.from = Some(tuple.from.clone());
        }
        if !stale.contains(&rule) {
            stale.push(rule);
        }
    }
    stale
}

fn allow(rule: &Rule) -> Vec<String> {
    let mut argv = vec!["allow".to_owned()];
    argv.extend(place(rule));
    argv.extend(["comment".to_owned(), tag(rule)]);
    argv
}

fn delete(rule: &Rule) -> Vec<String> {
    let mut argv = words_of("--force delete allow");
    argv.extend(place(rule));
    argv
}

fn place(rule: &Rule) -> Vec<String> {
    let proto = match rule.proto {
        Proto::Tcp => "tcp",
        Proto::Udp => "udp",
    };
    let from = rule.from.clone().unwrap_or_else(|| "any".to_owned());
    words_of(&format!("proto {proto} from {from} to any port {}", rule.port))
}

fn words_of(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

fn ufw(sys: &mut dyn Sys, arguments: &[String]) -> Result<(), StepError> {
    let argv = ["ufw".to_owned()].into_iter().chain(arguments.iter().cloned());
    // Its bytecode would be a trace in /usr that nobody owns.
    run(sys, &Command::new(argv).timeout(TIMEOUT).env("PYTHONDONTWRITEBYTECODE", "1"))
}

fn live(sys: &dyn Sys, program: &str, chain: &str) -> Result<String, StepError> {
    let output = sys.ask(&Command::new([program, "-S", chain]))?;
    // With IPv6 off in ufw there is no such chain, and nothing is looked for in it.
    Ok(if output.success() { output.text() } else { String::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(port: u16, from: Option<&str>, why: &str) -> Rule {
        Rule { port, proto: Proto::Tcp, from: from.map(str::to_owned), why: why.to_owned() }
    }

    fn hex(text: &str) -> String {
        text.bytes().map(|byte| format!("{byte:02x}")).collect()
    }

    fn ufw(enabled: bool, v4: &[&str], v6: &[&str]) -> Ufw {
        let parse = |lines: &[&str]| {
            let lines = lines.iter().map(|line| match line.split_once(" # ") {
                Some((rule, comment)) => format!("### tuple ### {rule} comment={}\n", hex(comment)),
                None => format!("### tuple ### {line}\n"),
            });
            ufw::parse(&lines.collect::<String>())
        };
        Ufw { v4: parse(v4), v6: parse(v6), enabled, ipv6: true }
    }

    fn told(rules: &[Rule], now: &Ufw) -> String {
        let spec = FirewallSpec { rules: rules.to_vec(), ssh_port: 22 };
        match decided(&spec, now, &BTreeSet::from([22])) {
            Decision::Keep { why } => format!("keep {why}"),
            Decision::Refuse { conflict, remedy } => format!("refuse {conflict}: {remedy}"),
            Decision::Change(change) => change.diff.join("; "),
        }
    }

    const SSH4: &str = "allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 in # chom:ssh";
    const SSH6: &str = "allow tcp 22 ::/0 any ::/0 in # chom:ssh";
    const ON: &str = "the firewall is switched on; what is not allowed is closed";

    #[test]
    fn ssh_comes_first_and_the_switch_last() {
        let told = told(&[rule(80, None, "nginx")], &ufw(false, &[], &[]));
        assert_eq!(told, format!("+22/tcp from anyone (chom:ssh); +80/tcp from anyone (chom:nginx); {ON}"));
    }

    #[test]
    fn what_is_there_is_kept_ours_or_not() {
        let rules = [rule(80, None, "nginx"), rule(9100, Some("10.0.0.5"), "node")];
        let v4 = [
            SSH4,
            "allow any 80 0.0.0.0/0 any 0.0.0.0/0 in",
            "allow tcp 9100 0.0.0.0/0 any 10.0.0.5 in # chom:node",
        ];
        let now = ufw(true, &v4, &[SSH6, "allow tcp 80 ::/0 any ::/0 in # chom:nginx"]);
        assert_eq!(told(&rules, &now), "keep 2 rules, ssh open on 22");
    }

    #[test]
    fn stale_rules_of_ours_go_and_foreign_ones_stay() {
        let v4 = [
            SSH4,
            "allow tcp 9100 0.0.0.0/0 any 10.0.0.5 in # chom:node",
            "allow tcp 25 0.0.0.0/0 any 0.0.0.0/0 in",
        ];
        let v6 = [SSH6, "allow tcp 3000 ::/0 any ::/0 in # chom:grafana"];
        let now = ufw(true, &v4, &v6);
        assert_eq!(
            told(&[], &now),
            "-9100/tcp from 10.0.0.5 (chom:node); -3000/tcp from anyone (chom:grafana)"
        );
    }

    #[test]
    fn one_family_is_not_enough_and_a_new_reason_is_written() {
        let now = ufw(true, &[SSH4, "allow tcp 80 0.0.0.0/0 any 0.0.0.0/0 in # chom:old"], &[SSH6]);
        assert_eq!(told(&[rule(80, None, "nginx")], &now), "+80/tcp from anyone (chom:nginx)");
    }

    #[test]
    fn a_restriction_of_ssh_stands_only_while_the_firewall_is_on() {
        let v4 = ["allow tcp 22 0.0.0.0/0 any 10.0.0.0/8 in"];
        assert_eq!(told(&[], &ufw(true, &v4, &[])), "keep 0 rules, ssh open on 22");
        assert_eq!(told(&[], &ufw(false, &v4, &[])), format!("+22/tcp from anyone (chom:ssh); {ON}"));
        let limited = ["limit tcp 22 0.0.0.0/0 any 0.0.0.0/0 in"];
        let limited6 = ["limit tcp 22 ::/0 any ::/0 in"];
        assert_eq!(told(&[], &ufw(false, &limited, &limited6)), ON);
    }

    #[test]
    fn a_rule_that_would_lock_out_is_refused() {
        let now = ufw(false, &["deny tcp 22 0.0.0.0/0 any 0.0.0.0/0 in"], &[]);
        assert!(told(&[], &now).starts_with("refuse ufw has a rule that closes port 22"));
    }

    #[test]
    fn commands_say_all_that_a_rule_says() {
        let rule = rule(9090, Some("10.0.0.5"), "prometheus for b");
        assert_eq!(allow(&rule).last().unwrap(), "chom:prometheus for b");
        assert_eq!(delete(&rule).join(" "), "--force delete allow proto tcp from 10.0.0.5 to any port 9090");
    }
}
