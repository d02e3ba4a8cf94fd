//! What a template sees.

use chom_format::HostPath;
use serde::Serialize;
use serde_json::{Map, Value, json};
use tera::Context;

use super::scrape::Job;
use crate::problem::Problem;
use crate::resolve::{Component, Fleet, Host};

/// What the templates of every host see alike; made once for all of them.
pub(super) struct Fleetwide {
    hosts: tera::Value,
    fleet: Value,
}

impl Fleetwide {
    pub(super) fn new(fleet: &Fleet) -> Result<Self, Box<Problem>> {
        let host = |host: &Host| {
            Ok(without_nulls(json!({
                "name": host.name, "address": host.address, "fqdn": host.fqdn, "domain": host.domain,
                "names": host.names, "tls": host.tls, "components": plain(&host.components)?,
            })))
        };
        let hosts = fleet.hosts.values().map(host).collect::<Result<Vec<Value>, Box<Problem>>>()?;
        let hosts = tera::Value::try_from_serializable(&hosts).map_err(|error| failed(&error))?;
        Ok(Self { hosts, fleet: json!({ "version": fleet.version, "environment": fleet.environment }) })
    }
}

/// What every template of one host sees.
pub(super) struct Contexts {
    seen: Context,
    /// `host` and `fleet` with the fields that have no value.
    pub(super) trees: Value,
}

impl Contexts {
    /// Everything but `scrape`.
    pub(super) fn new(fleetwide: &Fleetwide, host: &Host) -> Result<Self, Box<Problem>> {
        let trees = json!({ "host": plain(host)?, "fleet": fleetwide.fleet });
        let mut seen =
            Context::from_serialize(&without_nulls(trees.clone())).map_err(|error| failed(&error))?;
        seen.insert("components", &without_nulls(plain(&host.components)?));
        seen.insert_value("hosts", fleetwide.hosts.clone());
        Ok(Self { seen, trees })
    }

    /// Adds what a Prometheus on this host collects.
    pub(super) fn with_scrape(mut self, jobs: &[Job]) -> Self {
        self.seen.insert("scrape", jobs);
        self
    }

    /// Adds what one component sees.
    pub(super) fn of(
        &self,
        host: &Host,
        component: &Component,
        release: Option<&HostPath>,
    ) -> Result<Context, Box<Problem>> {
        let mut context = self.seen.clone();
        let settings = json!(component.settings);
        context.insert("settings", &without_nulls(settings));
        let Some(stack) = host.stack_files.get(&component.stack) else {
            let message = format!(
                "component {} belongs to stack {}, which is not there",
                component.name, component.stack
            );
            return Err(Box::new(Problem::whole(&component.path, message, "")));
        };
        context.insert("bin", &format!("{}/bin", stack.root));
        if let Some(release) = release {
            context.insert("release", release);
        }
        Ok(context)
    }
}

fn plain(value: &impl Serialize) -> Result<Value, Box<Problem>> {
    serde_json::to_value(value).map_err(|error| failed(&error))
}

fn failed(error: &dyn std::fmt::Display) -> Box<Problem> {
    Box::new(Problem::whole("inventory", format!("cannot be shown to templates: {error}"), ""))
}

// A value that is not set is undefined to a template: printing it is an error and not an empty text.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(key, value)| (key, without_nulls(value))).collect::<Map<_, _>>())
        }
        Value::Array(list) => list.into_iter().map(without_nulls).collect(),
        scalar => scalar,
    }
}
