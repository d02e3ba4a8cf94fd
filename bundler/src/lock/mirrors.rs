//! Where archives are reached. Mirrors are a matter of the place that a bundle is built at, so they stand in
//! the inventory or come from the machine's own apt sources, and never in the lock.

use std::fmt;
use std::str::FromStr;

use chom_format::exit::Explain;
use chom_format::{Exit, HostState};
use serde::{Deserialize, Deserializer, de};

/// The mirrors that the inventory names. What is absent comes from the control machine's apt sources.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mirrors {
    /// Of Debian's archive, in the order in which they are tried.
    pub debian: Option<Vec<MirrorUrl>>,
    /// Of Debian's security archive, in the order in which they are tried.
    pub security: Option<Vec<MirrorUrl>>,
    /// Stands in for every upstream archive: `<upstream>/<host>/<path>` is fetched.
    pub upstream: Option<MirrorUrl>,
    /// An archive of archives, asked for packages that have left the mirrors. `{archive}` becomes `debian` or
    /// `debian-security`, `{date}` the date of the locked release.
    pub snapshot: Option<MirrorUrl>,
}

/// The base address of a mirror: http, https or file, without a final slash.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MirrorUrl(String);

/// Why a text is not the address of a mirror.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not the address of a mirror: http://, https:// or file:/// is wanted")]
pub struct MirrorUrlError(String);

impl Explain for MirrorUrlError {
    fn exit(&self) -> Exit {
        Exit::BadInput
    }

    fn hint(&self) -> Option<String> {
        Some("mend `mirrors` in the inventory".to_owned())
    }

    fn host(&self) -> HostState {
        HostState::NotConcerned
    }
}

impl MirrorUrl {
    /// The address, without a final slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The address of a path below the mirror.
    pub fn join(&self, path: &str) -> String {
        format!("{}/{}", self.0, path.trim_start_matches('/'))
    }

    /// Where this mirror keeps what lies at an upstream address: `<mirror>/<host>/<path>`.
    pub fn instead_of(&self, url: &str) -> String {
        self.join(url.split_once("://").map_or(url, |(_, rest)| rest))
    }
}

impl fmt::Display for MirrorUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for MirrorUrl {
    type Err = MirrorUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || MirrorUrlError(text.to_owned());
        if text.contains(|c: char| c.is_whitespace() || c.is_control() || "\"'<>".contains(c)) {
            return Err(wrong());
        }
        let trimmed = text.trim_end_matches('/');
        // apt knows `file:/srv/mirror` beside the three slashes of the standard.
        if let Some(path) = trimmed.strip_prefix("file:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return if path.starts_with('/') { Ok(Self(format!("file://{path}"))) } else { Err(wrong()) };
        }
        let host =
            trimmed.strip_prefix("http://").or_else(|| trimmed.strip_prefix("https://")).ok_or_else(wrong)?;
        if host.is_empty() || host.starts_with('/') { Err(wrong()) } else { Ok(Self(trimmed.to_owned())) }
    }
}

impl<'de> Deserialize<'de> for MirrorUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_are_and_are_not() {
        for (text, same) in [
            ("http://mirror.example/debian/", "http://mirror.example/debian"),
            ("https://mirror.example", "https://mirror.example"),
            ("file:/srv/debian", "file:///srv/debian"),
            ("file:///srv/debian/", "file:///srv/debian"),
        ] {
            assert_eq!(text.parse::<MirrorUrl>().unwrap().as_str(), same);
        }
        for text in [
            "",
            "mirror.example/debian",
            "http://",
            "http:///debian",
            "ftp://a/b",
            "file:debian",
            "http://a b",
        ] {
            assert!(text.parse::<MirrorUrl>().is_err(), "{text}");
        }
    }

    #[test]
    fn joins() {
        let mirror: MirrorUrl = "http://mirror.example/debian/".parse().unwrap();
        assert_eq!(mirror.join("pool/a.deb"), "http://mirror.example/debian/pool/a.deb");
        assert_eq!(
            mirror.instead_of("https://site.example/x/y.zip"),
            "http://mirror.example/debian/site.example/x/y.zip"
        );
    }
}
