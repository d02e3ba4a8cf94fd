//! The two kinds of path: on the host, and inside a bundle or release.
//!
//! Both are checked when they are made, so no later code can be walked out of a root by `..`, an
//! absolute member, a control character or an empty part.

use std::borrow::Borrow;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

// PATH_MAX with room for the root that an installer may put in front.
const LONGEST: usize = 3500;

/// Why a text is not an acceptable path.
#[derive(Debug, thiserror::Error)]
#[error("path {path:?} {reason}")]
pub struct PathError {
    path: String,
    reason: &'static str,
}

/// An absolute, normal path on the target host: `/etc/nginx/nginx.conf`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPath(String);

/// A relative, normal path inside a bundle, a release or an archive: `files/etc/nginx/nginx.conf`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelPath(String);

impl HostPath {
    /// The root directory.
    pub fn root() -> Self {
        Self("/".to_owned())
    }

    /// The text, always with a leading `/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The directory that holds this path; none for the root.
    pub fn parent(&self) -> Option<Self> {
        let (parent, name) = self.0.rsplit_once('/')?;
        if name.is_empty() {
            return None;
        }
        Some(if parent.is_empty() { Self::root() } else { Self(parent.to_owned()) })
    }

    /// The last part; empty for the root.
    pub fn name(&self) -> &str {
        self.0.rsplit_once('/').map_or("", |(_, name)| name)
    }

    /// This path with a relative one below it.
    pub fn join(&self, below: &RelPath) -> Self {
        Self(format!("{}/{}", self.0.trim_end_matches('/'), below.0))
    }

    /// Whether this path is `other` or lies below it.
    pub fn is_within(&self, other: &Self) -> bool {
        other.0 == "/"
            || self.0 == other.0
            || self.0.strip_prefix(&other.0).is_some_and(|rest| rest.starts_with('/'))
    }

    /// This path seen from the root `/`: the part after the first slash; none for the root itself.
    pub fn relative(&self) -> Option<RelPath> {
        self.0.strip_prefix('/').filter(|rest| !rest.is_empty()).map(|rest| RelPath(rest.to_owned()))
    }

    /// Where this path lies when the host's root is the directory `root`.
    pub fn under(&self, root: &Path) -> PathBuf {
        root.join(self.0.trim_start_matches('/'))
    }
}

impl RelPath {
    /// The text, never with a leading `/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// This path with another below it.
    pub fn join(&self, below: &Self) -> Self {
        Self(format!("{}/{}", self.0, below.0))
    }

    /// The last part.
    pub fn name(&self) -> &str {
        self.0.rsplit_once('/').map_or(&self.0, |(_, name)| name)
    }

    /// Where this path lies below the directory `base`.
    pub fn under(&self, base: &Path) -> PathBuf {
        base.join(&self.0)
    }
}

impl FromStr for HostPath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = |reason| PathError { path: text.chars().take(200).collect(), reason };
        if text == "/" {
            return Ok(Self::root());
        }
        let rest = text.strip_prefix('/').ok_or_else(|| wrong("is not absolute"))?;
        check_parts(rest).map_err(wrong)?;
        Ok(Self(text.to_owned()))
    }
}

impl FromStr for RelPath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = |reason| PathError { path: text.chars().take(200).collect(), reason };
        if text.starts_with('/') {
            return Err(wrong("is absolute"));
        }
        check_parts(text).map_err(wrong)?;
        Ok(Self(text.to_owned()))
    }
}

fn check_parts(text: &str) -> Result<(), &'static str> {
    if text.len() > LONGEST {
        return Err("is too long");
    }
    if text.chars().any(char::is_control) {
        return Err("holds a control character");
    }
    for part in text.split('/') {
        match part {
            "" => return Err("has an empty part"),
            "." | ".." => return Err("has a `.` or `..` part"),
            part if part.len() > 255 => return Err("has a part of more than 255 bytes"),
            _ => {}
        }
    }
    Ok(())
}

macro_rules! text_form {
    ($type:ident) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.0)
            }
        }
        impl AsRef<Path> for $type {
            fn as_ref(&self) -> &Path {
                Path::new(&self.0)
            }
        }
        impl Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
    };
}

text_form!(HostPath);
text_form!(RelPath);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn parts_of_a_host_path() {
        let path: HostPath = "/etc/nginx/nginx.conf".parse().unwrap();
        assert_eq!(path.parent().unwrap().as_str(), "/etc/nginx");
        assert_eq!(path.name(), "nginx.conf");
        assert_eq!("/etc".parse::<HostPath>().unwrap().parent(), Some(HostPath::root()));
        assert_eq!(HostPath::root().parent(), None);
        assert_eq!(HostPath::root().join(&"a/b".parse().unwrap()).as_str(), "/a/b");
        assert_eq!(path.under(Path::new("/mnt")), Path::new("/mnt/etc/nginx/nginx.conf"));
    }

    #[test]
    fn within_respects_whole_parts() {
        let within = |a: &str, b: &str| a.parse::<HostPath>().unwrap().is_within(&b.parse().unwrap());
        assert!(within("/etc/nginx", "/etc"));
        assert!(within("/etc", "/etc"));
        assert!(within("/etc", "/"));
        assert!(!within("/etcetera", "/etc"));
        assert!(!within("/etc", "/etc/nginx"));
    }

    #[test]
    fn hostile_paths_are_refused() {
        for text in ["", "etc", "//etc", "/etc/", "/etc//x", "/etc/../x", "/./x", "/a\nb", "/a\0", "/.."] {
            assert!(text.parse::<HostPath>().is_err(), "{text:?}");
        }
        for text in ["", "/etc", "../x", "a/..", "a//b", "a/", "./a", "a\u{7f}"] {
            assert!(text.parse::<RelPath>().is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn an_accepted_path_never_leaves_its_root(text in "[./a-c\\x00-\\x20]{0,12}") {
            let root = Path::new("/root/of/it");
            if let Ok(path) = text.parse::<RelPath>() {
                let joined = path.under(root);
                prop_assert!(joined.starts_with(root) && joined != root);
                prop_assert!(joined.components().all(|c| !matches!(c, std::path::Component::ParentDir)));
            }
            if let Ok(path) = format!("/{text}").parse::<HostPath>() {
                prop_assert!(path.under(root).starts_with(root));
            }
        }
    }
}
