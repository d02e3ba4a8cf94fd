//! A path that must not be there, such as a distribution's default site.

use chom_format::HostPath;
use chom_format::step::AbsentSpec;

use super::kind::{Stated, USUAL};
use super::place::{change, in_the_way, kind};
use super::{Change, Context, Decision, Step, StepError, Upcoming};
use crate::resource::Resource;
use crate::sys::{Effect, PathState, Sys, look};

/// See [`AbsentSpec`].
pub(super) struct AbsentStep(pub AbsentSpec);

/// See [`Stated`].
pub(super) fn stated(spec: &AbsentSpec) -> Stated<'_> {
    Stated {
        deadline: USUAL,
        owns: Vec::new(),
        writes: vec![&spec.path],
        unit: None,
        needs: &[],
        brings_bytes: false,
    }
}

impl Step for AbsentStep {
    fn decide(&self, sys: &dyn Sys, context: &Context) -> Result<Decision, StepError> {
        let path = &self.0.path;
        let gone = |summary, diff| Decision::Change(change("remove", summary, path, Upcoming::Absent, diff));
        Ok(match look(sys, path)? {
            // Packages that an earlier step installs may bring it, by a script that nobody can read ahead.
            PathState::Absent if !context.packages.is_empty() => {
                gone(format!("{path}, if the packages bring it"), Vec::new())
            }
            PathState::Absent => Decision::Keep { why: "not there".to_owned() },
            PathState::File { size, .. } => gone(path.to_string(), vec![format!("-a file of {size} bytes")]),
            PathState::Link { target, .. } => gone(path.to_string(), vec![format!("-a link to {target}")]),
            other @ (PathState::Dir { .. } | PathState::Special { .. }) => {
                in_the_way(path, &other, "nothing")
            }
        })
    }

    fn touches(&self, _: &dyn Sys, _: &Context, _: &Change) -> Result<Vec<Resource>, StepError> {
        Ok(vec![Resource::Path { path: self.0.path.clone(), data: false }])
    }

    fn apply(&self, sys: &mut dyn Sys, _: &Context, _: &Change) -> Result<(), StepError> {
        let path = &self.0.path;
        match look(sys, path)? {
            PathState::Absent => {}
            PathState::File { .. } | PathState::Link { .. } => {
                sys.effect(&Effect::Remove { path })?;
            }
            other @ (PathState::Dir { .. } | PathState::Special { .. }) => {
                let what = format!("{path} is {}, and only a file or a link is removed", kind(&other));
                return Err(StepError::Refused { what, hint: None });
            }
        }
        Ok(())
    }

    fn paths(&self) -> Vec<HostPath> {
        vec![self.0.path.clone()]
    }
}
