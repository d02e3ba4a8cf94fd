//! The installer's JSON events in words, for a person who watches a rehearsal. Lenient: an event that this build
//! does not know is shown by its name.

use serde_json::Value;

/// A step that took less is not worth a second line.
const LONG_MS: u64 = 1000;

/// What of an event is worth a line; nothing for what is told many times a second, and for a result.
pub(super) fn words(event: &Value) -> Option<String> {
    let text = |key: &str| event.get(key).and_then(Value::as_str).unwrap_or_default();
    let number = |key: &str| event.get(key).and_then(Value::as_u64).unwrap_or_default();
    let place = || format!("{}/{}", number("number"), number("of"));
    match event.get("event").and_then(Value::as_str) {
        None => event.get("message").and_then(Value::as_str).map(str::to_owned),
        Some("reading") => None,
        Some("begun") => Some(format!("transaction {}: {} steps", number("transaction"), number("steps"))),
        Some("step") => Some(format!("{} {}: {}", place(), text("id"), text("summary"))),
        Some("done") => {
            let ms = number("ms");
            (ms >= LONG_MS).then(|| format!("{} is done ({}.{} s)", text("id"), ms / 1000, ms % 1000 / 100))
        }
        Some("checks") => {
            Some(format!("{} of {} checks pass{}", number("passed"), number("total"), waiting(event)))
        }
        Some("waiting") => Some(format!("waiting for {}", text("what"))),
        Some("failed") => Some(text("cause").to_owned()),
        Some("note") => Some(text("text").to_owned()),
        Some("rolling_back") => {
            Some(format!("putting the host back: {}", text("cause").lines().next().unwrap_or_default()))
        }
        Some("restored") => Some(format!("{} {}: {}", place(), text("resource"), text("outcome"))),
        Some(other) => Some(other.to_owned()),
    }
}

/// The first check that is not through, with what it misses.
fn waiting(event: &Value) -> String {
    let first = event.pointer("/waiting/0").and_then(Value::as_array).map(Vec::as_slice);
    match first {
        Some([id, what]) => {
            format!("; {}: {}", id.as_str().unwrap_or_default(), what.as_str().unwrap_or_default())
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn events_in_words() {
        for (event, expected) in [
            (json!({"event": "reading", "done": 1}), None),
            (json!({"event": "begun", "transaction": 3, "steps": 59}), Some("transaction 3: 59 steps")),
            (
                json!({"event": "step", "id": "a/b", "number": 2, "of": 9, "summary": "write /etc/a"}),
                Some("2/9 a/b: write /etc/a"),
            ),
            (json!({"event": "done", "id": "a/b", "ms": 999}), None),
            (json!({"event": "done", "id": "a/b", "ms": 1250}), Some("a/b is done (1.2 s)")),
            (
                json!({"event": "checks", "passed": 1, "total": 2, "waiting": [["a/up", "connection refused"]]}),
                Some("1 of 2 checks pass; a/up: connection refused"),
            ),
            (json!({"event": "checks", "passed": 2, "total": 2, "waiting": []}), Some("2 of 2 checks pass")),
            (json!({"event": "rolling_back", "cause": "no\nmore"}), Some("putting the host back: no")),
            (json!({"event": "of a later build"}), Some("of a later build")),
            (json!({"format": 1, "exit": 0}), None),
        ] {
            assert_eq!(words(&event).as_deref(), expected, "{event}");
        }
    }
}
