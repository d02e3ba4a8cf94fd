//! What a text must look like, by the name that a schema gives under `x-chom`.

use std::net::IpAddr;

use chom_format::backup::Recipient;
use chom_format::{AccountName, ComponentName, Digest, HostName, HostPath, Mode, PackageName, RelPath};

use super::calendar;

/// Why a text does not have a format: what is wanted instead.
pub type Refusal = String;

/// Checks `text` against the format of that name. An unknown name is a mistake in our own types, and is told.
pub fn check(format: &str, text: &str) -> Result<(), Refusal> {
    match format {
        "line" => wanted(!text.chars().any(char::is_control), "one line of text"),
        "text" => Ok(()),
        "host" => parsed::<HostName>(text),
        "component" => parsed::<ComponentName>(text),
        "component_ref" => component_ref(text),
        "package" => parsed::<PackageName>(text),
        "path" => parsed::<HostPath>(text),
        "relative_path" => parsed::<RelPath>(text),
        "mode" => parsed::<Mode>(text),
        "digest" => parsed::<Digest>(text),
        "address" => wanted(is_address(text), "an IPv4 or IPv6 address or a host name"),
        "network" => wanted(is_network(text), "an address or a network such as 10.0.0.0/24, and no name"),
        "domain" => wanted(is_name(text), "a host name such as mentat.internal"),
        "url" => wanted(
            is_url(text),
            "an address that begins with http:// or https://, other characters than letters, digits and any of \
             `-._~:/?[]@!&*+,=` written as %XX",
        ),
        "duration" => {
            wanted(is_amount(text, &["ms", "s", "m", "h", "d", "w", "y"]), "a duration such as 30s, 5m, 15d")
        }
        "short_size" => wanted(is_short_size(text), "a size such as 256M or 2G"),
        "size" => wanted(is_amount(text, &["B", "KB", "MB", "GB", "TB"]), "a size such as 512MB or 50GB"),
        "version" => wanted(
            is_version(text),
            "a version such as 1.4.0: letters, digits and any of `. + ~ -`, at most 40",
        ),
        "label" => wanted(is_label(text), "a name of lower-case letters, digits, `_` and `-`"),
        "machine_id" => wanted(
            text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')),
            "the 32 hex digits of /etc/machine-id",
        ),
        "ssh_key" => wanted(is_ssh_key(text), "`type base64` as in /etc/ssh/ssh_host_ed25519_key.pub"),
        "account" => parsed::<AccountName>(text),
        "age_recipient" => parsed::<Recipient>(text),
        "calendar" => {
            wanted(calendar::is_calendar(text), "times as systemd writes them, such as `*-*-* 03:30`")
        }
        "name" => wanted(is_plain_name(text), "a name of letters, digits and any of `. _ -`, at most 64"),
        "mail" => wanted(is_mail(text), "mail addresses such as ops@arrakis.internal, separated by commas"),
        "crypt_hash" => wanted(is_crypt_hash(text), "a crypt hash, as `openssl passwd -6` prints one"),
        "plain_path" => plain_path(text),
        "key_file" => wanted(
            !text.chars().any(|c| c.is_control() || "\"\\$".contains(c)),
            "the path of a file, without any of `\" \\ $`",
        ),
        "owner" => wanted(is_owner(text), "`user:group`"),
        other => Err(format!("a format that this program knows (`{other}` is none)")),
    }
}

fn wanted(good: bool, what: &str) -> Result<(), Refusal> {
    if good { Ok(()) } else { Err(what.to_owned()) }
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<(), Refusal> {
    // The types' own messages say `<text> is not <what>` or `path <text> <reason>`.
    text.parse::<T>().map(|_| ()).map_err(|error| {
        let error = error.to_string();
        error
            .split_once(" is not ")
            .map_or(format!("a path that is well formed ({error})"), |(_, what)| what.to_owned())
    })
}

fn is_owner(text: &str) -> bool {
    let account = |name: &str| name.parse::<AccountName>().is_ok();
    text.split_once(':').is_some_and(|(user, group)| account(user) && account(group))
}

fn component_ref(text: &str) -> Result<(), Refusal> {
    let good = text.split_once('/').is_some_and(|(stack, name)| {
        stack.parse::<ComponentName>().is_ok() && name.parse::<ComponentName>().is_ok()
    });
    wanted(good, "`stack/component`")
}

/// Whether it is an IP address or a host name.
pub fn is_address(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok() || (is_name(text) && !looks_like_ipv4(text))
}

fn is_network(text: &str) -> bool {
    match text.split_once('/') {
        None => text.parse::<IpAddr>().is_ok(),
        Some((ip, bits)) => match (ip.parse::<IpAddr>(), bits.parse::<u8>()) {
            (Ok(IpAddr::V4(_)), Ok(bits)) => bits <= 32,
            (Ok(IpAddr::V6(_)), Ok(bits)) => bits <= 128,
            _ => false,
        },
    }
}

// 10.0.0.256 is a mistyped address, not a name.
fn looks_like_ipv4(text: &str) -> bool {
    text.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
}

/// Whether it is a DNS name.
pub fn is_name(text: &str) -> bool {
    let label = |part: &str| {
        !part.is_empty()
            && part.len() <= 63
            && !part.starts_with('-')
            && !part.ends_with('-')
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

fn is_url(text: &str) -> bool {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    rest.is_some_and(|rest| {
        !rest.is_empty()
            && !rest.starts_with('/')
            // What is left out is of the language of one or the other configuration that the address comes to stand in.
            && rest.chars().all(|c| c.is_ascii_alphanumeric() || "-._~:/?[]@!&*+,=%".contains(c))
    })
}

fn is_plain_name(text: &str) -> bool {
    let fit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    text.len() <= 64 && text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(fit)
}

// With or without the name before it: `Chom <chom@arrakis.internal>`. Braces begin a template of Alertmanager's.
fn is_mail(text: &str) -> bool {
    let one = |mail: &str| {
        let (before, after) = mail.trim().split_once('@').unwrap_or_default();
        !before.is_empty() && !after.is_empty() && !after.contains('@')
    };
    !text.chars().any(|c| c.is_control() || "{}\"\\".contains(c)) && text.split(',').all(one)
}

fn is_crypt_hash(text: &str) -> bool {
    let fit = |b: u8| b.is_ascii_alphanumeric() || b"$./=,-".contains(&b);
    text.len() <= 256 && text.starts_with('$') && text.matches('$').count() >= 2 && text.bytes().all(fit)
}

// A path that every configuration reads alike, quoted or not: no blank, and no character that one of them begins
// something with.
fn plain_path(text: &str) -> Result<(), Refusal> {
    parsed::<HostPath>(text)?;
    let fit = |c: char| c.is_alphanumeric() || "/._-+@=,~".contains(c);
    wanted(text.chars().all(fit), "a path of letters, digits and any of `/ . _ - + @ = , ~`")
}

fn is_short_size(text: &str) -> bool {
    let number = text.strip_suffix(['K', 'M', 'G']).unwrap_or_default();
    (1..=6).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit()) && !number.starts_with('0')
}

// Several parts may follow each other: 1h30m.
fn is_amount(text: &str, units: &[&str]) -> bool {
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at(digits);
        let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, after) = after.split_at(letters);
        if number.is_empty() || number.len() > 12 || !units.contains(&unit) {
            return false;
        }
        rest = after;
    }
    !text.is_empty()
}

fn is_version(text: &str) -> bool {
    let fit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '+' | '~' | '-');
    text.len() <= 40 && text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(fit)
}

fn is_label(text: &str) -> bool {
    let fit = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-');
    !text.is_empty() && text.len() <= 40 && text.chars().all(fit)
}

fn is_ssh_key(text: &str) -> bool {
    let base64 =
        |key: &str| key.len() > 40 && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=".contains(&b));
    let mut parts = text.split(' ');
    let kind = parts.next().is_some_and(|kind| {
        kind.starts_with("ssh-") || kind.starts_with("ecdsa-") || kind.starts_with("sk-")
    });
    // A comment may follow, on the same line.
    kind && parts.next().is_some_and(base64) && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBw0aLqB9vUo5Yk3yQm0GxQ1n7mC1u7Zk5m7o2K0a1b2 root@mentat";

    #[test]
    fn formats_take_the_good_and_refuse_the_bad() {
        for (format, good, bad) in [
            ("address", "10.0.0.1", "10.0.0.256"),
            ("address", "fd00::1", "fd00::1::2"),
            ("address", "mentat.internal", "mentat internal"),
            ("network", "10.0.0.0/24", "10.0.0.0/33"),
            ("network", "fd00::/64", "10.0.0.0/"),
            ("domain", "a-b.c", "-a.b"),
            ("url", "https://a/b", "ftp://a"),
            ("url", "http://[::1]:80/", "http:///x"),
            ("network", "::1", "all"),
            ("network", "10.0.0.1", "peer.internal"),
            ("url", "https://a.b/c%20d?e=f", "https://a/$x"),
            ("url", "https://a", "https://a/\";x"),
            ("name", "chom", "$tenant"),
            ("name", "ops.2_b-c", "a\nb"),
            ("name", "A", "; x"),
            ("mail", "a@b, Chom <c@d.e>", "{{ x }}@b"),
            ("mail", "a@b", "a"),
            ("crypt_hash", "$6$salt$Ab./9", "hunter2"),
            ("crypt_hash", "$apr1$x$y", "$6$x\nroot:$y$"),
            ("plain_path", "/etc/ssl/hé.pem", "/etc/a;b"),
            ("plain_path", "/a/b-c_1@d", "/a/$b"),
            ("plain_path", "/a", "/a b"),
            ("short_size", "256M", "256MB"),
            ("short_size", "2G", "-1"),
            ("key_file", "~/.ssh/my key", "a\"b"),
            ("ssh_key", KEY, "ssh-ed25519 x"),
            ("ssh_key", KEY, &format!("{KEY}\n* ssh-ed25519 other")),
            ("duration", "1h30m", "1h30"),
            ("duration", "15d", "15 days"),
            ("size", "50GB", "50G"),
            ("version", "1.4.0-rc1", "../1"),
            ("label", "production", "Production"),
            ("machine_id", "0123456789abcdef0123456789abcdef", "0123"),
            ("path", "/etc/x", "etc/x"),
            ("relative_path", "a/b", "../b"),
            ("mode", "0644", "rw-r--r--"),
            ("host", "mentat", "Mentat"),
            ("component_ref", "a/b", "a"),
            ("line", "a b", "a\nb"),
            ("calendar", "Mon..Fri *-*-* 03:30", "at night"),
            (
                "age_recipient",
                "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p",
                "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8q",
            ),
        ] {
            assert_eq!(check(format, good), Ok(()), "{format} {good}");
            assert!(check(format, bad).is_err(), "{format} {bad}");
        }
        assert!(check("nonesuch", "x").is_err());
    }

    #[test]
    fn a_refusal_says_what_is_wanted() {
        assert_eq!(
            check("host", "Mentat").unwrap_err(),
            "a host name: lower-case letters, digits and inner hyphens, at most 63"
        );
        assert!(
            check("path", "etc").unwrap_err().contains("is not absolute")
                || check("path", "etc").unwrap_err().contains("absolute")
        );
    }
}
