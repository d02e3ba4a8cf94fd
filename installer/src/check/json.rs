//! What a JSON body must hold.

use chom_format::check::JsonExpect;
use serde_json::Value;

/// What the body lacks, in words; none when all is there.
pub(super) fn missing(body: &Value, expects: &[JsonExpect]) -> Option<String> {
    expects.iter().find_map(|expect| lacks(body, expect))
}

fn lacks(body: &Value, expect: &JsonExpect) -> Option<String> {
    let JsonExpect { pointer, equals, at_least } = expect;
    let Some(found) = body.pointer(pointer) else { return Some(format!("the answer has no `{pointer}`")) };
    if let Some(wanted) = equals.as_ref().filter(|wanted| !same(wanted, found)) {
        return Some(format!("`{pointer}` is {}, not {wanted}", brief(found)));
    }
    let entries = match found {
        Value::Array(entries) => Some(entries.len() as u64),
        Value::Object(entries) => Some(entries.len() as u64),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    };
    match (at_least, entries) {
        (Some(wanted), Some(count)) if count < *wanted => {
            Some(format!("`{pointer}` has {count} entries, at least {wanted} are wanted"))
        }
        (Some(_), None) => Some(format!("`{pointer}` is {}, not a list", brief(found))),
        _ => None,
    }
}

// 1 and 1.0 are the same number.
fn same(wanted: &Value, found: &Value) -> bool {
    wanted == found || (wanted.is_number() && wanted.as_f64() == found.as_f64())
}

fn brief(value: &Value) -> String {
    match value {
        Value::Array(entries) => format!("a list of {}", entries.len()),
        Value::Object(_) => "an object".to_owned(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            value.to_string().chars().take(80).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn table() {
        let body = json!({"status": "success", "n": 1.0, "data": {"groups": [{}, {}], "empty": []}});
        let cases = [
            (json!({"pointer": "/status", "equals": "success"}), None),
            (json!({"pointer": "/n", "equals": 1}), None),
            (json!({"pointer": "/data/groups", "at_least": 2}), None),
            (json!({"pointer": "/data"}), None),
            (json!({"pointer": "/nope"}), Some("has no `/nope`")),
            (json!({"pointer": "/status", "equals": "error"}), Some("is \"success\", not \"error\"")),
            (json!({"pointer": "/data/empty", "at_least": 1}), Some("has 0 entries, at least 1")),
            (json!({"pointer": "/status", "at_least": 1}), Some("is \"success\", not a list")),
        ];
        for (expect, wanted) in cases {
            let expect: JsonExpect = serde_json::from_value(expect).unwrap();
            match (missing(&body, std::slice::from_ref(&expect)), wanted) {
                (None, None) => {}
                (Some(found), Some(wanted)) => assert!(found.contains(wanted), "{found}"),
                (found, _) => panic!("{expect:?}: {found:?}"),
            }
        }
    }
}
