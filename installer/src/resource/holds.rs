//! What keeps an account on a host: files that it owns, and what others have written down of it.
//!
//! The number of an account that went would be given to the next one, with all that is in its files; and dpkg refuses
//! every work once an override names a user or group that is not there. Asked when all that is ours is gone already.

use chom_format::HostPath;

use super::store::below;
use crate::sys::{Kind, Sys, SysError, named, text_at, text_of};

/// Where nothing of lasting value lies, or nothing at all.
const NOT_SEARCHED: [&str; 6] = ["/proc", "/sys", "/dev", "/run", "/tmp", "/var/tmp"];
const STATE: &str = "/var/lib/chom";
const OVERRIDES: &str = "/var/lib/dpkg/statoverride";
const UNITS: [&str; 2] = ["/etc/systemd/system", "/usr/lib/systemd/system"];
const TMPFILES: [&str; 2] = ["/etc/tmpfiles.d", "/usr/lib/tmpfiles.d"];
const CRON: [&str; 2] = ["/etc/crontab", "/etc/cron.d"];
const MOST_NAMED: usize = 3;
const LONGEST_NAMED: usize = 300;

/// An account that may go.
pub(super) struct Account<'a> {
    pub(super) name: &'a str,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
}

impl Account<'_> {
    /// Why it must stay, in words.
    pub(super) fn is_held(&self, sys: &dyn Sys) -> Result<Option<String>, SysError> {
        let reason = match self.is_named(sys)? {
            Some(place) => Some(format!("{place} names it")),
            None => self.owns(sys)?.map(|owned| format!("it owns {owned}")),
        };
        Ok(reason.map(|reason| format!("account `{}` stays: {reason}", self.name)))
    }

    fn owns(&self, sys: &dyn Sys) -> Result<Option<String>, SysError> {
        // What is kept in the state directory is not in use, wherever that really lies.
        let state = sys.resolve(&named(STATE)?)?;
        let skipped: Vec<&str> =
            NOT_SEARCHED.into_iter().chain(state.as_ref().map(HostPath::as_str)).collect();
        let owned = sys.owned(self.uid, self.gid, &skipped, MOST_NAMED + 1)?;
        let more = if owned.len() > MOST_NAMED { " and more" } else { "" };
        let some: Vec<String> = owned.iter().take(MOST_NAMED).map(|path| cut(path)).collect();
        Ok((!owned.is_empty()).then(|| format!("{}{more}", some.join(", "))))
    }

    /// The file that names it.
    fn is_named(&self, sys: &dyn Sys) -> Result<Option<HostPath>, SysError> {
        if text_at(sys, OVERRIDES)?.lines().any(|line| line.split(' ').take(2).any(|word| word == self.name))
        {
            return named(OVERRIDES).map(Some);
        }
        let in_unit = |line: &str| {
            let (key, value) = line.split_once('=').unwrap_or_default();
            ["User", "Group", "SupplementaryGroups"].contains(&key.trim())
                && value.split_whitespace().any(|word| word == self.name)
        };
        let in_column = |line: &str, columns: &[usize]| {
            let words: Vec<&str> = line.split_whitespace().collect();
            !line.starts_with('#') && columns.iter().any(|at| words.get(*at) == Some(&self.name))
        };
        // `@daily user command` and `m h dom mon dow user command`; `type path mode user group`
        for (places, says) in [
            (&UNITS, &in_unit as &dyn Fn(&str) -> bool),
            (&TMPFILES, &|line: &str| in_column(line, &[3, 4])),
            (&CRON, &|line: &str| in_column(line, if line.starts_with('@') { &[1] } else { &[5] })),
        ] {
            for place in places {
                if let Some(found) = first(sys, &named(place)?, says)? {
                    return Ok(Some(found));
                }
            }
        }
        let table = named(&format!("/var/spool/cron/crontabs/{}", self.name))?;
        Ok(sys.meta(&table)?.map(|_| table))
    }
}

/// A path that a person can still read: others make some of ten thousand letters.
fn cut(path: &str) -> String {
    match path.char_indices().nth(LONGEST_NAMED) {
        Some((end, _)) => format!("{}...", path.get(..end).unwrap_or_default()),
        None => path.to_owned(),
    }
}

/// The first file, at or below a place, one of whose lines says it.
fn first(sys: &dyn Sys, place: &HostPath, says: &dyn Fn(&str) -> bool) -> Result<Option<HostPath>, SysError> {
    match sys.meta(place)?.map(|meta| meta.kind) {
        Some(Kind::File) => {
            let text = text_of(sys, place)?.unwrap_or_default();
            Ok(text.lines().any(says).then(|| place.clone()))
        }
        Some(Kind::Dir) => {
            for name in sys.list(place)? {
                if let Some(found) = first(sys, &below(place, &name)?, says)? {
                    return Ok(Some(found));
                }
            }
            Ok(None)
        }
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::sys::RealSys;

    #[test]
    fn whoever_names_it_holds_it() {
        for (path, text, held) in [
            ("var/lib/dpkg/statoverride", "root app 0750 /srv/x\n", true),
            ("var/lib/dpkg/statoverride", "root apps 0750 /srv/app\n", false),
            ("etc/systemd/system/x.service.d/a.conf", "[Service]\nUser=app\n", true),
            ("usr/lib/systemd/system/x.service", "[Service]\nSupplementaryGroups=adm app\n", true),
            ("etc/systemd/system/x.service", "[Service]\nExecStart=app\n", false),
            ("etc/tmpfiles.d/x.conf", "d /run/x 0755 root app -\n", true),
            ("etc/tmpfiles.d/x.conf", "#d /run/x 0755 root app -\n", false),
            ("etc/cron.d/x", "* * * * * app true\n", true),
            ("etc/cron.d/x", "@daily app true\n", true),
            ("etc/crontab", "* * * * * root app\n", false),
            ("var/spool/cron/crontabs/app", "* * * * * true\n", true),
        ] {
            let dir = tempfile::tempdir_in("/dev/shm").unwrap();
            fs::create_dir_all(dir.path().join(path).parent().unwrap()).unwrap();
            fs::write(dir.path().join(path), text).unwrap();
            let account = Account { name: "app", uid: None, gid: None };
            let found = account.is_held(&RealSys::new(dir.path())).unwrap();
            assert_eq!(found.is_some(), held, "{path}: {text}{found:?}");
            assert!(found.is_none_or(|reason| reason.contains(path)));
        }
    }

    #[test]
    fn what_is_kept_in_the_state_directory_holds_nobody_wherever_that_lies() {
        for (link, kept, held) in
            [(false, "var/lib/chom/attic", false), (true, "srv/chom/attic", false), (true, "srv/app", true)]
        {
            let dir = tempfile::tempdir_in("/dev/shm").unwrap();
            fs::create_dir_all(dir.path().join("var/lib")).unwrap();
            fs::create_dir_all(dir.path().join(kept)).unwrap();
            if link {
                fs::create_dir_all(dir.path().join("srv/chom")).unwrap();
                std::os::unix::fs::symlink("/srv/chom", dir.path().join("var/lib/chom")).unwrap();
            }
            std::os::unix::fs::chown(dir.path().join(kept), Some(990), None).unwrap();
            let account = Account { name: "app", uid: Some(990), gid: None };
            let found = account.is_held(&RealSys::new(dir.path())).unwrap();
            assert_eq!(found.is_some(), held, "{kept}: {found:?}");
        }
    }
}
