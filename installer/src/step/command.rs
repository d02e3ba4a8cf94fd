//! A command for what no other kind covers. It says what it touches; what nothing can put back is refused
//! unless the operator named the step.

use chom_format::StepId;
use chom_format::step::CommandSpec;
use std::time::Duration;

use super::kind::{Stated, usual_or};
use super::{Change, Context, Decision, Detail, Step, StepError, Undo};
use crate::redact;
use crate::resource::Resource;
use crate::sys::{Command, Effect, Kind, Output, Sys};

/// See [`CommandSpec`].
pub(super) struct CommandStep {
    /// The name by which an operator accepts it.
    pub id: StepId,
    /// What to run.
    pub spec: CommandSpec,
}

/// See [`Stated`].
pub(super) fn stated(spec: &CommandSpec) -> Stated<'_> {
    Stated {
        deadline: usual_or(2, spec.timeout_s),
        owns: Vec::new(),
        writes: spec.touches.iter().collect(),
        unit: None,
        needs: &[],
        brings_bytes: false,
    }
}

impl Step for CommandStep {
    fn decide(&self, sys: &dyn Sys, context: &Context) -> Result<Decision, StepError> {
        let spec = &self.spec;
        if !spec.unless.is_empty() && self.is_done(sys) {
            return Ok(Decision::Keep { why: format!("`{}` says so", shown(&spec.unless)) });
        }
        if spec.irreversible && !context.accepted.contains(&self.id) {
            return Ok(Decision::Refuse {
                conflict: format!("`{}` changes what nothing can put back", shown(&spec.argv)),
                remedy: format!("--accept {}", self.id),
            });
        }
        let undo = match (spec.irreversible, spec.touches.is_empty()) {
            (true, _) => Undo::Never,
            (false, true) => Undo::Exactly,
            (false, false) => Undo::Copy,
        };
        let user = spec.user.as_ref().map(|user| format!(" as {user}")).unwrap_or_default();
        Ok(Decision::Change(Change {
            verb: "run",
            summary: format!("`{}`{user}", shown(&spec.argv)),
            detail: Detail::None,
            diff: spec.touches.iter().map(|path| format!("may change {path}")).collect(),
            undo,
            writes: Vec::new(),
            changes: Vec::new(),
        }))
    }

    fn touches(&self, sys: &dyn Sys, _: &Context, _: &Change) -> Result<Vec<Resource>, StepError> {
        let resource = |path: &chom_format::HostPath| -> Result<Resource, StepError> {
            let dir = sys.meta(path)?.is_some_and(|meta| meta.kind == Kind::Dir);
            let path = path.clone();
            Ok(if dir { Resource::Folder { path } } else { Resource::Path { path, data: false } })
        };
        self.spec.touches.iter().map(resource).collect()
    }

    fn apply(&self, sys: &mut dyn Sys, _: &Context, _: &Change) -> Result<(), StepError> {
        let command = self.command(&self.spec.argv);
        let output = sys.effect(&Effect::Run(&command))?;
        if output.success() {
            return Ok(());
        }
        Err(StepError::Refused {
            what: format!("`{}` ended with {}\n{}", shown(&self.spec.argv), output.code, words(&output)),
            hint: None,
        })
    }
}

impl CommandStep {
    // A program that is not there yet has done nothing yet.
    fn is_done(&self, sys: &dyn Sys) -> bool {
        sys.ask(&self.command(&self.spec.unless)).is_ok_and(|output| output.success())
    }

    fn command(&self, argv: &[String]) -> Command {
        let timeout = Duration::from_secs(u64::from(self.spec.timeout_s));
        let user = self.spec.user.as_ref().map(ToString::to_string);
        Command { user, ..Command::new(argv.iter().cloned()).timeout(timeout) }
    }
}

/// A command line for people; secrets have no place in one, and are masked all the same.
pub(super) fn shown(argv: &[String]) -> String {
    redact::text(&argv.join(" "))
}

/// What a program said before it failed: the end of its standard error, or of its output when that is silent.
pub(super) fn words(output: &Output) -> String {
    let complaint = output.complaint();
    if !complaint.is_empty() {
        return redact::text(&complaint);
    }
    let text = output.text();
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    redact::text(&lines.iter().skip(lines.len().saturating_sub(12)).copied().collect::<Vec<_>>().join("\n"))
}
