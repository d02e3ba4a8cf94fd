//! The JSON schema for editors: the types, and what every component of the stacks adds to them.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::model;
use crate::stack::Catalog;
use crate::stack::setting::component_schema;

/// The schema of an inventory for these stacks.
pub fn full(catalog: &Catalog) -> Value {
    let mut schema = model::schema();
    let mut components: BTreeMap<&str, Value> = BTreeMap::new();
    for part in catalog.stacks.values().flat_map(|stack| stack.components.values()) {
        let mut own = component_schema(&part.file);
        if let Some(map) = own.as_object_mut() {
            map.insert("description".to_owned(), part.file.summary.clone().into());
        }
        components.insert(part.name.as_str(), own);
    }
    let properties: Map<String, Value> =
        components.into_iter().map(|(name, own)| (name.to_owned(), own)).collect();
    let narrowed = json!({
        "description": "Settings of components, by component",
        "type": ["object", "null"],
        "additionalProperties": false,
        "properties": properties,
    });
    for name in ["HostFile", "DefaultsFile"] {
        if let Some(open) = schema.pointer_mut(&format!("/$defs/{name}/properties/components")) {
            *open = narrowed.clone();
        }
    }
    let stacks: Vec<&str> = catalog.stacks.keys().map(|name| name.as_str()).collect();
    if let Some(items) = schema.pointer_mut("/$defs/HostFile/properties/stacks/items") {
        *items = json!({ "type": "string", "enum": stacks });
    }
    schema
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::Sources;

    #[test]
    fn the_built_in_components_stand_in_it() {
        let schema = full(&Catalog::parse(&Sources::built_in()).unwrap());
        let port = "/$defs/HostFile/properties/components/properties/prometheus/properties/port";
        assert_eq!(schema.pointer(port).unwrap()["maximum"], json!(65535));
        let stacks = schema.pointer("/$defs/HostFile/properties/stacks/items/enum").unwrap();
        assert!(stacks.as_array().unwrap().contains(&json!("observability")));
    }
}
