//! The plan, looked at: what `install` would do, and whether it may. Nothing is written, not even a lock.

use std::path::Path;

use chom_format::StepId;
use serde::Serialize;

use super::{Recorded, RunError, Session};
use crate::open::{Bundle, Source};
use crate::plan::Plan;
use crate::preflight::{self, Findings};
use crate::transaction::Installed;
use crate::ui::{Event, Progress};

/// What `install` would do.
#[derive(Debug, Serialize)]
pub struct Looked {
    /// Version of this shape.
    pub format: u32,
    /// The bundle's name.
    pub bundle: String,
    /// What preflight says.
    pub preflight: Findings,
    /// What would be done; none when no plan could be made.
    pub plan: Option<Plan>,
    /// What would become of the manifest on record; none when that is not known.
    pub recorded: Option<Recorded>,
    /// Transactions that were cut off and would be taken back first.
    pub unfinished: Vec<u64>,
}

/// Looks. A plan that cannot be made is an error only when nothing else stands in the way.
pub fn look(
    named: Option<&Path>,
    root: &Path,
    any_host: bool,
    accepted: &[StepId],
    progress: &Progress,
) -> Result<Looked, RunError> {
    let source = Source::find(named)?;
    let bundle = Bundle::open(&source, &|done| progress.show(&Event::Reading { done, total: None }))?;
    let session = Session::new(root)?;
    let installed = session.installed()?;
    let ours = installed.as_ref().map(Installed::paths).unwrap_or_default();
    let unfinished = session.unfinished()?;
    let hidden = session.is_hidden()?;
    let request = preflight::Request {
        sys: &session.sys,
        manifest: bundle.manifest(),
        facts: &session.facts,
        any_host,
        ours: &ours,
        unfinished: &unfinished,
        patience: std::time::Duration::ZERO,
        waiting: &|_| {},
    };
    let mut findings = preflight::host(&request);
    let plan = Plan::make(&session.sys, bundle.manifest(), bundle.dir(), accepted);
    if plan.as_ref().is_ok_and(|plan| !plan.is_empty()) || !findings.allow() {
        findings.extend(preflight::plan(&request, plan.as_ref().ok()));
        findings.0.extend(super::backup::finding(&session));
    }
    let plan = match plan {
        Err(error) if findings.allow() => return Err(error.into()),
        plan => plan.ok(),
    };
    let told = plan.as_ref().filter(|_| !hidden);
    let recorded = told.map(|plan| Recorded::of(&session, installed.as_ref(), &bundle, plan));
    findings.0.extend(recorded.as_ref().and_then(Recorded::finding));
    Ok(Looked { format: 1, bundle: bundle.name(), preflight: findings, plan, recorded, unfinished })
}
