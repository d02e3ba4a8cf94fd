//! Grafana refuses to start when two of its provisioned datasources claim to be the default one.

use super::Shown;
use crate::problem::Problem;
use crate::render::sources::Sources;

pub(super) fn broken(texts: &[Shown<'_>], sources: &Sources) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut default: Option<String> = None;
    let mut uids = std::collections::BTreeMap::new();
    for text in texts.iter().filter(|text| text.path.as_str().contains("/provisioning/datasources/")) {
        let Some(Ok(tree)) = text.yaml() else { continue };
        let Some(list) = tree.get("datasources") else { continue };
        for source in list.items() {
            let value = source.value();
            let name =
                value.get("name").and_then(|name| name.as_str()).unwrap_or("without a name").to_owned();
            if value.get("isDefault").and_then(serde_json::Value::as_bool) == Some(true) {
                let line = source.entry("isDefault").map_or(source.place.line, |entry| entry.key_place.line);
                if let Some(first) = &default {
                    let message = format!("datasource {name} is a second default beside {first}");
                    problems.push(text.problem(
                        line,
                        sources,
                        &message,
                        "leave `isDefault: true` with one of them",
                    ));
                }
                default.get_or_insert(name.clone());
            }
            let Some(uid) = value.get("uid").and_then(|uid| uid.as_str()) else { continue };
            if let Some(first) = uids.insert(uid.to_owned(), name.clone()) {
                let line = source.entry("uid").map_or(source.place.line, |entry| entry.key_place.line);
                let message = format!("datasource {name} has the uid `{uid}` of {first}");
                problems.push(text.problem(line, sources, &message, "give each datasource its own uid"));
            }
        }
    }
    problems
}
