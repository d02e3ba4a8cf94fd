//! Is dpkg in the middle of something?

use chom_format::HostPath;

use super::Finding;
use crate::dpkg::Status;
use crate::plan::Plan;
use crate::step::{Decision, Detail};
use crate::sys::Sys;

const CHECK: &str = "packages";
const REMEDY: &str = "dpkg --configure -a, then apt-get --fix-broken install";
const SHOWN: usize = 5;

/// dpkg must be at rest for a plan that brings packages, or would if it could be made; otherwise it is worth knowing.
pub(super) fn check(sys: &dyn Sys, plan: Option<&Plan>) -> Finding {
    let status = match Status::read(sys) {
        Ok(status) => status,
        Err(error) => return Finding::fail(CHECK, error.to_string(), "look at /var/lib/dpkg/status"),
    };
    // What is half done is being done; the lock is waited for by itself.
    if let Ok(Some(holder)) = crate::dpkg::holder(sys) {
        return Finding::pass(CHECK, format!("{holder} is at work"));
    }
    let mut problems: Vec<String> = status
        .broken()
        .iter()
        .map(|package| format!("{} is {}", package.name, state(&package.state)))
        .collect();
    let more = problems.len().saturating_sub(SHOWN);
    problems.truncate(SHOWN);
    if more > 0 {
        problems.push(format!("and {more} more"));
    }
    // Where dpkg notes what it does until the status file is written anew.
    let updates = "/var/lib/dpkg/updates".parse::<HostPath>().ok().and_then(|dir| sys.list(&dir).ok());
    if updates.is_some_and(|names| names.iter().any(|name| name.bytes().all(|byte| byte.is_ascii_digit()))) {
        problems.push("a run of dpkg was interrupted".to_owned());
    }
    judge(&problems, plan.is_none_or(|plan| brings_packages(plan) || !plan.refusals().is_empty()))
}

fn judge(problems: &[String], matters: bool) -> Finding {
    if problems.is_empty() {
        Finding::pass(CHECK, "dpkg is at rest")
    } else if matters {
        Finding::fail(CHECK, problems.join("\n"), REMEDY)
    } else {
        Finding::warn(CHECK, problems.join("\n"), REMEDY)
    }
}

fn state(state: &str) -> &str {
    if state.is_empty() { "in an unknown state" } else { state }
}

fn brings_packages(plan: &Plan) -> bool {
    let brings = |decision: &Decision| match decision {
        Decision::Change(change) => matches!(change.detail, Detail::Packages { .. }),
        Decision::Keep { .. } | Decision::Refuse { .. } => false,
    };
    plan.steps.iter().any(|planned| brings(&planned.decision))
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;
    use crate::sys::RealSys;

    fn host(status: &str, update: Option<&str>) -> Finding {
        let root = tempfile::tempdir().unwrap();
        let dpkg = root.path().join("var/lib/dpkg");
        std::fs::create_dir_all(dpkg.join("updates")).unwrap();
        std::fs::write(dpkg.join("status"), status).unwrap();
        if let Some(name) = update {
            std::fs::write(dpkg.join("updates").join(name), "").unwrap();
        }
        check(&RealSys::new(root.path()), None)
    }

    #[test]
    fn an_interrupted_dpkg_is_told() {
        let rest = "Package: a\nStatus: install ok installed\nVersion: 1\n\nPackage: b\nStatus: deinstall ok config-files\n";
        assert_eq!(host(rest, None).level, Level::Pass);
        assert_eq!(host(rest, Some("tmp.i")).level, Level::Pass);
        assert_eq!(host(rest, Some("0001")).reason, "a run of dpkg was interrupted");
        let half = "Package: c\nStatus: install ok half-configured\nVersion: 1\n";
        let finding = host(half, None);
        assert_eq!((finding.level, finding.reason.as_str()), (Level::Fail, "c is half-configured"));
        assert_eq!(judge(&["c".to_owned()], false).level, Level::Warn);
    }
}
