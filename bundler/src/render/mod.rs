//! From the resolved fleet to what one host is to have: every text filled in, every entry typed, every rule checked.
//!
//! The renderer reads component files and templates and knows no payload, no tar and no host: its input is a
//! [`Fleet`] and [`Sources`], its output a [`Rendered`]. It keeps one promise: what does not fit is refused here,
//! with file, line and column, and all of it at once. An undefined variable is an error, also in a branch that
//! is not taken; a setting without a value counts as undefined, so that no half-empty line reaches a host.

mod context;
mod engine;
mod expand;
mod filters;
mod lint;
mod locate;
mod rules;
mod scrape;
mod sources;
pub mod wanted;

use std::collections::BTreeMap;

use chom_format::{ComponentName, HostPath};

use crate::problem::{Problem, Problems};
use crate::resolve::{Component, Fleet, Host};

pub use sources::Sources;
pub use wanted::{Rendered, RenderedComponent};

use context::Contexts;
use engine::Engine;

/// The release directory of each stack of a host: `/opt/observability/releases/<id>`.
pub type Releases = BTreeMap<ComponentName, HostPath>;

/// Renders every component that is enabled on a host.
pub fn render(
    fleet: &Fleet,
    host: &Host,
    sources: &Sources,
    releases: &Releases,
) -> Result<Rendered, Problems> {
    let engine = Engine::new(sources).map_err(|problem| Problems::from(*problem))?;
    let mut problems = Vec::new();
    let jobs = scrape::jobs(fleet, host, sources, &engine, &mut problems);
    let contexts = Contexts::new(fleet, host).map_err(|problem| Problems::from(*problem))?.with_scrape(&jobs);
    let mut components = Vec::new();
    for component in host.enabled() {
        let release = releases.get(&component.stack);
        let context = match contexts.of(host, component, release) {
            Ok(context) => context,
            Err(problem) => {
                problems.push(*problem);
                continue;
            }
        };
        let trees = &contexts.trees;
        let mut work = Work { engine: &engine, sources, component, context, trees, problems: &mut problems };
        components.push(work.component());
    }
    // A rule that looks at half of what there is would find faults that are none.
    Problems::check(problems)?;
    let mut rendered = Rendered { host: host.name.clone(), components, warnings: Vec::new() };
    Problems::check(rules::broken(&rendered, host, sources))?;
    rendered.warnings = rules::unused_templates(host, sources);
    Ok(rendered)
}

/// One component's rendering.
struct Work<'a> {
    engine: &'a Engine,
    sources: &'a Sources,
    component: &'a Component,
    context: tera::Context,
    trees: &'a serde_json::Value,
    problems: &'a mut Vec<Problem>,
}

#[cfg(test)]
pub(crate) mod tests;
