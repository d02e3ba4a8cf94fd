//! What a Prometheus on a host collects: derived from the `scrape` entries of every component of the fleet.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Work;
use super::context::Contexts;
use super::engine::Engine;
use super::sources::Sources;
use super::wanted::Scrape;
use crate::problem::Problem;
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

/// The jobs as `host` sees them: its own endpoints over the loopback address, others over their host's address.
pub(super) fn jobs(
    fleet: &Fleet,
    host: &Host,
    sources: &Sources,
    engine: &Engine,
    problems: &mut Vec<Problem>,
) -> Vec<Job> {
    let mut jobs: BTreeMap<(String, String, String), Vec<Target>> = BTreeMap::new();
    for other in fleet.hosts.values() {
        for entry in entries(fleet, other, sources, engine, problems) {
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
            jobs.entry((entry.job, entry.path, entry.scheme)).or_default().push(target);
        }
    }
    let sorted = |mut targets: Vec<Target>| {
        targets.sort();
        targets
    };
    jobs.into_iter()
        .map(|((job, path, scheme), targets)| Job { job, path, scheme, targets: sorted(targets) })
        .collect()
}

fn entries(
    fleet: &Fleet,
    host: &Host,
    sources: &Sources,
    engine: &Engine,
    problems: &mut Vec<Problem>,
) -> Vec<Scrape> {
    let contexts = match Contexts::new(fleet, host) {
        Ok(contexts) => contexts,
        Err(problem) => {
            problems.push(*problem);
            return Vec::new();
        }
    };
    let mut found = Vec::new();
    for component in host.enabled().into_iter().filter(|component| !component.file.scrape.is_empty()) {
        // No release: which one another host has is none of this host's business.
        match contexts.of(host, component, None) {
            Ok(context) => {
                let mut work = Work { engine, sources, component, context, trees: &contexts.trees, problems };
                found.extend(
                    work.list("scrape", &component.file.scrape).into_iter().map(|placed| placed.value),
                );
            }
            Err(problem) => problems.push(*problem),
        }
    }
    found
}
