//! The steps of `activate`: the link to the release, then each component's units and commands.

use std::collections::BTreeMap;

use chom_format::step::{ActivateSpec, CommandSpec, LinkSpec, Step, UnitSpec};
use chom_format::{Digest, HostPath, UnitName};

use super::{Work, ids};
use crate::render::wanted::{Placed, RenderedComponent, Unit};

impl Work<'_> {
    pub(super) fn activate(&mut self) -> Vec<Step<ActivateSpec>> {
        let mut steps = Vec::new();
        for (stack, release) in &self.payloads.releases {
            let Some(root) = release.dir.parent().and_then(|releases| releases.parent()) else { continue };
            let spec = LinkSpec {
                path: root.join(&ids::fixed("bin")),
                target: format!("releases/{}/bin", release.dir.name()),
            };
            let id = ids::of(stack, "bin");
            steps.push(Step { id, component: stack.clone(), spec: ActivateSpec::Link(spec) });
        }
        let rendered = self.rendered;
        for component in &rendered.components {
            steps.extend(self.units(component));
            steps.extend(commands(component));
        }
        steps.extend(self.timer());
        steps
    }

    fn units(&mut self, component: &RenderedComponent) -> Vec<Step<ActivateSpec>> {
        let alone = component.units.len() == 1;
        let mut steps = Vec::new();
        for unit in &component.units {
            let value = &unit.value;
            let what = if alone { "unit".to_owned() } else { format!("unit/{}", value.name) };
            let (mut restart_on, reload_on) = self.inputs(&value.name);
            restart_on.extend(value.path());
            restart_on.sort();
            let spec = UnitSpec {
                unit: value.name.clone(),
                enable: value.enable,
                start: value.start,
                restart_on,
                reload_on,
                runs: self.programs(component, unit),
                writes: value.writes.clone(),
                timeout_s: value.timeout,
            };
            let id = ids::of(&component.name, &what);
            steps.push(Step { id, component: component.name.clone(), spec: ActivateSpec::Unit(spec) });
        }
        steps
    }

    // What any component says of this unit: paths that restart it, and paths that reload it.
    fn inputs(&self, unit: &UnitName) -> (Vec<HostPath>, Vec<HostPath>) {
        let (mut restart, mut reload) = (Vec::new(), Vec::new());
        let mut look = |path: &HostPath, restarts: &[UnitName], reloads: &[UnitName]| {
            if restarts.contains(unit) {
                restart.push(path.clone());
            } else if reloads.contains(unit) {
                reload.push(path.clone());
            }
        };
        for component in &self.rendered.components {
            component
                .files
                .iter()
                .for_each(|file| look(&file.value.path, &file.value.restart, &file.value.reload));
            component
                .links
                .iter()
                .for_each(|link| look(&link.value.path, &link.value.restart, &link.value.reload));
            component
                .absent
                .iter()
                .for_each(|gone| look(&gone.value.path, &gone.value.restart, &gone.value.reload));
        }
        reload.sort();
        (restart, reload)
    }

    fn programs(&mut self, component: &RenderedComponent, unit: &Placed<Unit>) -> BTreeMap<HostPath, Digest> {
        let mut programs = BTreeMap::new();
        let release = self.payloads.releases.get(&component.stack);
        for member in &unit.value.runs {
            let found = release.and_then(|release| Some((release, release.files.get(member)?)));
            let Some((release, file)) = found else {
                let message = format!("`runs` names {member}, which the release does not hold");
                let remedy = "name a path on the right side of `payload.*.members`";
                self.problems.push(unit.at.problem(message, remedy));
                continue;
            };
            // Through the link, because that is how the unit names it; outside of bin there is no link.
            let through = release.dir.parent().and_then(|releases| releases.parent());
            let path = match through {
                Some(root) if member.as_str().starts_with("bin/") => root.join(member),
                _ => release.dir.join(member),
            };
            programs.insert(path, file.content.sha256);
        }
        programs
    }
}

fn commands(component: &RenderedComponent) -> Vec<Step<ActivateSpec>> {
    component
        .commands
        .iter()
        .map(|command| {
            let command = &command.value;
            let spec = CommandSpec {
                argv: command.argv.clone(),
                user: command.user.clone(),
                unless: command.unless.clone(),
                touches: command.touches.clone(),
                irreversible: command.irreversible,
                timeout_s: command.timeout,
            };
            let id = ids::of(&component.name, command.id.as_str());
            Step { id, component: component.name.clone(), spec: ActivateSpec::Command(spec) }
        })
        .collect()
}
