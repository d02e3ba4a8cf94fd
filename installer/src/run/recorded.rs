//! What a run makes of the manifest that the host has on record. Backups, figures and checks go by that one, so another
//! manifest is committed even where no step has anything to change.

use serde::Serialize;

use super::{RunError, Session};
use crate::open::{Bundle, Source};
use crate::plan::Plan;
use crate::preflight::Finding;
use crate::transaction::Installed;

const CHECK: &str = "record";
const REMEDY: &str = "bring back a copy of /var/lib/chom, if there is one; without it go on: from then on status, backups and \
                      rollbacks know this host again";

/// What becomes of the manifest on record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "change")]
pub enum Recorded {
    /// It is this one already.
    Same,
    /// There is none, and nothing of it is on the host.
    First,
    /// It is another one.
    Other {
        /// The bundle that it came with.
        from: String,
    },
    /// There is none, and what it wants is on the host: that is taken over as it is.
    Adopted {
        /// Files and releases that are as they should be.
        found: usize,
    },
}

impl Recorded {
    pub(super) fn of(session: &Session, installed: Option<&Installed>, bundle: &Bundle, plan: &Plan) -> Self {
        match installed {
            Some(installed) if installed.bytes == bundle.manifest_bytes() => Self::Same,
            Some(installed) => Self::Other { from: session.bundle_of(installed.id) },
            None if plan.is_empty() || plan.found > 0 => Self::Adopted { found: plan.found },
            None => Self::First,
        }
    }

    /// What a person must know before it is agreed to.
    pub(super) fn finding(&self) -> Option<Finding> {
        let Self::Adopted { found } = self else { return None };
        let reason = format!(
            "/var/lib/chom has no record of what is installed here, and {found} files and releases of this bundle are in \
             place: they are taken over as they are, and there is no way back to before them"
        );
        Some(Finding::warn(CHECK, reason, REMEDY))
    }

    /// In a line, where it is worth one.
    pub fn line(&self) -> Option<String> {
        match self {
            Self::Other { from } => Some(format!("the manifest changes: until now it is that of {from}")),
            Self::Same | Self::First | Self::Adopted { .. } => None,
        }
    }
}

/// How much of the bundle beside this program is on a host that has no record of it; none when no bundle is there, or
/// nothing of it is here. A bundle that is of no use is for other commands to refuse.
pub(super) fn unrecorded(session: &Session) -> Option<usize> {
    let found = || -> Result<usize, RunError> {
        let bundle = Bundle::open(&Source::find(None)?, &|_| {})?;
        Ok(Plan::make(&session.sys, bundle.manifest(), bundle.dir(), &[])?.found)
    };
    let found = found().inspect_err(|error| log::debug!("nothing here was compared with a bundle: {error}"));
    found.ok().filter(|found| *found > 0)
}
