//! Permission bits, written in octal text (`"0644"`) because YAML and JSON would read a bare 0644 as 644.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Permission bits of a path, set-id and sticky bits included.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mode(u32);

/// Why a text is not a mode.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a file mode: write it as quoted octal, such as \"0644\"")]
pub struct ModeError(String);

impl Mode {
    /// The permission bits of `st_mode`; the file type is dropped.
    pub fn from_bits(st_mode: u32) -> Self {
        Self(st_mode & 0o7777)
    }

    /// The twelve bits.
    pub fn bits(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

impl fmt::Debug for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for Mode {
    type Err = ModeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let octal = (3..=4).contains(&text.len()) && text.bytes().all(|b| (b'0'..=b'7').contains(&b));
        match u32::from_str_radix(text, 8) {
            Ok(bits) if octal => Ok(Self(bits)),
            _ => Err(ModeError(text.to_owned())),
        }
    }
}

impl Serialize for Mode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_parse_and_print() {
        for (text, bits) in [("0644", 0o644), ("755", 0o755), ("2750", 0o2750), ("0000", 0)] {
            assert_eq!(text.parse::<Mode>().unwrap().bits(), bits);
        }
        assert_eq!(Mode::from_bits(0o100644).to_string(), "0644");
    }

    #[test]
    fn not_modes() {
        for text in ["", "44", "0o644", "0999", "+644", "00644", "rw-r--r--"] {
            assert!(text.parse::<Mode>().is_err(), "{text}");
        }
    }
}
