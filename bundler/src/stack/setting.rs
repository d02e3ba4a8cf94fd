//! Settings: the schema of each kind, which the walk over an inventory and `chom-bundle schema` both use.

use serde_json::{Value, json};

use super::component::{ComponentFile, SettingFile, SettingKind};

/// Keys of a component in an inventory that are no settings.
pub const RESERVED: [&str; 3] = ["enabled", "source", "version"];

/// The JSON schema of what an inventory may state below `components.<name>`.
pub fn component_schema(file: &ComponentFile) -> Value {
    let mut properties = serde_json::Map::new();
    let told = |text: &str, mut schema: Value| {
        if let Some(map) = schema.as_object_mut() {
            map.insert("description".to_owned(), text.into());
        }
        schema
    };
    properties
        .insert("enabled".to_owned(), told("Part of the stack on this host", json!({ "type": "boolean" })));
    if let Some(payload) = &file.payload {
        let sources: Vec<&str> =
            [("debian", payload.debian.is_some()), ("upstream", payload.upstream.is_some())]
                .into_iter()
                .filter_map(|(name, there)| there.then_some(name))
                .collect();
        properties.insert(
            "source".to_owned(),
            told("Where the payload comes from", json!({ "type": "string", "enum": sources })),
        );
        if payload.upstream.is_some() {
            let schema = json!({ "type": "string", "x-chom": "version" });
            properties.insert("version".to_owned(), told("Version of the upstream payload", schema));
        }
    }
    for (name, setting) in &file.settings {
        properties.insert(name.clone(), told(&setting.help, or_null(setting_schema(setting))));
    }
    json!({ "type": "object", "additionalProperties": false, "properties": properties })
}

/// The JSON schema of one setting's values.
pub fn setting_schema(setting: &SettingFile) -> Value {
    let element = || setting.of.map_or_else(|| kind_schema(SettingKind::String), kind_schema);
    match setting.kind {
        SettingKind::Enum => json!({ "type": "string", "enum": setting.values }),
        SettingKind::List => json!({ "type": "array", "items": element() }),
        SettingKind::Map => {
            let keys = kind_schema(setting.keys.unwrap_or(SettingKind::String));
            json!({ "type": "object", "additionalProperties": element(), "propertyNames": keys })
        }
        plain => kind_schema(plain),
    }
}

fn kind_schema(kind: SettingKind) -> Value {
    let text = |format: &str| json!({ "type": "string", "x-chom": format });
    match kind {
        SettingKind::String | SettingKind::Enum => text("line"),
        SettingKind::Text => text("text"),
        SettingKind::Bool => json!({ "type": "boolean" }),
        SettingKind::Integer => json!({ "type": "integer" }),
        SettingKind::Port => json!({ "type": "integer", "minimum": 1, "maximum": 65535 }),
        SettingKind::Duration => text("duration"),
        SettingKind::Size => text("size"),
        SettingKind::Url => text("url"),
        SettingKind::Network => text("network"),
        SettingKind::Name => text("name"),
        SettingKind::Mail => text("mail"),
        SettingKind::ShortSize => text("short_size"),
        SettingKind::CryptHash => text("crypt_hash"),
        SettingKind::Address => text("address"),
        SettingKind::Path | SettingKind::SecretFile => text("plain_path"),
        SettingKind::List => json!({ "type": "array" }),
        SettingKind::Map => json!({ "type": "object" }),
    }
}

// An inventory may always say that a setting is not set.
fn or_null(mut schema: Value) -> Value {
    if let Some(kind) = schema.get_mut("type") {
        *kind = json!([kind.take(), "null"]);
    }
    if let Some(values) = schema.get_mut("enum").and_then(Value::as_array_mut) {
        values.push(Value::Null);
    }
    schema
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::read;
    use crate::yaml::walk::Walk;

    fn problems(kind: &str, value: &str) -> usize {
        let declaration = json!({ "type": kind, "help": "x", "values": ["a", "b"] });
        let setting: SettingFile = serde_json::from_value(declaration).unwrap();
        let schema = or_null(setting_schema(&setting));
        let tree = read("t", value).unwrap();
        Walk::new("t", value, &schema).run(&tree, &schema, "key").len()
    }

    #[test]
    fn every_kind_takes_its_values_and_no_others() {
        for (kind, good, bad) in [
            ("string", "text", "[a]"),
            ("string", "1.4", "\"a\\nb\""),
            ("text", "\"a\\nb\"", "{}"),
            ("bool", "true", "yes"),
            ("integer", "-3", "3.5"),
            ("port", "9090", "0"),
            ("port", "65535", "'9090'"),
            ("duration", "15d", "15"),
            ("size", "50GB", "50 GB"),
            ("url", "https://a/b", "a/b"),
            ("network", "10.0.0.0/8", "10.0.0.0/99"),
            ("network", "fd00::1", "all"),
            ("address", "mail.internal", "10.0.0.0/8"),
            ("name", "chom", "$x"),
            ("mail", "a@b.c", "nobody"),
            ("short_size", "256M", "256 M"),
            ("crypt_hash", "$6$a$b", "clear"),
            ("path", "/etc/x", "x"),
            ("secret_file", "/etc/x", "hunter2"),
            ("list", "[a, b]", "a"),
            ("map", "{a: b}", "[a]"),
            ("map", "{\"a b\": c}", "{\"a\\nb\": c}"),
            ("enum", "a", "c"),
        ] {
            assert_eq!(problems(kind, good), 0, "{kind} {good}");
            assert_eq!(problems(kind, bad), 1, "{kind} {bad}");
            assert_eq!(problems(kind, "~"), 0, "{kind} null");
        }
    }
}
