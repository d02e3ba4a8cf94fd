//! The filters that templates have beside tera's own. None of them runs anything or knows the time.

use serde_json::Value as Json;
use tera::{Error, Kwargs, State, Tera, TeraResult, Value};

pub(super) fn register(tera: &mut Tera) {
    tera.register_filter("json", json);
    tera.register_filter("json_pretty", json_pretty);
    // Every JSON text is a YAML one.
    tera.register_filter("yaml", json);
    tera.register_filter("quote", quote);
    tera.register_filter("regex_escape", regex_escape);
    tera.register_filter("unit_escape", unit_escape);
    tera.register_filter("in_url", in_url);
    tera.register_filter("seconds", seconds);
    tera.register_filter("bytes", bytes);
}

/// Any value as JSON with sorted keys, so that the caller can have it back with its type.
pub(super) fn typed(value: Value, _: Kwargs, _: &State) -> TeraResult<String> {
    Ok(plain(&value)?.to_string())
}

fn json(value: Value, _: Kwargs, _: &State) -> TeraResult<String> {
    Ok(plain(&value)?.to_string())
}

fn json_pretty(value: Value, _: Kwargs, _: &State) -> TeraResult<String> {
    serde_json::to_string_pretty(&plain(&value)?).map_err(Error::message)
}

// A double-quoted text as JSON, YAML, TOML, nginx and systemd read it.
fn quote(value: Value, _: Kwargs, _: &State) -> TeraResult<String> {
    let text = match plain(&value)? {
        Json::String(text) => text,
        Json::Array(_) | Json::Object(_) => {
            return Err(Error::message("`quote` takes a text, not a list or map"));
        }
        scalar => scalar.to_string(),
    };
    Ok(Json::String(text).to_string())
}

fn regex_escape(text: &str, _: Kwargs, _: &State) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if r"\.+*?()|[]{}^$#&-~/".contains(c) && c != '/' {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

// `%` begins a specifier in a unit file.
fn unit_escape(text: &str, _: Kwargs, _: &State) -> String {
    text.replace('%', "%%")
}

// An IPv6 address stands in brackets before `:port`.
fn in_url(text: &str, _: Kwargs, _: &State) -> String {
    if text.parse::<std::net::Ipv6Addr>().is_ok() { format!("[{text}]") } else { text.to_owned() }
}

fn seconds(text: &str, _: Kwargs, _: &State) -> TeraResult<u64> {
    super::fields::seconds(text)
        .ok_or_else(|| Error::message(format!("`{text}` is not a duration such as 30s or 15d")))
}

fn bytes(text: &str, _: Kwargs, _: &State) -> TeraResult<u64> {
    super::fields::whole_bytes(text)
        .ok_or_else(|| Error::message(format!("`{text}` is not a size such as 512MB")))
}

fn plain(value: &Value) -> TeraResult<Json> {
    if value.is_undefined() {
        return Err(Error::message("the value is not defined"));
    }
    serde_json::to_value(value).map_err(Error::message)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::engine::Engine;
    use super::super::sources::Sources;

    #[test]
    fn each_filter_does_what_its_name_says() {
        let engine = Engine::new(&Sources::default()).unwrap();
        let context = tera::Context::from_serialize(&json!({
            "t": "a\"b\n", "map": { "z": [1, true], "a": "x" }, "re": "a.b+c/d", "pct": "50%",
            "six": "fe80::1", "four": "10.0.0.1", "dur": "15d", "size": "50GB", "n": 5,
        }))
        .unwrap();
        for (text, wanted) in [
            ("{{ map | json }}", r#"{"a":"x","z":[1,true]}"#),
            ("{{ t | quote }}", r#""a\"b\n""#),
            ("{{ n | quote }}", "\"5\""),
            ("{{ t | yaml }}", r#""a\"b\n""#),
            ("{{ re | regex_escape }}", r"a\.b\+c/d"),
            ("{{ pct | unit_escape }}", "50%%"),
            ("{{ six | in_url }} {{ four | in_url }}", "[fe80::1] 10.0.0.1"),
            ("{{ dur | seconds }}", "1296000"),
            ("{{ size | bytes }}", "53687091200"),
        ] {
            assert_eq!(engine.text(text, &context).unwrap(), wanted, "{text}");
        }
        for text in ["{{ t | seconds }}", "{{ four | bytes }}", "{{ map | quote }}", "{{ t | sh }}"] {
            assert!(engine.text(text, &context).is_err(), "{text}");
        }
    }
}
