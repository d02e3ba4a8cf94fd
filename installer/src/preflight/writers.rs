//! Who else can write where we write. In a directory of another account a file of ours is made safely, and nothing keeps
//! that account from exchanging it a moment later: so no program and no unit file belongs there.

use std::collections::BTreeSet;

use chom_format::manifest::Manifest;
use chom_format::{HostPath, Mode, StepSpec};

use super::Finding;
use super::targets::list;
use crate::sys::{Sys, SysError};

const CHECK: &str = "directories-of-others";
const UNITS: &str = "/etc/systemd/";
const STATE: &str = "/var/lib/chom";

pub(super) fn check(sys: &dyn Sys, manifest: &Manifest) -> Vec<Finding> {
    match look(sys, manifest) {
        Ok(seen) => judge(&seen),
        Err(error) => vec![Finding::fail(CHECK, error.to_string(), "chom-install plan")],
    }
}

/// What lies where others can write.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    /// Programs, unit files and our own state.
    trusted: BTreeSet<HostPath>,
    /// Directories of everything else.
    dirs: BTreeSet<HostPath>,
}

fn look(sys: &dyn Sys, manifest: &Manifest) -> Result<Seen, SysError> {
    let steps = manifest.steps();
    let ours: Vec<&HostPath> = steps.iter().filter_map(|(_, step)| of_others(&step.spec)).collect();
    let mut seen = Seen::default();
    let mut note = |path: &HostPath, trusted: bool| -> Result<(), SysError> {
        let dir = path.parent().unwrap_or_else(HostPath::root);
        if sys.is_private(&dir)? && !ours.iter().any(|of| path != *of && path.is_within(of)) {
            return Ok(());
        }
        if trusted {
            seen.trusted.insert(path.clone());
        } else {
            seen.dirs.insert(dir);
        }
        Ok(())
    };
    note(&crate::sys::named(STATE)?, true)?;
    for (_, step) in &steps {
        match &step.spec {
            StepSpec::File(spec) => note(&spec.path, is_trusted(&spec.path, spec.mode))?,
            StepSpec::Link(spec) => note(&spec.path, spec.path.as_str().starts_with(UNITS))?,
            StepSpec::Release(spec) => note(&spec.dir, true)?,
            StepSpec::Packages(_)
            | StepSpec::Account(_)
            | StepSpec::Dir(_)
            | StepSpec::Validate(_)
            | StepSpec::Absent(_)
            | StepSpec::Unit(_)
            | StepSpec::Command(_)
            | StepSpec::Firewall(_) => {}
        }
    }
    Ok(seen)
}

/// Whether root runs it, or systemd obeys it.
fn is_trusted(path: &HostPath, mode: Mode) -> bool {
    mode.bits() & 0o111 != 0 || path.as_str().starts_with(UNITS)
}

/// A directory that the bundle itself gives to another account.
fn of_others(spec: &StepSpec) -> Option<&HostPath> {
    let StepSpec::Dir(spec) = spec else { return None };
    let group = spec.mode.bits() & 0o020 != 0 && spec.owner.group.as_str() != "root";
    (spec.owner.user.as_str() != "root" || group || spec.mode.bits() & 0o002 != 0).then_some(&spec.path)
}

fn judge(seen: &Seen) -> Vec<Finding> {
    let paths = |of: &BTreeSet<HostPath>| list(of.iter().map(ToString::to_string));
    if !seen.trusted.is_empty() {
        let reason = format!("other accounts could exchange what root runs: {}", paths(&seen.trusted));
        let remedy = "let every directory up to it belong to root, writable for nobody else";
        return vec![Finding::fail(CHECK, reason, remedy)];
    }
    if seen.dirs.is_empty() {
        return vec![Finding::pass(CHECK, "nothing is written where other accounts could exchange it")];
    }
    let reason = format!("files are made anew, and never changed in place, in {}", paths(&seen.dirs));
    vec![Finding::pass(CHECK, reason)]
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;
    use crate::sys::RealSys;

    fn path(text: &str) -> HostPath {
        text.parse().unwrap()
    }

    #[test]
    fn programs_and_units_where_others_write_are_refused_and_the_rest_is_named() {
        let seen = |trusted: &[&str], dirs: &[&str]| Seen {
            trusted: trusted.iter().map(|text| path(text)).collect(),
            dirs: dirs.iter().map(|text| path(text)).collect(),
        };
        let told = |seen: &Seen| judge(seen).remove(0);
        assert_eq!(told(&seen(&[], &[])).level, Level::Pass);
        let named = told(&seen(&[], &["/etc/redis"]));
        assert!(named.level == Level::Pass && named.reason.ends_with("/etc/redis"), "{named:?}");
        let refused = told(&seen(&["/srv/app/bin/tool"], &["/etc/redis"]));
        assert!(refused.level == Level::Fail && refused.reason.contains("/srv/app/bin/tool"), "{refused:?}");
        assert!(is_trusted(&path("/etc/x.sh"), Mode::from_bits(0o750)));
        assert!(is_trusted(&path("/etc/systemd/system/x.service"), Mode::from_bits(0o644)));
        assert!(!is_trusted(&path("/etc/x.conf"), Mode::from_bits(0o644)));
    }

    #[test]
    fn a_directory_is_private_when_all_above_it_are() {
        use std::os::unix::fs::{PermissionsExt as _, chown};
        let root = tempfile::tempdir().unwrap();
        let sys = RealSys::new(root.path());
        for dir in ["own/below", "theirs/below", "open/below", "group/below", "sticky/below"] {
            std::fs::create_dir_all(root.path().join(dir)).unwrap();
        }
        let mode = |dir: &str, mode: u32| {
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(root.path().join(dir), mode).unwrap();
        };
        chown(root.path().join("theirs"), Some(12), Some(0)).unwrap();
        chown(root.path().join("group"), Some(0), Some(34)).unwrap();
        mode("open", 0o777);
        mode("group", 0o775);
        mode("sticky", 0o1777);
        for (dir, wanted) in [
            ("/own/below", true),
            ("/own/below/not/there/yet", true),
            ("/theirs/below", false),
            ("/open/below", false),
            ("/group/below", false),
            ("/sticky/below", false),
        ] {
            assert_eq!(sys.is_private(&path(dir)).unwrap(), wanted, "{dir}");
        }
    }
}
