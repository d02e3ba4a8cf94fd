//! Settings of the kernel that ufw makes when it is switched on, and does not take back when it is switched off.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::sys::{Command, Effect, Sys, SysError, named, text_at, text_of};

const FILE: &str = "/etc/ufw/sysctl.conf";

/// Values by name, such as `net/ipv4/conf/all/accept_redirects`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sysctl(BTreeMap<String, String>);

impl Sysctl {
    /// The present values of all settings that ufw's file names.
    pub(super) fn read(sys: &dyn Sys) -> Result<Self, SysError> {
        let mut values = BTreeMap::new();
        for name in names(&text_at(sys, FILE)?) {
            // A kernel without IPv6 has none of its settings.
            if let Some(value) = text_of(sys, &named(&format!("/proc/sys/{name}"))?)? {
                values.insert(name, value.trim().to_owned());
            }
        }
        Ok(Self(values))
    }

    /// Sets those that differ.
    pub(super) fn put_back(&self, sys: &mut dyn Sys) -> Result<(), SysError> {
        for (name, value) in &self.0 {
            let now = text_of(sys, &named(&format!("/proc/sys/{name}"))?)?;
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
