//! A package run in miniature: what dpkg, maintainer scripts, triggers and services do to a system.

use std::fs;
use std::os::unix::fs::{MetadataExt, lchown, symlink};
use std::path::{Path, PathBuf};

use chom_format::{HostPath, PackageName};
use serde_json::Value;
use tempfile::TempDir;

use super::super::{Resource, Restored, Saved, Store};
use super::entry::Scan;
use crate::sys::{Attrs, Effect, Of, RealSys, Stamp, Sys};

struct Host {
    dir: TempDir,
    store: Store,
    resource: Resource,
}

fn names(names: &[&str]) -> Vec<PackageName> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

impl Host {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("chom-test-").tempdir_in("/dev/shm").unwrap();
        let store = Store {
            objects: "/var/lib/chom/objects".parse().unwrap(),
            attic: "/var/lib/chom/attic/000001".parse().unwrap(),
        };
        let resource = Resource::System { replaces: names(&["old"]), brings: names(&["daemon"]) };
        let host = Self { dir, store, resource };
        for path in [
            "etc/alternatives",
            "usr/bin",
            "usr/lib/old",
            "usr/share/cache",
            "var/lib/dpkg/info",
            "var/lib/live",
            "var/log",
            "var/cache",
            "var/spool",
            "var/lib/chom/objects",
            "var/lib/chom/attic",
        ] {
            fs::create_dir_all(host.at(path)).unwrap();
        }
        symlink("usr/lib", host.at("lib")).unwrap();
        host.write("etc/passwd", "root:x:0:0::/root:/bin/sh\n");
        host.write("etc/hand-made.conf", "by hand\n");
        host.write("usr/lib/old/program", "old program");
        fs::hard_link(host.at("usr/lib/old/program"), host.at("usr/bin/old")).unwrap();
        host.write("usr/lib/old/removed", "only in the old version");
        host.write("usr/share/cache/index", "made by a trigger");
        host.write("usr/bin/other", "of another package");
        host.write("var/lib/live/rows", "rows");
        host.write("var/log/syslog", "line\n");
        host.write(
            "var/lib/dpkg/info/old.list",
            "/.\n/lib\n/lib/old\n/lib/old/program\n/lib/old/removed\n/usr/bin/old\n",
        );
        host.write("var/lib/dpkg/info/other.list", "/usr/bin/other\n");
        host.write("var/lib/dpkg/status", &(status("old", "1") + &status("other", "1")));
        host.age();
        host
    }

    fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn sys(&self) -> RealSys {
        RealSys::new(self.dir.path())
    }

    fn write(&self, path: &str, text: &str) {
        fs::create_dir_all(self.at(path).parent().unwrap()).unwrap();
        fs::write(self.at(path), text).unwrap();
    }

    /// As dpkg does it: another inode takes the place.
    fn replace(&self, path: &str, text: &str) {
        let new = self.at(&format!("{path}.dpkg-new"));
        fs::write(&new, text).unwrap();
        fs::rename(new, self.at(path)).unwrap();
    }

    fn age(&self) {
        let mut sys = self.sys();
        let paths: Vec<HostPath> = Scan::take(&sys, None).unwrap().0.into_keys().collect();
        for (number, path) in (0..).zip(paths.iter().rev()) {
            let mtime = Stamp { sec: 1_500_000_000 + number, nsec: 987_654_321 };
            let attrs = Attrs { mtime, ..sys.attrs(path).unwrap().unwrap() };
            sys.effect(&Effect::SetAttrs { path, attrs: &attrs, of: Of::Any }).unwrap();
        }
    }

    fn save(&self) -> Saved {
        self.resource.handler().save(&mut self.sys(), &self.store).unwrap()
    }

    fn after(&self, saved: &Saved) -> Value {
        self.resource.handler().after(&mut self.sys(), &self.store, saved).unwrap()
    }

    fn restore(&self, saved: &Saved, after: Option<&Value>) -> Restored {
        self.resource.handler().restore(&mut self.sys(), &self.store, saved, after).unwrap()
    }

    fn differences(&self, saved: &Saved, after: Option<&Value>) -> Vec<String> {
        self.resource
            .handler()
            .differences(&self.sys(), &self.store, saved, after, &std::collections::BTreeSet::new())
            .unwrap()
    }

    /// Everything visible but what the services did meanwhile.
    fn picture(&self) -> Vec<String> {
        let scan = Scan::take(&self.sys(), None).unwrap();
        let live = |path: &str| path.starts_with("/var/lib/live") || path == "/var/log/syslog";
        let line = |(path, entry): (&HostPath, &super::entry::Entry)| {
            let content = fs::read(path.under(self.dir.path())).unwrap_or_default();
            let (kind, size, attrs, target) = (entry.kind, entry.size, &entry.attrs, &entry.target);
            format!("{path} {kind:?} {size} {attrs:?} {target:?} {:?}", String::from_utf8_lossy(&content))
        };
        scan.0.iter().filter(|(path, _)| !live(path.as_str())).map(line).collect()
    }

    /// The packages are unpacked, cut off before dpkg has noted the new one.
    fn unpack(&self) {
        self.replace("usr/lib/old/program", "new program");
        self.replace("usr/bin/old", "new program");
        fs::remove_file(self.at("usr/lib/old/removed")).unwrap();
        self.write("usr/bin/daemon", "daemon");
        self.write("etc/daemon/daemon.conf.dpkg-new", "default\n");
        self.replace("var/lib/dpkg/status", &(status("old", "2") + &status("other", "1")));
        self.write("var/lib/live/rows", "rows, and more\n");
        self.write("var/log/syslog", "line\nanother\n");
    }

    /// And the rest of it: configured, triggers run.
    fn configure(&self) {
        fs::rename(self.at("etc/daemon/daemon.conf.dpkg-new"), self.at("etc/daemon/daemon.conf")).unwrap();
        self.replace("etc/passwd", "root:x:0:0::/root:/bin/sh\ndaemon-user:x:990:990::/:/bin/false\n");
        symlink("/usr/bin/daemon", self.at("etc/alternatives/daemon")).unwrap();
        self.write("etc/generated.key", "made by a script");
        self.replace("usr/share/cache/index", "made anew by a trigger");
        self.write(
            "var/lib/dpkg/info/daemon.list",
            "/.\n/usr/bin/daemon\n/etc/daemon\n/etc/daemon/daemon.conf\n/var/log/daemon\n",
        );
        fs::create_dir(self.at("var/log/daemon")).unwrap();
        self.write("var/lib/daemon-state/seed", "made by a script");
        lchown(self.at("var/lib/daemon-state"), Some(990), Some(990)).unwrap();
        let all = status("old", "2") + &status("other", "1") + &status("daemon", "1");
        self.replace("var/lib/dpkg/status", &all);
    }
}

fn status(name: &str, version: &str) -> String {
    format!("Package: {name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {version}\n\n")
}

fn attic(host: &Host) -> Vec<String> {
    fn files(dir: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(dir).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                files(&path, found);
            } else {
                found.push(fs::read_to_string(&path).unwrap());
            }
        }
    }
    let mut found = Vec::new();
    files(&host.at("var/lib/chom/attic/000001"), &mut found);
    found.sort();
    found
}

#[test]
fn a_run_is_taken_back_exactly_and_services_keep_what_they_wrote() {
    let host = Host::new();
    let before = host.picture();
    let saved = host.save();
    host.unpack();
    host.configure();
    let after = host.after(&saved);
    assert_ne!(host.picture(), before);
    assert_eq!(host.restore(&saved, Some(&after)), Restored::Restored);
    assert_eq!(host.differences(&saved, Some(&after)), Vec::<String>::new());
    assert_eq!(host.picture(), before);
    assert_eq!(fs::read_to_string(host.at("var/lib/live/rows")).unwrap(), "rows, and more\n");
    assert_eq!(attic(&host), Vec::<String>::new());
    // The two names of one file are one file again.
    let inode = |path: &str| fs::metadata(host.at(path)).unwrap().ino();
    assert_eq!(inode("usr/bin/old"), inode("usr/lib/old/program"));
    // And once more changes nothing.
    assert_eq!(host.restore(&saved, Some(&after)), Restored::AlreadyBefore);
}

#[test]
fn a_run_that_was_cut_off_anywhere_is_taken_back() {
    for configured in [false, true] {
        let host = Host::new();
        let before = host.picture();
        let saved = host.save();
        host.unpack();
        if configured {
            host.configure();
        }
        host.restore(&saved, None);
        assert_eq!(host.picture(), before, "configured: {configured}");
        assert_eq!(host.differences(&saved, None), Vec::<String>::new());
        assert_eq!(attic(&host), Vec::<String>::new());
    }
}

#[test]
fn what_came_long_after_a_run_was_cut_off_is_kept() {
    let host = Host::new();
    let before = host.picture();
    let saved = host.save();
    host.unpack();
    // dpkg was last seen long ago, and the host went on without us.
    for path in ["var/lib/dpkg", "var/lib/dpkg/info", "var/lib/dpkg/status"] {
        let mut sys = host.sys();
        let path = format!("/{path}").parse().unwrap();
        let attrs =
            Attrs { mtime: Stamp { sec: 1_600_000_000, nsec: 0 }, ..sys.attrs(&path).unwrap().unwrap() };
        sys.effect(&Effect::SetAttrs { path: &path, attrs: &attrs, of: Of::Any }).unwrap();
    }
    host.write("etc/theirs.conf", "theirs\n");
    host.write("var/lib/theirs/data", "theirs too\n");
    let Restored::Foreign { .. } = host.restore(&saved, None) else { panic!("nothing was kept") };
    assert!(attic(&host).contains(&"theirs\n".to_owned()));
    assert!(host.at("var/lib/theirs/data").exists());
    fs::remove_dir_all(host.at("var/lib/theirs")).unwrap();
    let missing: Vec<String> = before.into_iter().filter(|line| !host.picture().contains(line)).collect();
    assert_eq!(missing.len(), 1, "only the time of /var/lib is theirs: {missing:?}");
}

#[test]
fn what_came_after_the_run_is_kept_aside() {
    let host = Host::new();
    let before = host.picture();
    let saved = host.save();
    host.unpack();
    host.configure();
    let after = host.after(&saved);
    host.write("etc/daemon/daemon.conf", "edited by hand\n");
    host.write("var/lib/daemon-state/rows/1", "data\n");
    host.write("var/log/daemon/daemon.log", "log\n");
    let Restored::Foreign { kept } = host.restore(&saved, Some(&after)) else { panic!("nothing was kept") };
    assert_eq!(kept.len(), 3, "{kept:?}");
    assert_eq!(attic(&host), ["data\n", "edited by hand\n", "log\n"]);
    assert_eq!(host.picture(), before);
}

#[test]
fn what_others_installed_since_is_not_overwritten() {
    let host = Host::new();
    let saved = host.save();
    host.unpack();
    host.configure();
    let after = host.after(&saved);
    let all = status("old", "2") + &status("other", "1") + &status("daemon", "1") + &status("theirs", "1");
    host.replace("var/lib/dpkg/status", &all);
    let now = host.picture();
    // dpkg does it, and of a directory there is none: nothing is done by anybody else.
    let mut sys = host.sys();
    let error = host.resource.handler().restore(&mut sys, &host.store, &saved, Some(&after)).unwrap_err();
    assert!(error.to_string().contains("run dpkg: its root is a directory"), "{error}");
    assert_eq!(host.picture(), now);
}

#[test]
fn what_others_did_while_ours_was_not_let_in_stays() {
    let host = Host::new();
    let saved = host.save();
    // Ours as they were, theirs done: apt found the lock taken.
    let old = fs::read_to_string(host.at("var/lib/dpkg/status")).unwrap();
    host.replace("var/lib/dpkg/status", &(old.clone() + &status("theirs", "1")));
    host.write("etc/theirs.conf", "theirs\n");
    let now = host.picture();
    assert_eq!(host.restore(&saved, None), Restored::Foreign { kept: Vec::new() });
    assert_eq!(host.picture(), now);
    // Ours begun as well: nobody can tell whose is what.
    host.replace("var/lib/dpkg/status", &(old + &status("theirs", "1") + &status("daemon", "1")));
    let now = host.picture();
    let Restored::Stuck { reason } = host.restore(&saved, None) else { panic!("overwritten") };
    assert!(reason.contains("theirs:amd64") && !reason.contains("daemon:amd64"), "{reason}");
    assert_eq!(host.picture(), now);
}

#[test]
fn a_difference_that_is_left_is_named() {
    let host = Host::new();
    let saved = host.save();
    host.unpack();
    host.configure();
    let after = host.after(&saved);
    let named = host.differences(&saved, Some(&after));
    assert_eq!(named[..2], ["/etc/alternatives/daemon is still there", "/etc/daemon is still there"]);
    assert!(named.contains(&"/etc/passwd differs".to_owned()), "{named:?}");
    assert!(named.last().unwrap().ends_with("more paths"), "{named:?}");
}

#[test]
fn what_lies_in_the_change_is_settled_with_it() {
    let host = Host::new();
    let saved = host.save();
    host.unpack();
    host.configure();
    let after = host.after(&saved);
    let path = |text: &str| Resource::Path { path: text.parse().unwrap(), data: false };
    let (inside, outside) = (path("/etc/daemon/rules.d/a"), path("/etc/hand-made.conf"));
    let listing = Resource::Listing { path: "/etc/daemon".parse().unwrap() };
    let account = Resource::Account { name: "daemon-user".parse().unwrap() };
    let covered = host
        .resource
        .handler()
        .covered(&host.sys(), &host.store, &saved, Some(&after), &[&inside, &outside, &listing, &account])
        .unwrap();
    assert!(covered.contains(&inside) && covered.contains(&listing) && covered.contains(&account));
    assert!(!covered.contains(&outside));
}
