//! A symbolic link, put in place by one rename, so that a switch is one moment.
//!
//! A host that was set up by hand may have a real directory there. It is saved as a whole and then makes way.

use chom_format::HostPath;
use chom_format::step::LinkSpec;

use super::kind::{Stated, USUAL};
use super::place::{change, in_the_way, parent_is_missing};
use super::{Change, Context, Decision, Step, StepError, Upcoming};
use crate::resource::{Resource, take_away, walk};
use crate::state::Files;
use crate::sys::{Effect, Kind, PathState, Sys, look};

/// See [`LinkSpec`].
pub(super) struct LinkStep(pub LinkSpec);

/// See [`Stated`].
pub(super) fn stated(spec: &LinkSpec) -> Stated<'_> {
    Stated {
        deadline: USUAL,
        owns: vec![&spec.path],
        writes: vec![&spec.path],
        unit: None,
        needs: &[],
        brings_bytes: false,
    }
}

impl Step for LinkStep {
    fn decide(&self, sys: &dyn Sys, context: &Context) -> Result<Decision, StepError> {
        let spec = &self.0;
        if let Some(refusal) = parent_is_missing(sys, &spec.path, context)? {
            return Ok(refusal);
        }
        let (verb, before) = match look(sys, &spec.path)? {
            PathState::Link { target, .. } if target == spec.target => {
                return Ok(Decision::Keep { why: format!("leads to {target}") });
            }
            PathState::Link { target, .. } => ("replace", Some(format!("-{target}"))),
            PathState::File { size, .. } => ("replace", Some(format!("-a file of {size} bytes"))),
            PathState::Absent => ("create", None),
            PathState::Dir { .. } => return self.instead_of_folder(sys),
            other => return Ok(in_the_way(&spec.path, &other, "a link")),
        };
        let summary = format!("link {} -> {}", spec.path, spec.target);
        let diff = before.into_iter().chain([format!("+{}", spec.target)]).collect();
        Ok(Decision::Change(change(verb, summary, &spec.path, Upcoming::Link(spec.target.clone()), diff)))
    }

    fn touches(&self, sys: &dyn Sys, _: &Context, _: &Change) -> Result<Vec<Resource>, StepError> {
        let path = self.0.path.clone();
        Ok(vec![match look(sys, &path)? {
            PathState::Dir { .. } => Resource::Folder { path },
            PathState::Absent
            | PathState::File { .. }
            | PathState::Link { .. }
            | PathState::Special { .. } => Resource::at(path),
        }])
    }

    fn apply(&self, sys: &mut dyn Sys, _: &Context, _: &Change) -> Result<(), StepError> {
        let spec = &self.0;
        match look(sys, &spec.path)? {
            // Packages that were installed since the plan was made may have left exactly this link.
            PathState::Link { target, .. } if target == spec.target => return Ok(()),
            PathState::Dir { .. } => take_away(sys, &spec.path)?,
            PathState::Absent
            | PathState::File { .. }
            | PathState::Link { .. }
            | PathState::Special { .. } => {}
        }
        sys.effect(&Effect::MakeLink { path: &spec.path, target: &spec.target, attrs: None })?;
        Ok(())
    }

    fn paths(&self) -> Vec<HostPath> {
        vec![self.0.path.clone()]
    }
}

impl LinkStep {
    fn instead_of_folder(&self, sys: &dyn Sys) -> Result<Decision, StepError> {
        let LinkSpec { path, target } = &self.0;
        let below = walk(sys, path)?;
        let here = sys.meta(path)?.map(|meta| meta.dev);
        let lost = below.iter().find(|(_, meta)| {
            !matches!(meta.kind, Kind::File | Kind::Dir | Kind::Link) || Some(meta.dev) != here
        });
        if let Some((inner, _)) = lost {
            return Ok(Decision::Refuse {
                conflict: format!(
                    "{path} is a directory, a link is to be there, and {inner} could not be put back"
                ),
                remedy: format!("move {path} away after looking at what is in it"),
            });
        }
        let bytes = below.iter().map(|(_, meta)| if meta.kind == Kind::File { meta.size } else { 0 }).sum();
        let summary = format!("link {path} -> {target}, in the place of a directory");
        let diff =
            vec![format!("-a directory of {} entries, {bytes} bytes", below.len()), format!("+{target}")];
        let mut change = change("replace", summary, path, Upcoming::Link(target.clone()), diff);
        // It is saved as a whole.
        change.writes.push((Files::standard()?.root().clone(), bytes));
        Ok(Decision::Change(change))
    }
}
