//! What must never be printed. Plans, errors, logs and receipts are read by more people than a secret is meant for.

use chom_format::{HostPath, Mode};

/// What stands in the place of a secret.
pub const MASK: &str = "********";

const FILES: [&str; 12] = [
    "secret",
    "htpasswd",
    "passwd",
    "password",
    "credential",
    "token",
    "private",
    "id_rsa",
    "id_ed25519",
    ".env",
    ".key",
    ".pem",
];
const KEYS: [&str; 11] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "api_key",
    "apikey",
    "access_key",
    "private_key",
    "credentials",
    "authorization",
];

/// Whether a file's content may not be shown at all: not readable for all, and named as secrets are.
pub fn is_secret(path: &HostPath, mode: Mode) -> bool {
    let name = path.as_str().to_ascii_lowercase();
    mode.bits() & 0o004 == 0 && FILES.iter().any(|part| name.contains(part))
}

/// A line with the values of secret settings and the passwords in addresses masked.
pub fn line(text: &str) -> String {
    let text = address(text);
    for separator in [':', '='] {
        let Some((key, value)) = text.split_once(separator) else { continue };
        if names_secret(key) && !value.trim().is_empty() {
            return format!("{key}{separator} {MASK}");
        }
    }
    text
}

/// The same for each line of a text.
pub fn text(text: &str) -> String {
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

// `password_file: /path` names a place and not a secret.
fn names_secret(key: &str) -> bool {
    let word = key.rsplit(|c: char| c.is_whitespace() || "\"'({,-".contains(c)).find(|word| !word.is_empty());
    let word = word.unwrap_or_default().to_ascii_lowercase();
    KEYS.iter().any(|name| word.ends_with(name))
}

// scheme://user:password@host
fn address(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        shown.push_str(before);
        shown.push_str("://");
        let end = after.find(|c: char| c.is_whitespace() || "/\"'?#".contains(c)).unwrap_or(after.len());
        let (authority, tail) = after.split_at(end);
        match authority.rsplit_once('@').map(|(login, host)| (login.split_once(':'), host)) {
            Some((Some((user, _)), host)) => shown.push_str(&format!("{user}:{MASK}@{host}")),
            _ => shown.push_str(authority),
        }
        rest = tail;
    }
    shown.push_str(rest);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_with_secrets_are_masked() {
        for (plain, shown) in [
            ("smtp_auth_password: hunter2", "smtp_auth_password: ********"),
            ("  password = \"x\"", "  password = ********"),
            ("DB_PASSWORD=x", "DB_PASSWORD= ********"),
            ("Authorization: Bearer abc", "Authorization: ********"),
            ("url: postgres://me:pw@db/x?y", "url: postgres://me:********@db/x?y"),
            ("password_file: /etc/x", "password_file: /etc/x"),
            ("password:", "password:"),
            ("listen 80; # no secret", "listen 80; # no secret"),
            ("url: http://127.0.0.1:9090/x", "url: http://127.0.0.1:9090/x"),
        ] {
            assert_eq!(line(plain), shown);
        }
    }

    #[test]
    fn a_secret_file_is_closed_and_named_so() {
        let secret = |path: &str, mode: &str| is_secret(&path.parse().unwrap(), mode.parse().unwrap());
        assert!(secret("/etc/nginx/observability.htpasswd", "0640"));
        assert!(secret("/etc/x/secrets/smtp", "0600"));
        assert!(!secret("/etc/x/secrets/smtp", "0644"));
        assert!(!secret("/etc/prometheus/prometheus.yml", "0640"));
    }
}
