//! What of a directory is left out: a path with all below it, or every name of a form.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::path::HostPath;

/// What is left out: `/srv/shop/cache`, or `*.tmp`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exclude {
    /// This path and all below it.
    Below(HostPath),
    /// Every path with a part of this form; `*` stands for any text.
    Name(String),
}

/// Why a text says nothing of what is left out.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is neither an absolute path nor a form of a name such as *.tmp")]
pub struct ExcludeError(String);

impl Exclude {
    /// Whether a path is left out.
    pub fn holds(&self, path: &HostPath) -> bool {
        match self {
            Self::Below(place) => path.is_within(place),
            Self::Name(form) => path.as_str().split('/').any(|part| !part.is_empty() && fits(form, part)),
        }
    }
}

// At each `*` the earliest place of the next piece is as good as any later one.
fn fits(form: &str, name: &str) -> bool {
    let mut pieces = form.split('*');
    let Some(mut rest) = pieces.next().and_then(|first| name.strip_prefix(first)) else { return false };
    let mut last = None;
    for piece in pieces {
        if let Some(between) = last.replace(piece) {
            match rest.find(between) {
                Some(at) => rest = rest.get(at + between.len()..).unwrap_or_default(),
                None => return false,
            }
        }
    }
    last.map_or(rest.is_empty(), |end| rest.ends_with(end))
}

impl FromStr for Exclude {
    type Err = ExcludeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || ExcludeError(text.chars().take(80).collect());
        if text.starts_with('/') {
            return text.parse().map(Self::Below).map_err(|_| wrong());
        }
        let fit = !text.is_empty() && text.len() <= 255 && text.chars().any(|c| c != '*');
        let plain =
            !text.contains('/') && !text.chars().any(char::is_control) && ![".", ".."].contains(&text);
        if fit && plain { Ok(Self::Name(text.to_owned())) } else { Err(wrong()) }
    }
}

impl fmt::Display for Exclude {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Below(path) => write!(f, "{path}"),
            Self::Name(form) => f.write_str(form),
        }
    }
}

impl Serialize for Exclude {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Exclude {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_forms_of_names() {
        for (exclude, path, holds) in [
            ("/srv/cache", "/srv/cache/a", true),
            ("/srv/cache", "/srv/cached", false),
            ("*.tmp", "/srv/x.tmp", true),
            ("*.tmp", "/srv/x.tmp/below", true),
            ("*.tmp", "/srv/x.tmpl", false),
            ("wal*", "/data/wal-1/x", true),
            ("a*b*c", "/aXbYc", true),
            ("a*b*c", "/aXbY", false),
            ("a*ab", "/ab", false),
            ("lock", "/data/lock", true),
            ("lock", "/data/locked", false),
        ] {
            let parsed: Exclude = exclude.parse().unwrap();
            assert_eq!(parsed.holds(&path.parse().unwrap()), holds, "{exclude} {path}");
            assert_eq!(parsed.to_string(), exclude);
        }
        for text in ["", "*", "**", "a/b", "/a/../b", ".."] {
            assert!(text.parse::<Exclude>().is_err(), "{text}");
        }
    }
}
