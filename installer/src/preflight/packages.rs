//! Is dpkg in the middle of something?

use super::Finding;
use crate::plan::Plan;
use crate::step::{Decision, Detail};
use crate::sys::Sys;

const CHECK: &str = "packages";
const REMEDY: &str = "dpkg --configure -a, then apt-get --fix-broken install";

/// dpkg must be at rest for a plan that brings packages, or would if it could be made; otherwise it is worth knowing.
pub(super) fn check(sys: &dyn Sys, plan: Option<&Plan>) -> Finding {
    // What is half done is being done; the lock is waited for by itself.
    if let Ok(Some(holder)) = crate::dpkg::holder(sys) {
        return Finding::pass(CHECK, format!("{holder} is at work"));
    }
    let problems = match crate::dpkg::unfinished(sys) {
        Ok(problems) => problems,
        Err(error) => return Finding::fail(CHECK, error.to_string(), "look at /var/lib/dpkg/status"),
    };
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
