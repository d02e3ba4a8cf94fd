//! A symbolic link, put in place by one rename, so that a switch is one moment.

use chom_format::HostPath;
use chom_format::step::LinkSpec;

use super::place::{change, in_the_way, parent_is_missing};
use super::{Change, Context, Decision, Step, StepError, Upcoming};
use crate::resource::Resource;
use crate::sys::{Effect, PathState, Sys, look};

/// See [`LinkSpec`].
pub(super) struct LinkStep(pub LinkSpec);

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
            other => return Ok(in_the_way(&spec.path, &other, "a link")),
        };
        let summary = format!("link {} -> {}", spec.path, spec.target);
        let diff = before.into_iter().chain([format!("+{}", spec.target)]).collect();
        Ok(Decision::Change(change(verb, summary, &spec.path, Upcoming::Link(spec.target.clone()), diff)))
    }

    fn touches(&self, _: &dyn Sys, _: &Context, _: &Change) -> Result<Vec<Resource>, StepError> {
        Ok(vec![Resource::Path { path: self.0.path.clone(), data: false }])
    }

    fn apply(&self, sys: &mut dyn Sys, _: &Context, _: &Change) -> Result<(), StepError> {
        let spec = &self.0;
        // Packages that were installed since the plan was made may have left exactly this link.
        if let PathState::Link { target, .. } = look(sys, &spec.path)?
            && target == spec.target
        {
            return Ok(());
        }
        sys.effect(&Effect::MakeLink { path: &spec.path, target: &spec.target, attrs: None })?;
        Ok(())
    }

    fn paths(&self) -> Vec<HostPath> {
        vec![self.0.path.clone()]
    }
}
