//! The public half of an age key (`age1...`): whoever holds the other half can read a backup.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::key;

const PREFIX: &str = "age";

/// A public X25519 key, as `age-keygen` prints it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Recipient([u8; 32]);

/// Why a text is not such a key.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{0}` is not the public key of an age identity, such as `age-keygen` prints it: age1 and 58 characters"
)]
pub struct RecipientError(String);

impl Recipient {
    /// The point of the curve.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for Recipient {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl FromStr for Recipient {
    type Err = RecipientError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // A private key that was put here by mistake must not be quoted.
        let shown =
            || if text.to_lowercase().starts_with("age-secret") { "AGE-SECRET-KEY-..." } else { text };
        let wrong = || RecipientError(shown().chars().take(80).collect());
        let lower = !text.chars().any(|c| c.is_ascii_uppercase());
        key::parse(PREFIX, text).filter(|_| lower).map(Self).ok_or_else(wrong)
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        key::write(f, PREFIX, &self.0)
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for Recipient {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Recipient {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // From age's own documentation.
    const KNOWN: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

    #[test]
    fn a_public_key_is_read_and_written() {
        assert_eq!(KNOWN.parse::<Recipient>().unwrap().to_string(), KNOWN);
    }

    #[test]
    fn anything_else_is_refused_and_a_private_key_never_quoted() {
        let typo = KNOWN.replace("ql3z", "ql3y");
        for text in ["", "age1", &typo, &KNOWN.to_uppercase(), &KNOWN[..KNOWN.len() - 1], "ssh-ed25519 AAAA"]
        {
            assert!(text.parse::<Recipient>().is_err(), "{text}");
        }
        let private = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";
        let told = private.parse::<Recipient>().unwrap_err().to_string();
        assert!(!told.contains("GFPYY"), "{told}");
    }
}
