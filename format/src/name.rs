//! Names: of hosts, components, accounts, units, packages and steps. Each type knows what its text may be.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Why a text is not such a name.
#[derive(Debug, thiserror::Error)]
#[error("`{text}` is not {what}")]
pub struct NameError {
    text: String,
    what: &'static str,
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(String);

        impl $type {
            /// The text of the name.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl FromStr for $type {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(NameError { text: text.chars().take(80).collect(), what: $what })
                }
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.0)
            }
        }
        impl Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
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

name! {
    /// A host as the inventory calls it: one DNS label.
    HostName, "a host name: lower-case letters, digits and inner hyphens, at most 63", |text| {
        text.len() <= 63 && !text.starts_with('-') && !text.ends_with('-') && made_of(text, "-")
    }
}
name! {
    /// A stack or component: the stem of its file in `targets/`.
    ComponentName, "a component name: lower-case letters, digits, `_` and `-`, at most 40", |text| {
        text.len() <= 40 && text.starts_with(|c: char| c.is_ascii_lowercase()) && made_of(text, "_-")
    }
}
name! {
    /// A user or group of the host.
    AccountName, "an account name: at most 31 lower-case letters, digits, `_` and `-`, not a digit first", |text| {
        text.len() <= 31 && text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_') && made_of(text, "_-")
    }
}
name! {
    /// A systemd unit with its suffix: `prometheus.service`.
    UnitName, "a systemd unit name with its suffix, such as nginx.service", |text| {
        let suffix = text.rsplit_once('.').map(|(_, suffix)| suffix);
        let known = matches!(suffix, Some("service" | "socket" | "timer" | "path" | "target" | "mount"));
        let fit = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
        known && text.len() <= 255 && !text.starts_with(['-', '.']) && text.chars().all(fit)
    }
}
name! {
    /// A Debian package.
    PackageName, "a Debian package name", |text| {
        text.len() >= 2 && text.starts_with(|c: char| c.is_ascii_alphanumeric()) && made_of(text, "+-.")
    }
}
name! {
    /// A step of a manifest: `component/what`, unique in its bundle, said by `--fail-at` and the journal.
    StepId, "a step id: letters, digits and any of `/ . _ - + @ :`, at most 200", |text| {
        let fit = |c: char| c.is_ascii_alphanumeric() || "/._-+@:".contains(c);
        !text.is_empty() && text.len() <= 200 && text.chars().all(fit)
    }
}
name! {
    /// A part of a backup: `component.id`, the stem of its file.
    PartName, "the name of a part of a backup: component.id", |text| {
        let part = |text: &str| text.parse::<ComponentName>().is_ok();
        text.split_once('.').is_some_and(|(component, id)| part(component) && part(id))
    }
}
name! {
    /// A database. Narrow, because it stands in command lines and queries.
    DatabaseName, "a database name: letters, digits, `_` and inner `-`, at most 63, not a digit first", |text| {
        let fit = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
        text.len() <= 63 && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && text.chars().all(fit)
    }
}

fn made_of(text: &str, also: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || also.contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_and_are_not() {
        assert!("mentat".parse::<HostName>().is_ok());
        for text in ["", "-a", "a-", "Mentat", "a.b", &"a".repeat(64)] {
            assert!(text.parse::<HostName>().is_err(), "{text}");
        }
        assert!("node_exporter".parse::<ComponentName>().is_ok());
        assert!("www-data".parse::<AccountName>().is_ok());
        assert!("0day".parse::<AccountName>().is_err());
        assert!("getty@tty1.service".parse::<UnitName>().is_ok());
        for text in ["nginx", "a/b.service", "-x.service", "x.conf", "a b.service"] {
            assert!(text.parse::<UnitName>().is_err(), "{text}");
        }
        assert!("libstdc++6".parse::<PackageName>().is_ok());
        assert!("prometheus/etc.prometheus.yml".parse::<StepId>().is_ok());
        assert!("a b".parse::<StepId>().is_err());
    }
}
