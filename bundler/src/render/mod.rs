//! From the resolved fleet to what one host is to have: every text filled in, every entry typed, every rule checked.
//!
//! The renderer reads component files and templates and knows no payload, no tar and no host: its input is a
//! [`Fleet`] and [`Sources`], its output a [`Rendered`]. It keeps one promise: what does not fit is refused here,
//! with file, line and column, and all of it at once. An undefined variable is an error, also in a branch that
//! is not taken; a setting without a value counts as undefined, so that no half-empty line reaches a host.

mod context;
mod engine;
mod expand;
pub(crate) mod fields;
mod filters;
mod lint;
mod locate;
mod rules;
mod scrape;
mod sources;
pub mod wanted;

use std::collections::BTreeMap;

use chom_format::{ComponentName, HostName, HostPath};

use crate::problem::{Problem, Problems};
use crate::resolve::{Component, Fleet, Host, Layer, Origin};

pub use sources::Sources;
pub use wanted::{Rendered, RenderedComponent};

use context::{Contexts, Fleetwide};
use engine::Engine;
use wanted::{Placed, Refusal, Scrape};

/// The release directory of each stack of a host: `/opt/observability/releases/<id>`.
pub type Releases = BTreeMap<ComponentName, HostPath>;

/// Renders the hosts of one fleet; what they share is parsed and rendered once.
pub struct Renderer<'a> {
    fleet: &'a Fleet,
    sources: &'a Sources,
    engine: Engine,
    fleetwide: Fleetwide,
    scrape: BTreeMap<HostName, Vec<Scrape>>,
}

impl<'a> Renderer<'a> {
    /// Parses every template, and renders what the hosts must know of each other.
    pub fn new(fleet: &'a Fleet, sources: &'a Sources) -> Result<Self, Problems> {
        let engine = Engine::new(sources).map_err(|problem| Problems::from(*problem))?;
        let fleetwide = Fleetwide::new(fleet).map_err(|problem| Problems::from(*problem))?;
        let scrape = scrape::entries(fleet, &fleetwide, sources, &engine)?;
        Ok(Self { fleet, sources, engine, fleetwide, scrape })
    }

    /// Renders every component that is enabled on a host.
    pub fn host(&self, host: &Host, releases: &Releases) -> Result<Rendered, Problems> {
        let mut problems = Vec::new();
        let jobs = scrape::jobs(self.fleet, host, &self.scrape);
        let contexts = Contexts::new(&self.fleetwide, host).map_err(|problem| Problems::from(*problem))?;
        let contexts = contexts.with_scrape(&jobs);
        let mut components = Vec::new();
        for component in host.enabled() {
            match contexts.of(host, component, releases.get(&component.stack)) {
                Ok(context) => {
                    let (engine, sources, trees) = (&self.engine, self.sources, &contexts.trees);
                    let mut work =
                        Work { engine, sources, component, context, trees, problems: &mut problems };
                    let refusals = work.refusals();
                    if refusals.is_empty() {
                        components.push(work.component());
                    }
                    // Its texts are not looked at: half of what is wrong there is wrong for the same reason.
                    problems.extend(refusals.iter().map(|refusal| self.refused(host, component, refusal)));
                }
                Err(problem) => problems.push(*problem),
            }
        }
        // A rule that looks at half of what there is would find faults that are none.
        Problems::check(problems)?;
        let mut rendered = Rendered { host: host.name.clone(), components, warnings: Vec::new() };
        let stated = |component: &ComponentName, number| self.port(host, component, number);
        Problems::check(rules::broken(&rendered, host, self.sources, &stated))?;
        rendered.warnings = rules::unused_templates(host, self.sources);
        Ok(rendered)
    }
}

impl Renderer<'_> {
    // At the line of the inventory that states the setting, or states the host when nothing does.
    fn refused(&self, host: &Host, component: &Component, refusal: &Placed<Refusal>) -> Problem {
        let Refusal { setting, message, remedy } = &refusal.value;
        let (name, setting) = setting.split_once('.').unwrap_or((component.name.as_str(), setting));
        let key = format!("hosts.{}.components.{name}.{setting}", host.name);
        let message = format!("host `{}`: {message}", host.name);
        match self.stated(&key) {
            Some(origin) => Problem::at(&origin.source, (origin.line, origin.column), key, message, remedy),
            None => refusal.at.problem(message, remedy),
        }
    }

    // Of a port that somebody has set, the line at which they did.
    fn port(&self, host: &Host, component: &ComponentName, number: u16) -> Option<(String, &Origin)> {
        let settings = &host.components.get(component)?.settings;
        let (name, _) = settings.iter().find(|(_, value)| value.as_u64() == Some(number.into()))?;
        let key = format!("hosts.{}.components.{component}.{name}", host.name);
        let origin = self.fleet.origins.of(&key).filter(|origin| origin.layer > Layer::ComponentDefault)?;
        Some((key, origin))
    }

    // What somebody has written: a default has no line that could be mended.
    fn stated(&self, key: &str) -> Option<&Origin> {
        let origins = &self.fleet.origins;
        let host = key.splitn(3, '.').take(2).collect::<Vec<_>>().join(".");
        [key, &format!("{host}.stacks"), &format!("{host}.address")]
            .into_iter()
            .filter_map(|key| origins.of(key))
            .find(|origin| origin.layer > Layer::ComponentDefault)
    }
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
