//! What must never be printed, and what may be quoted: short, printable, and without what looks like a secret. Plans,
//! errors, logs and receipts are read by more people than a secret is meant for.

use chom_format::{HostPath, Mode};

const LONGEST: usize = 200;
const MASK: &str = "[redacted]";
/// Parts of the names of files that hold secrets.
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
/// Parts of the names of values that are secrets.
const WORDS: [&str; 12] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "api_key",
    "apikey",
    "api-key",
    "access_key",
    "credential",
    "authorization",
    "private_key",
];

/// Whether a file's content may not be shown at all: not readable for all, and named as secrets are.
pub fn is_secret(path: &HostPath, mode: Mode) -> bool {
    let name = path.as_str().to_ascii_lowercase();
    mode.bits() & 0o004 == 0 && FILES.iter().any(|part| name.contains(part))
}

/// A quote for a report: one line of at most 200 characters, secrets masked; none when there is nothing to quote.
pub fn snippet(text: &str) -> Option<String> {
    // Masked before it is cut: a secret at the edge must not lose the word before it that betrays it.
    let head: String = text.chars().take(LONGEST * 20).collect();
    let words = self::text(&head);
    let line = words.split_whitespace().collect::<Vec<_>>().join(" ");
    let clean: String = line.chars().filter(|c| !c.is_control()).collect();
    let short: String = clean.chars().take(LONGEST).collect();
    let dots =
        if clean.chars().count() > LONGEST || text.chars().count() > LONGEST * 20 { "..." } else { "" };
    (!short.is_empty()).then(|| format!("{short}{dots}"))
}

/// The text with the values of what is called a secret, and the user part of addresses, masked.
pub fn text(text: &str) -> String {
    text.split_inclusive('\n').map(|line| mask_addresses(&mask_values(line))).collect()
}

// `password: x`, `"token":"x"`, `secret=x`: from the word up to the end of its value.
fn mask_values(line: &str) -> String {
    let lower = line.to_ascii_lowercase();
    let mut out = String::new();
    let mut at = 0;
    while let Some((start, word)) = next_word(&lower, at) {
        let after = start + word.len();
        let rest = line.get(after..).unwrap_or_default();
        let end = match value_of(rest) {
            Some((from, to)) => {
                out.push_str(line.get(at..after + from).unwrap_or_default());
                out.push_str(MASK);
                after + to
            }
            None => {
                out.push_str(line.get(at..after).unwrap_or_default());
                after
            }
        };
        at = end;
    }
    out.push_str(line.get(at..).unwrap_or_default());
    out
}

fn next_word(lower: &str, at: usize) -> Option<(usize, &'static str)> {
    let found = WORDS.iter().filter_map(|word| Some((lower.get(at..)?.find(word)? + at, *word)));
    found.min_by_key(|(start, word)| (*start, std::cmp::Reverse(word.len())))
}

// Where the value begins and ends behind a word: `": "x"`, `=x`, `: Bearer x`.
fn value_of(rest: &str) -> Option<(usize, usize)> {
    let name_end =
        rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-').unwrap_or(rest.len());
    let after_name = rest.get(name_end..)?;
    let quoted = after_name.trim_start_matches(['"', '\'', '\\']);
    let separator = quoted.trim_start();
    let value = separator.strip_prefix([':', '='])?;
    let value = value.trim_start_matches([' ', '\t']);
    let (value, ends): (&str, &[char]) = match value.trim_start_matches('\\') {
        inner if inner.starts_with('"') => (inner.get(1..)?, &['"', '\\', '\n']),
        inner if inner.starts_with('\'') => (inner.get(1..)?, &['\'', '\n']),
        // A header's value has blanks in it, `Bearer x`: all of the line goes.
        bare => (bare, &['\n', ',', '&', ';', '}']),
    };
    let from = rest.len() - value.len();
    let length = value.find(ends).unwrap_or(value.len());
    // `password_file: /path` names a place and not a secret.
    let is_place = rest.get(..name_end)?.ends_with("_file") && value.starts_with('/');
    (length > 0 && !is_place).then_some((from, from + length))
}

// `http://user:pass@host/`.
fn mask_addresses(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some((head, tail)) = rest.split_once("://") {
        let authority = tail.find(['/', ' ', '"', '\'', '\n', '?']).unwrap_or(tail.len());
        out.push_str(head);
        out.push_str("://");
        rest = match tail.get(..authority).unwrap_or_default().rfind('@') {
            Some(at) => {
                out.push_str(MASK);
                tail.get(at..).unwrap_or_default()
            }
            None => tail,
        };
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whatever_stands_around_it_a_secret_is_masked(
            head in "[a-zü {\"':=,\\n]{0,20}",
            name in "(db_)?(password|token|secret|api_key)(_file)?",
            join in "(=|: |\":\"|\": \"|='| = )",
            tail in "[\"',;&\\n }]{1,5}",
        ) {
            let shown = text(&format!("{head}{name}{join}hunter2{tail}"));
            prop_assert!(!shown.contains("hunter2"), "{shown}");
        }
    }

    #[test]
    fn secrets_are_masked_and_the_rest_stays() {
        for (said, shown) in [
            ("plain text", "plain text"),
            (r#"{"password":"hunter2","user":"a"}"#, r#"{"password":"[redacted]","user":"a"}"#),
            (r#"{"db_password_file": "x y", "n": 1}"#, r#"{"db_password_file": "[redacted]", "n": 1}"#),
            ("smtp_auth_password: hunter2", "smtp_auth_password: [redacted]"),
            ("Authorization: Bearer abc.def", "Authorization: [redacted]"),
            ("token=abc&x=1", "token=[redacted]&x=1"),
            ("DB_PASSWORD='a b' next", "DB_PASSWORD='[redacted]' next"),
            ("http://user:pass@10.0.0.1:9090/x", "http://[redacted]@10.0.0.1:9090/x"),
            ("a token was refused", "a token was refused"),
            ("  password = \"x\"", "  password = \"[redacted]\""),
            ("password_file: /etc/x", "password_file: /etc/x"),
            ("password:", "password:"),
            ("listen 80; # no secret", "listen 80; # no secret"),
            ("mail to a@b.c", "mail to a@b.c"),
        ] {
            assert_eq!(text(said), shown);
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

    #[test]
    fn quotes_are_short_and_printable() {
        assert_eq!(snippet(" \n"), None);
        assert_eq!(snippet("a\n\n b\x1b[31mc").as_deref(), Some("a b[31mc"));
        let long = snippet(&"ü".repeat(500)).unwrap();
        assert_eq!(long.chars().count(), 203);
    }

    #[test]
    fn a_secret_is_not_cut_free_of_its_name() {
        let said = format!("{} password=hunter2", "x".repeat(195));
        assert!(!snippet(&said).unwrap().contains("hunter2"));
    }
}
