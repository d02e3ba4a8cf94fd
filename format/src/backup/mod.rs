//! What of a host is worth a backup, and what is done with it: data in the manifest, so that the host's own committed
//! transaction says what to save when the bundle is long gone.

mod exclude;
pub mod key;
mod part;
mod policy;
mod recipient;

pub use exclude::{Exclude, ExcludeError};
pub use part::{BackupPart, BackupSource, MariadbSource, PathsSource, PostgresqlSource, RedisSource};
pub use policy::{BackupPolicy, DIRECTORY};
pub use recipient::{Recipient, RecipientError};

use serde::{Deserialize, Serialize};

use crate::name::PartName;
use crate::path::HostPath;

/// Where no backup looks: the kernel's own, and what the installer keeps for itself.
const FORBIDDEN: [&str; 5] = ["/proc", "/sys", "/dev", "/run", "/var/lib/chom"];

/// What is backed up, and how backups are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupSpec {
    /// Where, how many, for whom.
    pub policy: BackupPolicy,
    /// What, in the order of the components.
    pub parts: Vec<BackupPart>,
}

impl BackupSpec {
    /// What the types cannot say: all faults at once, each with the part that it is about.
    pub fn faults(&self) -> Vec<(Option<PartName>, String)> {
        let mut faults = Vec::new();
        for (number, part) in self.parts.iter().enumerate() {
            let mut tell = |fault: String| faults.push((Some(part.name.clone()), fault));
            if self.parts.iter().take(number).any(|other| other.name == part.name) {
                tell(format!("a part `{}` is there already", part.name));
            }
            let BackupSource::Paths(source) = &part.source else { continue };
            if source.paths.is_empty() {
                tell(format!("part `{}` names no path", part.name));
            }
            for path in &source.paths {
                let forbidden =
                    |place: &&str| place.parse().is_ok_and(|place: HostPath| path.is_within(&place));
                if *path == HostPath::root() {
                    tell(format!("part `{}` would be the whole host", part.name));
                } else if FORBIDDEN.iter().any(forbidden) {
                    tell(format!("part `{}` names {path}, where no backup looks", part.name));
                } else if self.policy.dir.is_within(path) && !source.excludes(&self.policy.dir) {
                    tell(format!("part `{}` holds {}, where the backups lie", part.name, self.policy.dir));
                } else if path.is_within(&self.policy.dir) {
                    tell(format!("part `{}` names {path}, where the backups lie", part.name));
                }
                if source.paths.iter().any(|other| other != path && path.is_within(other)) {
                    tell(format!("part `{}` names {path} twice", part.name));
                }
            }
        }
        let place = self.policy.dir.as_str();
        if ["/", "/proc", "/sys", "/dev", "/run", "/etc", "/usr", "/boot"].contains(&place) {
            faults.push((None, format!("{place} is no directory for backups")));
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(dir: &str, parts: &[(&str, &[&str], &[&str])]) -> BackupSpec {
        let part = |(name, paths, exclude): &(&str, &[&str], &[&str])| BackupPart {
            name: name.parse().unwrap(),
            component: "a".parse().unwrap(),
            limit: 1,
            stop: Vec::new(),
            timeout_s: 60,
            source: BackupSource::Paths(PathsSource {
                paths: paths.iter().map(|path| path.parse().unwrap()).collect(),
                exclude: exclude.iter().map(|text| text.parse().unwrap()).collect(),
            }),
        };
        let policy = BackupPolicy { dir: dir.parse().unwrap(), ..BackupPolicy::default() };
        BackupSpec { policy, parts: parts.iter().map(part).collect() }
    }

    fn faults(spec: &BackupSpec) -> Vec<String> {
        spec.faults().into_iter().map(|(_, fault)| fault).collect()
    }

    #[test]
    fn what_fits_has_no_faults() {
        assert_eq!(
            faults(&spec("/var/lib/chom/backups", &[("a.b", &["/etc/a"], &[])])),
            Vec::<String>::new()
        );
        assert_eq!(
            faults(&spec("/srv/backups", &[("a.b", &["/srv"], &["/srv/backups"])])),
            Vec::<String>::new()
        );
    }

    #[test]
    fn what_cannot_be_is_told_all_at_once() {
        let wrong = spec(
            "/srv/backups",
            &[("a.b", &["/srv", "/", "/proc/x", "/srv/backups/x"], &[]), ("a.b", &[], &[])],
        );
        let told = faults(&wrong).join("\n");
        for words in [
            "holds /srv/backups, where the backups lie",
            "would be the whole host",
            "names /proc/x, where no backup looks",
            "names /srv/backups/x, where the backups lie",
            "a part `a.b` is there already",
            "part `a.b` names no path",
            "names /srv/backups/x twice",
        ] {
            assert!(told.contains(words), "{words}: {told}");
        }
        assert_eq!(faults(&spec("/etc", &[])), ["/etc is no directory for backups"]);
    }

    #[test]
    fn a_spec_is_written_and_read_and_nothing_unknown_is() {
        let text = r#"{"policy":{"dir":"/srv/b","keep":3},"parts":[
            {"name":"shop.db","component":"shop","limit":9,"source":{"postgresql":{"database":"shop"}}},
            {"name":"shop.q","component":"shop","limit":9,"source":{"redis":{"unit":"r.service","port":6380}}},
            {"name":"shop.m","component":"shop","limit":9,"source":{"mariadb":{}}}]}"#;
        let read: BackupSpec = serde_json::from_str(text).unwrap();
        assert_eq!((read.policy.keep, read.parts[0].timeout_s), (3, 600));
        let BackupSource::Postgresql(source) = &read.parts[0].source else { panic!() };
        assert_eq!((source.account(), source.port), ("postgres", 5432));
        let again: BackupSpec = serde_json::from_str(&serde_json::to_string(&read).unwrap()).unwrap();
        assert_eq!(again, read);
        for unknown in [text.replace("\"keep\"", "\"kept\""), text.replace("\"port\"", "\"porto\"")] {
            assert!(serde_json::from_str::<BackupSpec>(&unknown).is_err(), "{unknown}");
        }
    }
}
