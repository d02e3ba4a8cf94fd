//! A directory with its mode and owner. What is in it is no concern of this step.

use chom_format::HostPath;
use chom_format::step::DirSpec;

use super::kind::{Stated, USUAL};
use super::owners::Owners;
use super::place::{attr_lines, change, fresh, in_the_way, parent_is_missing};
use super::{Change, Context, Decision, Step, StepError, Upcoming};
use crate::resource::Resource;
use crate::sys::{Attrs, Effect, Of, PathState, Sys, look};

/// See [`DirSpec`].
pub(super) struct DirStep(pub DirSpec);

/// See [`Stated`].
pub(super) fn stated(spec: &DirSpec) -> Stated<'_> {
    Stated {
        deadline: USUAL,
        owns: vec![&spec.path],
        writes: vec![&spec.path],
        unit: None,
        needs: &[],
        brings_bytes: false,
    }
}

impl Step for DirStep {
    fn decide(&self, sys: &dyn Sys, context: &Context) -> Result<Decision, StepError> {
        let spec = &self.0;
        if let Some(refusal) = parent_is_missing(sys, &spec.path, context)? {
            return Ok(refusal);
        }
        let owners = Owners::read(sys, context)?;
        let owning = owners.owning(&spec.owner, context)?;
        let wanted = format!("{}:{}", spec.owner.user, spec.owner.group);
        let (verb, diff) = match look(sys, &spec.path)? {
            PathState::Absent => ("create", vec![format!("mode {}, owner {wanted}", spec.mode)]),
            PathState::Dir { attrs } => match attr_lines(&attrs, spec.mode, owning, &wanted, &owners) {
                lines if lines.is_empty() => return Ok(Decision::Keep { why: "same mode and owner".into() }),
                lines => ("set", lines),
            },
            other @ (PathState::File { .. } | PathState::Link { .. } | PathState::Special { .. }) => {
                return Ok(in_the_way(&spec.path, &other, "a directory"));
            }
        };
        let summary = format!("directory {}", spec.path);
        Ok(Decision::Change(change(verb, summary, &spec.path, Upcoming::Dir, diff)))
    }

    fn touches(&self, _: &dyn Sys, _: &Context, _: &Change) -> Result<Vec<Resource>, StepError> {
        Ok(vec![Resource::Path { path: self.0.path.clone(), data: self.0.data }])
    }

    fn apply(&self, sys: &mut dyn Sys, context: &Context, _: &Change) -> Result<(), StepError> {
        let spec = &self.0;
        let attrs = fresh(spec.mode, Owners::read(sys, context)?.ids(&spec.owner)?);
        match sys.attrs(&spec.path)? {
            None => sys.effect(&Effect::MakeDir { path: &spec.path, attrs: &attrs })?,
            Some(now) => {
                let attrs = Attrs { mtime: now.mtime, xattrs: now.xattrs, ..attrs };
                sys.effect(&Effect::SetAttrs { path: &spec.path, attrs: &attrs, of: Of::Dir })?
            }
        };
        Ok(())
    }

    fn paths(&self) -> Vec<HostPath> {
        vec![self.0.path.clone()]
    }
}
