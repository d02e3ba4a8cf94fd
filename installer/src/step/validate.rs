//! A service's own program checks its configuration before any of it is in place.
//!
//! The checker sees a copy of the tree in memory with the new files in it, mounted at the tree's own path,
//! and whatever it writes below `/run` and `/var` (a pid file, a log, a cache) stays in memory too. So the
//! check changes nothing on the host, whichever program it is.

use std::path::PathBuf;
use std::time::Duration;

use chom_format::step::ValidateSpec;
use chom_format::{HostPath, StepId, StepSpec};

use super::command::{shown, words};
use super::kind::{Stated, usual_or};
use super::owners::Owners;
use super::{Change, Context, Decision, Detail, Step, StepError, Undo};
use crate::resource::Resource;
use crate::sys::{Command, Kind, Laid, Layer, Sys, Under};

// Checkers open logs and pid files as the service would.
const WRITTEN_BY_CHECKERS: [&str; 2] = ["/run", "/var"];

/// See [`ValidateSpec`].
pub(super) struct ValidateStep {
    /// What to run and where.
    pub spec: ValidateSpec,
    /// The guarded steps, as specs to lay over the tree and as steps that know whether they change anything.
    pub guarded: Vec<(StepId, StepSpec, Box<dyn Step>)>,
}

/// See [`Stated`].
pub(super) fn stated(spec: &ValidateSpec) -> Stated<'_> {
    Stated {
        deadline: usual_or(2, spec.timeout_s),
        owns: Vec::new(),
        writes: vec![&spec.tree],
        unit: None,
        needs: &spec.guards,
        brings_bytes: false,
    }
}

impl Step for ValidateStep {
    fn decide(&self, sys: &dyn Sys, context: &Context) -> Result<Decision, StepError> {
        let mut changing = Vec::new();
        for (id, _, step) in &self.guarded {
            if matches!(step.decide(sys, context)?, Decision::Change(_)) {
                changing.push(format!("sees {id} as it will be"));
            }
        }
        if changing.is_empty() {
            return Ok(Decision::Keep { why: "nothing that it checks changes".to_owned() });
        }
        let comes = context.changed.contains_key(&self.spec.tree) || !context.packages.is_empty();
        if !comes && sys.meta(&self.spec.tree)?.is_none() {
            return Ok(Decision::Refuse {
                conflict: format!("{} is not there, so nothing can be checked in it", self.spec.tree),
                remedy: format!("declare {} under `dirs:` of the component", self.spec.tree),
            });
        }
        Ok(Decision::Change(Change {
            verb: "check",
            summary: format!("`{}` on a staged copy of {}", shown(&self.spec.argv), self.spec.tree),
            detail: Detail::None,
            diff: changing,
            undo: Undo::Exactly,
            writes: Vec::new(),
            changes: Vec::new(),
        }))
    }

    fn touches(&self, _: &dyn Sys, _: &Context, _: &Change) -> Result<Vec<Resource>, StepError> {
        Ok(Vec::new())
    }

    fn apply(&self, sys: &mut dyn Sys, context: &Context, _: &Change) -> Result<(), StepError> {
        let spec = &self.spec;
        if sys.meta(&spec.tree)?.map(|meta| meta.kind) != Some(Kind::Dir) {
            return Err(StepError::Refused {
                what: format!("{} is not a directory, so nothing can be checked in it", spec.tree),
                hint: Some(format!("declare {} under `dirs:` of the component", spec.tree)),
            });
        }
        let timeout = Duration::from_secs(u64::from(spec.timeout_s));
        let view = self.view(sys, context)?;
        let command = Command { view, ..Command::new(spec.argv.iter().cloned()).timeout(timeout) };
        let output = sys.ask(&command)?;
        if output.success() {
            return Ok(());
        }
        Err(StepError::Refused {
            what: format!(
                "`{}` refuses the new configuration (exit {}):\n{}",
                shown(&spec.argv),
                output.code,
                words(&output)
            ),
            hint: Some("mend the template or the setting, build the bundle again".to_owned()),
        })
    }
}

impl ValidateStep {
    fn view(&self, sys: &dyn Sys, context: &Context) -> Result<Vec<Layer>, StepError> {
        let owners = Owners::read(sys, context)?;
        let mut lay = Vec::new();
        for (_, spec, _) in &self.guarded {
            lay.extend(laid(spec, &self.spec.tree, &owners, context)?);
        }
        let written = WRITTEN_BY_CHECKERS.iter();
        let mut view: Vec<Layer> = written
            .map(|dir| Layer { at: PathBuf::from(dir), under: Under::Through, lay: Vec::new() })
            .collect();
        view.push(Layer { at: PathBuf::from(self.spec.tree.as_str()), under: Under::Copy, lay });
        Ok(view)
    }
}

fn laid(
    spec: &StepSpec,
    tree: &HostPath,
    owners: &Owners,
    context: &Context,
) -> Result<Option<Laid>, StepError> {
    let path = |path: &HostPath| PathBuf::from(path.as_str());
    Ok(match spec {
        StepSpec::File(file) if file.path.is_within(tree) => {
            let (uid, gid) = owners.ids(&file.owner)?;
            let from = file.content.from.under(&context.bundle);
            let (sha256, mode) = (file.content.sha256, file.mode);
            Some(Laid::File { path: path(&file.path), from, sha256, mode, uid, gid })
        }
        StepSpec::Link(link) if link.path.is_within(tree) => {
            Some(Laid::Link { path: path(&link.path), target: link.target.clone() })
        }
        StepSpec::Absent(absent) if absent.path.is_within(tree) => {
            Some(Laid::Absent { path: path(&absent.path) })
        }
        StepSpec::Packages(_)
        | StepSpec::Account(_)
        | StepSpec::Dir(_)
        | StepSpec::Release(_)
        | StepSpec::File(_)
        | StepSpec::Link(_)
        | StepSpec::Absent(_)
        | StepSpec::Unit(_)
        | StepSpec::Command(_)
        | StepSpec::Firewall(_)
        | StepSpec::Validate(_) => None,
    })
}
