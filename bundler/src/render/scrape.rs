//! What a Prometheus on a host collects: derived from the `scrape` entries of every component of the fleet.

use std::collections::BTreeMap;

use chom_format::HostName;
use serde::Serialize;

use super::Work;
use super::context::{Contexts, Fleetwide};
use super::engine::Engine;
use super::sources::Sources;
use super::wanted::Scrape;
use crate::problem::Problems;
use crate::resolve::{Fleet, Host};

/// One job with its targets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Job {
    job: String,
    path: String,
    scheme: String,
    targets: Vec<Target>,
}

/// One endpoint.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct Target {
    address: String,
    host: String,
    fqdn: String,
}

/// The entries of every host, rendered once for all of them.
pub(super) fn entries(
    fleet: &Fleet,
    fleetwide: &Fleetwide,
    sources: &Sources,
    engine: &Engine,
) -> Result<BTreeMap<HostName, Vec<Scrape>>, Problems> {
    let (mut all, mut problems) = (BTreeMap::new(), Vec::new());
    for host in fleet.hosts.values() {
        let contexts = Contexts::new(fleetwide, host).map_err(|problem| Problems::from(*problem))?;
        let mut found = Vec::new();
        for component in host.enabled().into_iter().filter(|component| !component.file.scrape.is_empty()) {
            // No release: which one another host has is none of this host's business.
            match contexts.of(host, component, None) {
                Ok(context) => {
                    let trees = &contexts.trees;
                    let mut work =
                        Work { engine, sources, component, context, trees, problems: &mut problems };
                    let placed = work.list("scrape", &component.file.scrape);
                    found.extend(placed.into_iter().map(|placed| placed.value));
                }
                Err(problem) => problems.push(*problem),
            }
        }
        all.insert(host.name.clone(), found);
    }
    Problems::check(problems)?;
    Ok(all)
}

/// The jobs as `host` sees them: its own endpoints over the loopback address, others over their host's address.
pub(super) fn jobs(fleet: &Fleet, host: &Host, entries: &BTreeMap<HostName, Vec<Scrape>>) -> Vec<Job> {
    let mut jobs: BTreeMap<(&str, &str, &str), Vec<Target>> = BTreeMap::new();
    for other in fleet.hosts.values() {
        for entry in entries.get(&other.name).into_iter().flatten() {
            let here = other.name == host.name;
            if entry.local && !here {
                continue;
            }
            let address = if here { "127.0.0.1".to_owned() } else { other.address.in_url() };
            let target = Target {
                address: format!("{address}:{}", entry.port),
                host: other.name.to_string(),
                fqdn: other.fqdn.clone(),
            };
            jobs.entry((&entry.job, &entry.path, &entry.scheme)).or_default().push(target);
        }
    }
    jobs.into_iter()
        .map(|((job, path, scheme), mut targets)| {
            targets.sort();
            Job { job: job.to_owned(), path: path.to_owned(), scheme: scheme.to_owned(), targets }
        })
        .collect()
}
