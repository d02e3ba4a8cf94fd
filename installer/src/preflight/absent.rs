//! What the plan removes: a package's file only as its package brought it. Somebody may need any other.

use std::collections::BTreeSet;

use chom_format::HostPath;

use super::Finding;
use super::targets::{changes, list};
use crate::dpkg;
use crate::step::Planned;
use crate::sys::{Kind, Sys, SysError};

const CHECK: &str = "removed";

/// Files and links that are to go, and that are neither ours nor as brought. None is no finding.
pub(super) fn check(sys: &dyn Sys, plan: &[Planned], ours: &BTreeSet<HostPath>) -> Option<Finding> {
    let foreign = changes(plan)
        .filter(|(path, upcoming)| upcoming.is_absent() && !ours.contains(*path))
        .filter_map(|(path, _)| judge(sys, path).unwrap_or_else(|error| Some(format!("{path}: {error}"))));
    let foreign: Vec<String> = foreign.collect();
    let first = foreign.first()?.split(' ').next().unwrap_or_default().to_owned();
    let remedy = format!(
        "find out who needs it; what is to be served on goes under another name, and then: mv {first} /root/"
    );
    Some(Finding::fail(CHECK, list(foreign.into_iter()), remedy))
}

// Why it must stay. A link is as brought when it leads to a file that is: dpkg knows nothing of links that scripts make.
fn judge(sys: &dyn Sys, path: &HostPath) -> Result<Option<String>, SysError> {
    let is_link = match sys.meta(path)?.map(|meta| meta.kind) {
        Some(kind @ (Kind::File | Kind::Link)) => kind == Kind::Link,
        // Of what else lies there the step speaks.
        _ => return Ok(None),
    };
    let Some(place) = sys.resolve(path)? else {
        return Ok(Some(format!("{path} leads to nothing, or nowhere that can be trusted")));
    };
    if dpkg::is_as_brought(sys, &place)? {
        return Ok(None);
    }
    let behind = if is_link { format!(" leads to {place}, which") } else { String::new() };
    Ok(Some(format!("{path}{behind} is not as a package brought it, and would be removed")))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::sys::RealSys;

    #[test]
    fn only_what_is_as_brought_may_go() {
        let dir = tempfile::tempdir().unwrap();
        let etc = dir.path().join("etc");
        fs::create_dir_all(dir.path().join("var/lib/dpkg")).unwrap();
        fs::create_dir_all(etc.join("enabled")).unwrap();
        let status = "Conffiles:\n /etc/default 5d41402abc4b2a76b9719d911017c592\n";
        fs::write(dir.path().join("var/lib/dpkg/status"), status).unwrap();
        fs::write(etc.join("default"), "hello").unwrap();
        fs::write(etc.join("enabled/copy"), "hello").unwrap();
        for (name, target) in [
            ("default", "../default"),
            ("twice", "default"),
            ("dangling", "../nothing"),
            ("round", "round"),
            ("by-hand", "/etc/enabled/copy"),
        ] {
            symlink(target, etc.join("enabled").join(name)).unwrap();
        }
        let sys = RealSys::new(dir.path());
        let judged = |name: &str| {
            let path = format!("/etc/enabled/{name}");
            judge(&sys, &path.parse().unwrap()).unwrap().map(|why| why.replace(&path, ""))
        };
        assert_eq!(judged("default"), None);
        assert_eq!(judged("twice"), None);
        assert_eq!(judged("absent"), None);
        for name in ["dangling", "round", "by-hand", "copy"] {
            assert!(judged(name).is_some(), "{name}");
        }
        fs::write(etc.join("default"), "hello, somebody's site").unwrap();
        let why = judged("default").unwrap();
        assert_eq!(why, " leads to /etc/default, which is not as a package brought it, and would be removed");
    }
}
