//! An instant query of a Prometheus server that must give one number.

use std::collections::BTreeMap;
use std::time::Duration;

use chom_format::UnitName;
use chom_format::check::Op;
use serde_json::Value;

use super::http::Get;
use super::kind::{Asking, CheckKind};
use super::{Answer, Miss};
use crate::redact;

/// See [`chom_format::Probe::Query`].
pub(super) struct QueryCheck<'a> {
    pub(super) url: &'a str,
    pub(super) expr: &'a str,
    pub(super) op: Op,
    pub(super) value: f64,
}

impl CheckKind for QueryCheck<'_> {
    fn ask(&self, asking: &Asking<'_>, timeout: Duration) -> Answer {
        let Self { url, expr, op, value } = *self;
        let url = format!("{}/api/v1/query?query={}", url.trim_end_matches('/'), encode(expr));
        let get = Get { url: &url, headers: &BTreeMap::new(), ca_file: None, insecure: false };
        let answer = asking.http.get(&get, timeout)?;
        let body = String::from_utf8_lossy(&answer.body);
        let json: Value = serde_json::from_str(&body)
            .map_err(|_| Miss::with(format!("the server answered {} and no JSON", answer.status), &body))?;
        let found = number(&json).map_err(|why| Miss::with(why, &body))?;
        let fits = match op {
            Op::Eq => found == value,
            Op::Ge => found >= value,
            Op::Le => found <= value,
        };
        let sign = match op {
            Op::Eq => "==",
            Op::Ge => ">=",
            Op::Le => "<=",
        };
        if fits {
            Ok(format!("`{expr}` is {found}"))
        } else {
            Err(Miss::new(format!("`{expr}` is {found}, wanted is {sign} {value}")))
        }
    }

    fn remedy(&self) -> String {
        let (url, expr) = (redact::text(self.url), self.expr);
        format!("curl -G --data-urlencode 'query={expr}' '{url}/api/v1/query'")
    }

    fn unit(&self) -> Option<&UnitName> {
        None
    }
}

// The one number of an answer. No result counts as 0: `count()` of nothing is nothing.
fn number(json: &Value) -> Result<f64, String> {
    if json.pointer("/status").and_then(Value::as_str) != Some("success") {
        let why = json.pointer("/error").and_then(Value::as_str).unwrap_or("no reason given");
        return Err(format!("the server refused the query: {why}"));
    }
    let result = json.pointer("/data/result");
    let kind = json.pointer("/data/resultType").and_then(Value::as_str).unwrap_or_default();
    let sample = match (kind, result.and_then(Value::as_array)) {
        ("scalar", Some(_)) => result,
        ("vector", Some(samples)) if samples.is_empty() => return Ok(0.0),
        ("vector", Some(samples)) if samples.len() == 1 => {
            samples.first().and_then(|sample| sample.pointer("/value"))
        }
        ("vector", Some(samples)) => {
            return Err(format!("the query gives {} numbers instead of one", samples.len()));
        }
        _ => return Err(format!("the query gives a {kind} instead of a number")),
    };
    let text = sample.and_then(|sample| sample.pointer("/1")).and_then(Value::as_str).unwrap_or_default();
    text.parse().map_err(|_| format!("the query gives `{text}` instead of a number"))
}

fn encode(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn answers_and_their_number() {
        let vector =
            |result: Value| json!({"status": "success", "data": {"resultType": "vector", "result": result}});
        let sample = |value: &str| json!({"metric": {}, "value": [1_700_000_000.0, value]});
        assert_eq!(number(&vector(json!([]))), Ok(0.0));
        assert_eq!(number(&vector(json!([sample("3")]))), Ok(3.0));
        assert_eq!(
            number(&json!({"status": "success", "data": {"resultType": "scalar", "result": [1.0, "2.5"]}})),
            Ok(2.5)
        );
        assert!(number(&vector(json!([sample("1"), sample("2")]))).unwrap_err().contains("2 numbers"));
        let refused = json!({"status": "error", "errorType": "bad_data", "error": "parse error"});
        assert!(number(&refused).unwrap_err().contains("parse error"));
        assert!(number(&json!([])).is_err());
    }

    #[test]
    fn expressions_are_encoded() {
        assert_eq!(encode("up{job=\"a b\"} == 1"), "up%7Bjob%3D%22a%20b%22%7D%20%3D%3D%201");
    }
}
