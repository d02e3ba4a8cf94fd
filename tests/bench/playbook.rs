//! The peer's work: a playbook that makes sure of the same things as a bundle's manifest, task by task.

use chom_format::step::StepSpec;
use chom_format::{Manifest, Probe};
use serde_json::{Value, json};

/// The playbook as JSON, which is YAML. `bundle` is where the bundle lies on the host.
pub fn playbook(manifest: &Manifest, bundle: &str) -> Value {
    let steps = manifest.steps().into_iter().flat_map(|(_, step)| tasks(&step.spec, bundle));
    let checks = manifest.checks.iter().filter_map(|check| probe(&check.probe));
    let tasks: Vec<Value> = steps.chain(checks).collect();
    json!([{ "hosts": "localhost", "connection": "local", "gather_facts": false, "tasks": tasks }])
}

fn tasks(spec: &StepSpec, bundle: &str) -> Vec<Value> {
    match spec {
        // One task for all packages, as a person would write it.
        StepSpec::Packages(spec) => vec![json!({ "ansible.builtin.package": { "name": spec.roots, "state": "present" } })],
        StepSpec::Account(spec) => {
            vec![json!({ "ansible.builtin.user": { "name": spec.name, "system": true, "create_home": false, "home": spec.home } })]
        }
        StepSpec::Dir(spec) => vec![json!({ "ansible.builtin.file": {
            "path": spec.path, "state": "directory", "mode": spec.mode, "owner": spec.owner.user, "group": spec.owner.group } })],
        StepSpec::File(spec) => vec![json!({ "ansible.builtin.copy": {
            "src": format!("{bundle}/{}", spec.content.from), "dest": spec.path, "remote_src": true,
            "mode": spec.mode, "owner": spec.owner.user, "group": spec.owner.group } })],
        StepSpec::Release(spec) => spec
            .files
            .iter()
            .map(|(path, file)| {
                json!({ "ansible.builtin.copy": {
                    "src": format!("{bundle}/{}", file.content.from), "dest": spec.dir.join(path), "remote_src": true, "mode": file.mode } })
            })
            .collect(),
        StepSpec::Link(spec) => {
            vec![json!({ "ansible.builtin.file": { "path": spec.path, "src": spec.target, "state": "link" } })]
        }
        StepSpec::Absent(spec) => vec![json!({ "ansible.builtin.file": { "path": spec.path, "state": "absent" } })],
        StepSpec::Unit(spec) => vec![json!({ "ansible.builtin.systemd_service": {
            "name": spec.unit, "enabled": spec.enable, "state": "started" } })],
        // These run on a change only, or have no peer in the standard collection.
        StepSpec::Validate(_) | StepSpec::Command(_) | StepSpec::Firewall(_) => Vec::new(),
    }
}

fn probe(probe: &Probe) -> Option<Value> {
    match probe {
        Probe::Http { url, headers, status, .. } => Some(json!({ "ansible.builtin.uri": {
            "url": url, "headers": headers, "status_code": status, "follow_redirects": "none" } })),
        Probe::Query { url, .. } => {
            Some(json!({ "ansible.builtin.uri": { "url": format!("{url}/api/v1/query?query=up") } }))
        }
        Probe::Tcp { address } => {
            let (host, port) = address.rsplit_once(':')?;
            Some(
                json!({ "ansible.builtin.wait_for": { "host": host, "port": port.parse::<u16>().ok()?, "timeout": 5 } }),
            )
        }
        Probe::Command { argv, .. } => {
            Some(json!({ "ansible.builtin.command": { "argv": argv }, "changed_when": false }))
        }
        Probe::Unit { unit, .. } => Some(json!({ "ansible.builtin.systemd_service": { "name": unit } })),
        Probe::Tls { .. } => None,
    }
}
