//! The part of Debian's archive that a host draws on: one release, one processor.

use std::fmt;
use std::str::FromStr;

use chom_format::manifest::{Arch, Suite};
use serde::{Deserialize, Deserializer, de};

/// `trixie/amd64`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ArchiveId {
    /// The release.
    pub suite: Suite,
    /// The processor.
    pub arch: Arch,
}

/// Why a text is not such a part.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a release and an architecture such as trixie/amd64")]
pub struct ArchiveIdError(String);

impl fmt::Display for ArchiveId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.suite.name(), self.arch.debian())
    }
}

impl FromStr for ArchiveId {
    type Err = ArchiveIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let all = Suite::ALL.iter().flat_map(|&suite| Arch::ALL.map(|arch| Self { suite, arch }));
        all.into_iter().find(|id| id.to_string() == text).ok_or_else(|| ArchiveIdError(text.to_owned()))
    }
}

impl<'de> Deserialize<'de> for ArchiveId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        for text in ["trixie/amd64", "trixie/arm64", "bookworm/amd64", "bookworm/arm64"] {
            assert_eq!(text.parse::<ArchiveId>().unwrap().to_string(), text);
        }
        for text in ["trixie", "sid/amd64", "trixie/x86_64", "trixie/amd64/", ""] {
            assert!(text.parse::<ArchiveId>().is_err(), "{text}");
        }
    }
}
