//! The word of one exposure. Whoever confirms brings it, so that a confirmation that is late, or meant for
//! another run, confirms nothing. It is no password: only root confirms, and root knows everything.

use std::fmt;
use std::io;
use std::str::FromStr;

use chom_format::Digest;

const BYTES: usize = 8;

/// Sixteen hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nonce(String);

/// What was given is no such word.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the word of an exposure: sixteen hexadecimal digits")]
pub struct NoNonce(String);

impl Nonce {
    /// One that was never used.
    pub fn fresh() -> io::Result<Self> {
        let mut bytes = [0_u8; BYTES];
        rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
        Ok(Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect()))
    }

    /// What the journal keeps of it.
    pub fn digest(&self) -> Digest {
        Digest::of(self.0.as_bytes())
    }
}

impl FromStr for Nonce {
    type Err = NoNonce;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = text.len() == 2 * BYTES && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if fits { Ok(Self(text.to_ascii_lowercase())) } else { Err(NoNonce(text.to_owned())) }
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_fresh_and_read_back() {
        let (one, two) = (Nonce::fresh().unwrap(), Nonce::fresh().unwrap());
        assert_ne!(one, two);
        assert_eq!(one.to_string().parse(), Ok(one.clone()));
        assert_ne!(one.digest(), two.digest());
        for wrong in ["", "12", "zzzzzzzzzzzzzzzz", "0123456789abcdef0"] {
            assert!(wrong.parse::<Nonce>().is_err(), "{wrong}");
        }
    }
}
