//! ufw's rules as it keeps them: one `### tuple ###` line for each rule in `user.rules` and `user6.rules`. This only reads,
//! and tells whose a rule is: ours carry [`TAG`].

use std::net::IpAddr;

use chom_format::step::{Proto, Rule};

/// How the comment of a rule of ours begins.
pub(crate) const TAG: &str = "chom:";

const MARK: &str = "### tuple ###";
const ANYONE: [&str; 2] = ["0.0.0.0/0", "::/0"];

/// One rule of ufw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tuple {
    /// `allow`, `deny`, `reject`, `limit`, with `_log` behind it when it is logged.
    pub action: String,
    /// `tcp`, `udp`, `any`.
    pub proto: String,
    /// Destination port, a range, a list, or `any`.
    pub port: String,
    /// Destination address.
    pub to: String,
    /// Source port.
    pub from_port: String,
    /// Source address.
    pub from: String,
    /// `in`, `out`, `in_eth0`.
    pub direction: String,
    /// What somebody wrote beside it.
    pub comment: Option<String>,
}

/// Reads the rules of one of the two files.
pub(crate) fn parse(text: &str) -> Vec<Tuple> {
    text.lines().filter_map(|line| tuple(line.strip_prefix(MARK)?)).collect()
}

fn tuple(line: &str) -> Option<Tuple> {
    let mut fields: Vec<&str> = line.split_whitespace().collect();
    let comment = fields.last().and_then(|last| last.strip_prefix("comment=")).map(unhex);
    if comment.is_some() {
        fields.pop();
    }
    // Rules made from an application's profile have its names before the direction.
    let direction = (*fields.last()?).to_owned();
    let text = |place: usize| fields.get(place).map(|field| (*field).to_owned());
    Some(Tuple {
        action: text(0)?,
        proto: text(1)?,
        port: text(2)?,
        to: text(3)?,
        from_port: text(4)?,
        from: text(5)?,
        direction,
        comment,
    })
}

fn unhex(hex: &str) -> String {
    let digits = hex.as_bytes().chunks_exact(2);
    let bytes: Vec<u8> =
        digits.filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Whether a `### tuple ###` line carries our tag.
pub(crate) fn is_tagged(line: &str) -> bool {
    parse(line).iter().any(Tuple::is_ours)
}

impl Tuple {
    /// Whether we made it.
    pub(crate) fn is_ours(&self) -> bool {
        self.comment.as_ref().is_some_and(|comment| comment.starts_with(TAG))
    }

    /// Whether it is about this port, for anyone or for somebody, coming in.
    pub(crate) fn is_about(&self, port: u16) -> bool {
        self.direction.starts_with("in") && self.port == port.to_string() && self.proto != "udp"
    }

    /// Whether it lets anyone in to this TCP port.
    pub(crate) fn opens_to_anyone(&self, port: u16) -> bool {
        self.is_about(port) && self.is_plain() && self.lets_in() && ANYONE.contains(&self.from.as_str())
    }

    /// Whether it keeps anyone out of this TCP port.
    pub(crate) fn closes_to_anyone(&self, port: u16) -> bool {
        self.is_about(port) && self.is_plain() && !self.lets_in() && ANYONE.contains(&self.from.as_str())
    }

    /// Whether it does what this rule asks for, in one family.
    pub(crate) fn fits(&self, rule: &Rule, ipv6: bool) -> bool {
        let proto = match rule.proto {
            Proto::Tcp => "tcp",
            Proto::Udp => "udp",
        };
        let action = self.action == "allow" || self.action.starts_with("allow_log");
        action
            && self.is_plain()
            && (self.proto == proto || (self.proto == "any" && !self.is_ours()))
            && self.port == rule.port.to_string()
            && self.from == source(rule, ipv6)
    }

    fn lets_in(&self) -> bool {
        self.action.starts_with("allow") || self.action.starts_with("limit")
    }

    fn is_plain(&self) -> bool {
        self.direction == "in" && ANYONE.contains(&self.to.as_str()) && self.from_port == "any"
    }
}

/// The comment by which a rule of ours is known again.
pub(crate) fn tag(rule: &Rule) -> String {
    format!("{TAG}{}", rule.why)
}

/// The families that a rule is for: both when it is for anyone; none for an address of a family that ufw does
/// not filter, and so does not close.
pub(crate) fn families(rule: &Rule, ipv6: bool) -> Vec<bool> {
    match &rule.from {
        Some(from) if from.contains(':') && !ipv6 => Vec::new(),
        Some(from) => vec![from.contains(':')],
        None if ipv6 => vec![false, true],
        None => vec![false],
    }
}

/// The source of a rule as ufw writes it down: host bits cleared, a network of one host without its length.
pub(crate) fn source(rule: &Rule, ipv6: bool) -> String {
    match &rule.from {
        None => if ipv6 { "::/0" } else { "0.0.0.0/0" }.to_owned(),
        Some(from) => network(from).unwrap_or_else(|| from.clone()),
    }
}

fn network(text: &str) -> Option<String> {
    let (address, length) = text.split_once('/').unwrap_or((text, ""));
    let address: IpAddr = address.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let length: u32 =
        if length.is_empty() { most } else { length.parse().ok().filter(|length| *length <= most)? };
    let masked = match address {
        IpAddr::V4(address) => {
            let bits = u32::from(address) & u32::MAX.checked_shl(32 - length).unwrap_or(0);
            IpAddr::from(bits.to_be_bytes())
        }
        IpAddr::V6(address) => {
            let bits = u128::from(address) & u128::MAX.checked_shl(128 - length).unwrap_or(0);
            IpAddr::from(bits.to_be_bytes())
        }
    };
    Some(if length == most { masked.to_string() } else { format!("{masked}/{length}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(port: u16, from: Option<&str>) -> Rule {
        Rule { port, proto: Proto::Tcp, from: from.map(str::to_owned), why: "x".to_owned() }
    }

    #[test]
    fn lines_of_ufw_are_read() {
        let text = "*filter\n### RULES ###\n\n### tuple ### allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 in comment=63686f6d3a737368\n\
            -A ufw-user-input -p tcp --dport 22 -j ACCEPT\n\
            ### tuple ### limit tcp 2222 0.0.0.0/0 any 0.0.0.0/0 in\n\
            ### tuple ### deny any any 0.0.0.0/0 any 1.2.3.4 in_eth0\n\
            ### tuple ### allow tcp 80,443 0.0.0.0/0 any 0.0.0.0/0 Nginx%20Full - in\n\
            ### tuple ### route:allow any any 0.0.0.0/0 any 0.0.0.0/0 in_eth0!out_eth1\n";
        let tuples = parse(text);
        assert_eq!(tuples.len(), 5);
        assert_eq!(tuples[0].comment.as_deref(), Some("chom:ssh"));
        assert!(tuples[0].is_ours() && tuples[0].opens_to_anyone(22));
        assert!(
            !tuples[1].is_ours()
                && tuples[1].opens_to_anyone(2222)
                && !tuples[1].fits(&rule(2222, None), false)
        );
        assert!(!tuples[2].opens_to_anyone(22));
        assert_eq!(tuples[3].direction, "in");
    }

    #[test]
    fn a_rule_fits_by_port_protocol_and_source() {
        let tuples = parse(
            "### tuple ### allow tcp 9090 0.0.0.0/0 any 10.1.2.0/24 in\n### tuple ### allow any 80 ::/0 any ::/0 in\n",
        );
        assert!(tuples[0].fits(&rule(9090, Some("10.1.2.3/24")), false));
        assert!(!tuples[0].fits(&rule(9090, None), false));
        assert!(!tuples[0].fits(&rule(9091, Some("10.1.2.3/24")), false));
        assert!(tuples[1].fits(&rule(80, None), true) && !tuples[1].fits(&rule(80, None), false));
    }

    #[test]
    fn sources_are_written_as_ufw_writes_them() {
        for (given, written) in [
            ("10.1.2.3", "10.1.2.3"),
            ("10.1.2.3/32", "10.1.2.3"),
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("FD00::1/64", "fd00::/64"),
            ("fd00:0:0:0::1", "fd00::1"),
            ("10.0.0.0/99", "10.0.0.0/99"),
        ] {
            assert_eq!(source(&rule(1, Some(given)), given.contains(':')), written);
        }
    }
}
