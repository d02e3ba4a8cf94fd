//! Values that were left from an example. They are refused by name, long before they could reach a host.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether a text cannot be meant.
pub fn is(text: &str) -> bool {
    reason(text).is_some()
}

/// Why the value of a setting cannot be meant. There `0.0.0.0` is every address of the host, and no placeholder.
pub fn reason_in_setting(text: &str) -> Option<String> {
    let everywhere = text.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified());
    if everywhere { None } else { reason(text) }
}

/// Whether the value of a setting cannot be meant.
pub fn is_in_setting(text: &str) -> bool {
    reason_in_setting(text).is_some()
}

/// Why a text cannot be meant, if it cannot.
pub fn reason(text: &str) -> Option<String> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return address(ip).map(|why| format!("`{text}` is {why}"));
    }
    let lower = text.to_lowercase();
    let begins =
        ["your_", "your-", "replace_me", "todo:", "fixme"].iter().any(|mark| lower.starts_with(mark));
    let holds = ["change_me", "changeme", "change-me"].iter().any(|mark| lower.contains(mark));
    if begins || holds || (lower.starts_with('<') && lower.ends_with('>')) {
        return Some(format!("`{text}` is a placeholder"));
    }
    reserved_domain(&lower)
        .map(|domain| format!("`{text}` is a placeholder: `{domain}` is reserved for examples"))
}

fn address(ip: IpAddr) -> Option<&'static str> {
    const EXAMPLES: &str = "an address that is reserved for examples";
    let mapped = match ip {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(ip, IpAddr::V4),
        IpAddr::V4(_) => ip,
    };
    match mapped {
        ip if ip.is_unspecified() => Some("a placeholder: it stands for no host"),
        ip if ip.is_multicast() => Some("a multicast address, not a host's"),
        IpAddr::V4(Ipv4Addr::BROADCAST) => Some("the broadcast address, not a host's"),
        IpAddr::V4(v4) => match v4.octets() {
            [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Some(EXAMPLES),
            [0, ..] => Some("a placeholder: no host has such an address"),
            _ => None,
        },
        IpAddr::V6(v6) => is_documentation(v6).then_some(EXAMPLES),
    }
}

fn is_documentation(ip: Ipv6Addr) -> bool {
    matches!(ip.segments(), [0x2001, 0x0db8, ..])
}

// RFC 2606, wherever it stands: in a name, a mail address or a URL.
fn reserved_domain(lower: &str) -> Option<&'static str> {
    let words = lower.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '.'));
    let mut names = words.map(|word| word.trim_matches('.'));
    names.find_map(|name| {
        let ends = |domain: &str| {
            name == domain || name.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
        };
        ["example.com", "example.org", "example.net"].into_iter().find(|domain| ends(domain)).or_else(|| {
            let below = |top: &str| name.contains('.') && ends(top);
            ["example", "invalid"].into_iter().find(|top| below(top))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_known() {
        for text in [
            "0.0.0.0",
            "0.1.2.3",
            "::",
            "192.0.2.10",
            "198.51.100.1",
            "203.0.113.254",
            "2001:db8::1",
            "::ffff:192.0.2.1",
            "255.255.255.255",
            "224.0.0.1",
            "example.com",
            "obs.example.com",
            "alerts@example.org",
            "https://hooks.example.net/x",
            "mail.invalid",
            "CHANGE_ME",
            "changeme123",
            "http://CHANGE_ME/",
            "YOUR_VPS_IP",
            "your-domain.tld",
            "<your key>",
        ] {
            assert!(reason(text).is_some(), "{text}");
        }
        assert!(!is_in_setting("0.0.0.0") && !is_in_setting("::") && is_in_setting("192.0.2.1"));
    }

    #[test]
    fn real_values_are_let_through() {
        for text in [
            "10.77.0.10",
            "127.0.0.1",
            "fd00::1",
            "mentat.internal",
            "notexample.com",
            "example",
            "15d",
            "",
            "myexample.community",
        ] {
            assert_eq!(reason(text), None, "{text}");
        }
    }
}
