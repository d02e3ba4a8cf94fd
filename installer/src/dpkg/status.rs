//! `/var/lib/dpkg/status`: which packages are there, in which version, and in which state.

use std::collections::BTreeMap;

use super::stanzas;
use crate::sys::{Sys, SysError, text_at};

/// One package as dpkg knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Without an architecture.
    pub name: String,
    /// Full Debian version.
    pub version: String,
    /// Debian architecture.
    pub arch: String,
    /// What was asked for: `install`, `hold`, `deinstall`.
    pub want: String,
    /// `ok` or `reinstreq`.
    pub flag: String,
    /// `installed`, `config-files`, `half-configured`.
    pub state: String,
    /// What it takes on the disk, in KiB.
    pub installed_kb: u64,
}

/// All packages that dpkg knows, by name; one for each architecture.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    packages: BTreeMap<String, Vec<Package>>,
}

impl Status {
    /// Where dpkg keeps it.
    pub const PATH: &'static str = "/var/lib/dpkg/status";

    /// Reads the host's; a host without dpkg has no packages.
    pub fn read(sys: &dyn Sys) -> Result<Self, SysError> {
        Ok(Self::parse(&text_at(sys, Self::PATH)?))
    }

    /// Reads the text of a status file; a paragraph without name or status says nothing.
    pub fn parse(text: &str) -> Self {
        let mut packages: BTreeMap<String, Vec<Package>> = BTreeMap::new();
        for stanza in stanzas(text) {
            let (Some(name), Some(status)) = (stanza.get("Package"), stanza.get("Status")) else { continue };
            let mut words = status.split_whitespace().map(str::to_owned);
            let mut word = || words.next().unwrap_or_default();
            let field = |key| stanza.get(key).unwrap_or_default().to_owned();
            let package = Package {
                name: name.to_owned(),
                version: field("Version"),
                arch: field("Architecture"),
                want: word(),
                flag: word(),
                state: word(),
                installed_kb: field("Installed-Size").parse().unwrap_or(0),
            };
            packages.entry(name.to_owned()).or_default().push(package);
        }
        Self { packages }
    }

    /// A package that is installed, in the architecture wanted (`all` fits any).
    pub fn installed(&self, name: &str, arch: &str) -> Option<&Package> {
        let fits = |package: &&Package| package.arch == arch || package.arch == "all" || arch == "all";
        self.packages.get(name)?.iter().filter(|package| package.is_installed()).find(fits)
    }

    /// Everything that dpkg knows, also what was removed and has left its configuration.
    pub fn all(&self) -> impl Iterator<Item = &Package> {
        self.packages.values().flatten()
    }

    /// Packages in the middle of something: dpkg must finish that before anything else is done.
    pub fn broken(&self) -> Vec<&Package> {
        let at_rest = ["not-installed", "config-files", "installed", "triggers-awaited", "triggers-pending"];
        let unfit = |package: &&Package| package.flag != "ok" || !at_rest.contains(&package.state.as_str());
        self.packages.values().flatten().filter(unfit).collect()
    }
}

impl Package {
    /// Whether it can be used.
    pub fn is_installed(&self) -> bool {
        matches!(self.state.as_str(), "installed" | "triggers-awaited" | "triggers-pending")
    }

    /// Whether somebody wants it to stay as it is.
    pub fn is_held(&self) -> bool {
        self.want == "hold"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Package: nginx\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.26.3-3\n\
        Installed-Size: 700\n\nPackage: gone\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 1\n\n\
        Package: half\nStatus: install reinstreq half-installed\nArchitecture: all\nVersion: 2\n\n\
        Package: kept\nStatus: hold ok installed\nArchitecture: all\nVersion: 3\n";

    #[test]
    fn states_are_told_apart() {
        let status = Status::parse(TEXT);
        assert_eq!(status.installed("nginx", "amd64").unwrap().version, "1.26.3-3");
        assert_eq!(status.installed("nginx", "amd64").unwrap().installed_kb, 700);
        assert!(status.installed("nginx", "arm64").is_none());
        assert!(status.installed("gone", "amd64").is_none());
        assert!(status.installed("kept", "amd64").unwrap().is_held());
        let broken: Vec<_> = status.broken().iter().map(|package| package.name.as_str()).collect();
        assert_eq!(broken, ["half"]);
    }
}
