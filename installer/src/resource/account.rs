//! A user and group, in the account files.
//!
//! The files are put back as they were, times and backups included, while they are as this run left them.
//! Once others have made accounts, only our own lines go. An account that somebody still holds
//! is never deleted, see [`super::holds`]: it is named, and stays.

use std::collections::BTreeMap;

use chom_format::{AccountName, HostPath};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::holds::Account;
use super::kind::{Pass, Policy, ResourceKind, room_of_saved};
use super::path::PathResource;
use super::store::below;
use super::{Fingerprint, ResourceHandler, Restored, Saved, Store, from_value, to_value};
use crate::sys::{Effect, PathState, Source, Sys, SysError, named, state_of, text_of};

/// Every file that the account tools write; each has a backup with a `-`.
const FILES: [&str; 6] =
    ["/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow", "/etc/subuid", "/etc/subgid"];
const LOCK: &str = "/etc/.pwd.lock";

pub(super) struct AccountResource<'a> {
    pub(super) name: &'a AccountName,
}

/// The account files with their states.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
struct Files(BTreeMap<HostPath, PathState>);

impl ResourceKind for AccountResource<'_> {
    fn words(&self) -> String {
        format!("account {}", self.name)
    }

    fn policy(&self) -> Policy {
        Policy {
            pass: Pass::Paths,
            made_at_path: false,
            any_step_changes: false,
            services_stop: true,
            outlived_by_children: false,
            manager_reloads: false,
            keeps_what_others_made: false,
            asks_for_earlier: false,
        }
    }

    fn room_at(&self) -> Result<HostPath, SysError> {
        named("/etc")
    }

    fn room(&self, objects: &[u64]) -> u64 {
        room_of_saved(objects)
    }

    fn may_change(&self, path: &HostPath) -> bool {
        path.parent().is_some_and(|dir| dir.as_str() == "/etc")
    }

    fn own_paths(&self) -> Vec<HostPath> {
        paths()
    }

    fn files(&self, _: &dyn Sys) -> Result<Vec<HostPath>, SysError> {
        Ok(Vec::new())
    }
}

impl ResourceHandler for AccountResource<'_> {
    fn save(&self, sys: &mut dyn Sys, store: &Store) -> Result<Saved, SysError> {
        let files = Files::now(sys)?;
        let mut objects = Vec::new();
        for (path, state) in &files.0 {
            if let PathState::File { sha256, .. } = state {
                store.keep_file(sys, path, *sha256)?;
                objects.push(*sha256);
            }
        }
        Saved::new(&files, objects)
    }

    fn fingerprint(&self, sys: &dyn Sys) -> Result<Fingerprint, SysError> {
        Ok(Fingerprint::of(&Files::now(sys)?))
    }

    fn after(&self, sys: &mut dyn Sys, _: &Store, _: &Saved) -> Result<Value, SysError> {
        to_value(&Files::now(sys)?)
    }

    fn listings(&self, _: &dyn Sys) -> Result<Vec<HostPath>, SysError> {
        Ok(vec![named("/etc")?])
    }

    fn restore(
        &self,
        sys: &mut dyn Sys,
        store: &Store,
        saved: &Saved,
        after: Option<&Value>,
    ) -> Result<Restored, SysError> {
        let before: Files = saved.read()?;
        let now = Files::now(sys)?;
        if now == before {
            return Ok(Restored::AlreadyBefore);
        }
        if let Some(reason) = self.is_held(sys, store, &before)? {
            return Ok(Restored::Left { told: vec![reason], kept: Vec::new(), differs: true });
        }
        let after = after.map(from_value::<Files>).transpose()?;
        let mut foreign = false;
        for path in before.0.keys().chain(now.0.keys().filter(|path| !before.0.contains_key(*path))) {
            let was = before.0.get(path).unwrap_or(&PathState::Absent);
            let is = now.0.get(path).unwrap_or(&PathState::Absent);
            let left = after.as_ref().and_then(|after| after.0.get(path));
            if is == was {
                continue;
            }
            if left.is_none_or(|left| left == is) {
                let saved = Saved::new(was, Vec::new())?;
                PathResource { path, data: false }.restore(sys, store, &saved, None)?;
            } else {
                foreign = true;
                self.strike(sys, store, path, was, is)?;
            }
        }
        Ok(if foreign { Restored::Foreign { kept: Vec::new() } } else { Restored::Restored })
    }

    fn restore_early(
        &self,
        sys: &mut dyn Sys,
        store: &Store,
        saved: &Saved,
        after: Option<&Value>,
    ) -> Result<Option<Restored>, SysError> {
        self.restore(sys, store, saved, after).map(Some)
    }
}

impl AccountResource<'_> {
    /// The reason why the account must stay, if it is new and somebody holds it.
    fn is_held(&self, sys: &dyn Sys, store: &Store, before: &Files) -> Result<Option<String>, SysError> {
        let (passwd, group) = (named("/etc/passwd")?, named("/etc/group")?);
        let mine = |text: &str| number(text, self.name.as_str());
        let new = |path: &HostPath| -> Result<Option<u32>, SysError> {
            let was = before.0.get(path).map_or(Ok(None), |state| content(sys, store, state))?;
            let known = was.as_deref().and_then(mine).is_some();
            Ok(if known { None } else { mine(&text_of(sys, path)?.unwrap_or_default()) })
        };
        let (uid, gid) = (new(&passwd)?, new(&group)?);
        if uid.is_none() && gid.is_none() {
            return Ok(None);
        }
        Account { name: self.name.as_str(), uid, gid }.is_held(sys)
    }

    /// Takes our line out of a file that others have changed since.
    fn strike(
        &self,
        sys: &mut dyn Sys,
        store: &Store,
        path: &HostPath,
        was: &PathState,
        is: &PathState,
    ) -> Result<(), SysError> {
        let PathState::File { attrs, .. } = is else { return Ok(()) };
        let known = content(sys, store, was)?.is_some_and(|text| line(&text, self.name.as_str()).is_some());
        let text = text_of(sys, path)?.unwrap_or_default();
        if known || line(&text, self.name.as_str()).is_none() {
            return Ok(());
        }
        let prefix = format!("{}:", self.name);
        let kept: String = text.split_inclusive('\n').filter(|line| !line.starts_with(&prefix)).collect();
        sys.effect(&Effect::Write { path, source: Source::Bytes(kept.as_bytes()), attrs })?;
        Ok(())
    }
}

impl Files {
    fn now(sys: &dyn Sys) -> Result<Self, SysError> {
        let mut files = BTreeMap::new();
        let etc = named("/etc")?;
        let left = sys.list(&etc)?.into_iter().filter(|name| is_left(name)).map(|name| below(&etc, &name));
        for path in paths().into_iter().map(Ok).chain(left) {
            let path = path?;
            let state = state_of(sys, &path)?;
            files.insert(path, state);
        }
        Ok(Self(files))
    }
}

/// Every file that an account is put back with.
pub(super) fn paths() -> Vec<HostPath> {
    let all = FILES.iter().flat_map(|file| [(*file).to_owned(), format!("{file}-")]);
    all.chain([LOCK.to_owned()]).filter_map(|text| text.parse().ok()).collect()
}

/// What the account tools leave in `/etc` when they are cut off, or when the power fails before a name that they have
/// changed is on the disk: `gshadow+`, which becomes `gshadow`; `passwd.lock`, and `passwd.123`, which becomes that.
fn is_left(name: &str) -> bool {
    FILES.iter().filter_map(|file| name.strip_prefix(file.strip_prefix("/etc/")?)).any(|rest| {
        let pid = rest.strip_prefix('.').unwrap_or_default();
        rest == "+" || rest == ".lock" || (!pid.is_empty() && pid.bytes().all(|byte| byte.is_ascii_digit()))
    })
}

fn line<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find(|line| line.split(':').next() == Some(name))
}

fn number(text: &str, name: &str) -> Option<u32> {
    line(text, name)?.split(':').nth(2)?.parse().ok()
}

/// What a saved file held.
fn content(sys: &dyn Sys, store: &Store, state: &PathState) -> Result<Option<String>, SysError> {
    match state {
        PathState::File { sha256, .. } => {
            Ok(Some(String::from_utf8_lossy(&store.read(sys, sha256)?).into_owned()))
        }
        PathState::Absent | PathState::Dir { .. } | PathState::Link { .. } | PathState::Special { .. } => {
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::lchown;

    use super::*;
    use crate::resource::Resource;
    use crate::sys::RealSys;

    const BEFORE: &str = "root:x:0:0::/root:/bin/sh\n";
    const OURS: &str = "app:x:990:990::/:/usr/sbin/nologin\n";
    const THEIRS: &str = "theirs:x:1001:1001::/home/theirs:/bin/sh\n";

    struct Host {
        dir: tempfile::TempDir,
        store: Store,
        account: Resource,
        saved: Saved,
        after: Value,
    }

    /// A host on which the account was made.
    fn host() -> Host {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        for path in ["etc", "srv", "var/lib/chom/objects", "var/lib/chom/attic"] {
            fs::create_dir_all(dir.path().join(path)).unwrap();
        }
        fs::write(dir.path().join("etc/passwd"), BEFORE).unwrap();
        fs::write(dir.path().join("etc/group"), "root:x:0:\n").unwrap();
        let store = Store {
            objects: "/var/lib/chom/objects".parse().unwrap(),
            attic: "/var/lib/chom/attic/000001".parse().unwrap(),
        };
        let account = Resource::Account { name: "app".parse().unwrap() };
        let mut sys = RealSys::new(dir.path());
        let saved = account.handler().save(&mut sys, &store).unwrap();
        fs::write(dir.path().join("etc/passwd-"), BEFORE).unwrap();
        fs::write(dir.path().join("etc/passwd"), format!("{BEFORE}{OURS}")).unwrap();
        fs::write(dir.path().join("etc/group"), "root:x:0:\napp:x:990:\n").unwrap();
        let after = account.handler().after(&mut sys, &store, &saved).unwrap();
        Host { dir, store, account, saved, after }
    }

    impl Host {
        fn restore(&self, after: Option<&Value>) -> Restored {
            let mut sys = RealSys::new(self.dir.path());
            self.account.handler().restore(&mut sys, &self.store, &self.saved, after).unwrap()
        }

        fn text(&self, path: &str) -> String {
            fs::read_to_string(self.dir.path().join(path)).unwrap()
        }

        fn is_as_before(&self) -> bool {
            let sys = RealSys::new(self.dir.path());
            self.account.handler().fingerprint(&sys).unwrap() == self.saved.fingerprint
        }
    }

    #[test]
    fn the_files_are_as_before_times_and_backups_included() {
        for known in [false, true] {
            let host = host();
            assert_eq!(host.restore(known.then_some(&host.after)), Restored::Restored);
            assert!(host.is_as_before());
            assert_eq!(host.restore(known.then_some(&host.after)), Restored::AlreadyBefore);
        }
    }

    #[test]
    fn what_the_tools_leave_when_they_are_cut_off_goes_too() {
        for known in [false, true] {
            let host = host();
            let etc = host.dir.path().join("etc");
            for name in ["gshadow+", "passwd.lock", "passwd.4711", "passwd.edit", "group+x", "host.conf"] {
                fs::write(etc.join(name), "").unwrap();
            }
            assert_eq!(host.restore(known.then_some(&host.after)), Restored::Restored);
            assert!(host.is_as_before());
            let mut left: Vec<_> =
                fs::read_dir(&etc).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            left.sort();
            assert_eq!(left, ["group", "group+x", "host.conf", "passwd", "passwd.edit"]);
        }
    }

    #[test]
    fn accounts_that_others_made_since_stay() {
        let host = host();
        fs::write(host.dir.path().join("etc/passwd"), format!("{BEFORE}{OURS}{THEIRS}")).unwrap();
        assert_eq!(host.restore(Some(&host.after)), Restored::Foreign { kept: Vec::new() });
        assert_eq!(host.text("etc/passwd"), format!("{BEFORE}{THEIRS}"));
        assert_eq!(host.text("etc/group"), "root:x:0:\n");
    }

    #[test]
    fn a_copy_that_is_lost_or_damaged_takes_no_line_away() {
        let own = BEFORE.len() as u64;
        for damage in [None, Some("root:x:0")] {
            let host = host();
            // An account of before: by the copy alone it is known that it was there.
            let account = Resource::Account { name: "root".parse().unwrap() };
            let objects = host.dir.path().join("var/lib/chom/objects");
            for object in fs::read_dir(&objects).unwrap().map(|entry| entry.unwrap().path()) {
                if fs::metadata(&object).unwrap().len() == own {
                    damage.map_or_else(|| fs::remove_file(&object), |text| fs::write(&object, text)).unwrap();
                }
            }
            let now = format!("{BEFORE}{OURS}{THEIRS}");
            fs::write(host.dir.path().join("etc/passwd"), &now).unwrap();
            let mut sys = RealSys::new(host.dir.path());
            let restored = account.handler().restore(&mut sys, &host.store, &host.saved, Some(&host.after));
            let error = restored.unwrap_err().to_string();
            assert!(error.contains("/var/lib/chom/objects/"), "{error}");
            assert_eq!(host.text("etc/passwd"), now);
        }
    }

    #[test]
    fn an_account_that_owns_something_stays_and_is_named() {
        let host = host();
        fs::write(host.dir.path().join("srv/data"), "").unwrap();
        lchown(host.dir.path().join("srv/data"), Some(990), Some(0)).unwrap();
        let Restored::Left { told, .. } = host.restore(Some(&host.after)) else { panic!("deleted") };
        assert_eq!(told, ["account `app` stays: it owns /srv/data"]);
        assert!(host.text("etc/passwd").contains(OURS));
    }
}
