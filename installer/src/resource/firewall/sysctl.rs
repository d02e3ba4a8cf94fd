//! Settings of the kernel that ufw makes when it is switched on, and does not take back when it is switched off.

use std::collections::BTreeMap;

use chom_format::HostPath;
use serde::{Deserialize, Serialize};

use crate::sys::{Command, Effect, Sys, SysError};

const FILE: &str = "/etc/ufw/sysctl.conf";

/// Values by name, such as `net/ipv4/conf/all/accept_redirects`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sysctl(BTreeMap<String, String>);

impl Sysctl {
    /// The present values of all settings that ufw's file names.
    pub(super) fn read(sys: &dyn Sys) -> Result<Self, SysError> {
        let mut values = BTreeMap::new();
        for name in names(&text(sys, FILE)?.unwrap_or_default()) {
            // A kernel without IPv6 has none of its settings.
            if let Some(value) = text(sys, &format!("/proc/sys/{name}"))? {
                values.insert(name, value.trim().to_owned());
            }
        }
        Ok(Self(values))
    }

    /// Sets those that differ.
    pub(super) fn put_back(&self, sys: &mut dyn Sys) -> Result<(), SysError> {
        for (name, value) in &self.0 {
            let now = text(sys, &format!("/proc/sys/{name}"))?;
            if now.is_some_and(|now| now.trim() != value) {
                let setting = format!("{name}={value}");
                sys.effect(&Effect::Run(&Command::new(["sysctl", "-q", "-w", setting.as_str()])))?;
            }
        }
        Ok(())
    }
}

fn names(text: &str) -> Vec<String> {
    let name = |line: &str| {
        let (name, _) = line.trim().split_once('=')?;
        let fits = |c: char| c.is_ascii_alphanumeric() || "/_-.".contains(c);
        let name = name.trim();
        (!name.is_empty() && name.chars().all(fits) && !name.contains("..")).then(|| name.to_owned())
    };
    text.lines().filter(|line| !line.trim_start().starts_with('#')).filter_map(name).collect()
}

fn text(sys: &dyn Sys, name: &str) -> Result<Option<String>, SysError> {
    let path: HostPath = name.parse().map_err(|why| SysError::other("read", name, format!("{why}")))?;
    if sys.meta(&path)?.is_none() {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    sys.open(&path)?.read_to_end(&mut bytes).map_err(SysError::io("read", name))?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_named_in_ufws_file() {
        let text =
            "#net/ipv4/ip_forward=1\n\nnet/ipv4/conf/all/accept_redirects=0\n net/x = 1\nbad\n../x=1\n";
        assert_eq!(names(text), ["net/ipv4/conf/all/accept_redirects", "net/x"]);
    }
}
