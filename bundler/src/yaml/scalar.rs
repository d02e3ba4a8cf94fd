//! What a scalar means: YAML 1.2's core types, nothing that looks like one of them by chance.

use serde_json::Value;

/// A scalar: its text, and whether quotes or a block style say that it is text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scalar {
    /// The text after escapes and folding.
    pub text: String,
    /// Written without quotes, so that it may be a number, a boolean or null.
    pub plain: bool,
}

impl Scalar {
    /// Text that is text whatever it looks like.
    pub fn quoted(text: impl Into<String>) -> Self {
        Self { text: text.into(), plain: false }
    }

    /// Text that means what it looks like.
    pub fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), plain: true }
    }

    /// The value that it stands for.
    ///
    /// `yes`, `on` and `0644` are text: the first two are booleans nowhere else in the file, and the last
    /// would be 644 or 420 depending on whom one asks.
    pub fn value(&self) -> Value {
        if !self.plain {
            return Value::String(self.text.clone());
        }
        match self.text.as_str() {
            "" | "~" | "null" | "Null" | "NULL" => Value::Null,
            "true" | "True" | "TRUE" => Value::Bool(true),
            "false" | "False" | "FALSE" => Value::Bool(false),
            text => number(text).unwrap_or_else(|| Value::String(text.to_owned())),
        }
    }
}

fn number(text: &str) -> Option<Value> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if let Some(hex) = text.strip_prefix("0x") {
        return u64::from_str_radix(hex, 16).ok().map(Value::from);
    }
    if let Some(octal) = text.strip_prefix("0o") {
        return u64::from_str_radix(octal, 8).ok().map(Value::from);
    }
    let fits = |c: char| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '-' | '+');
    let padded = digits.len() > 1 && digits.starts_with('0') && !digits.starts_with("0.");
    if !digits.starts_with(|c: char| c.is_ascii_digit()) || padded || !digits.chars().all(fits) {
        return None;
    }
    if digits.chars().all(|c| c.is_ascii_digit()) {
        let positive = text.strip_prefix('+').unwrap_or(text);
        return positive
            .parse::<i64>()
            .map(Value::from)
            .or_else(|_| positive.parse::<u64>().map(Value::from))
            .ok();
    }
    text.parse::<f64>().ok().filter(|number| number.is_finite()).map(Value::from)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn plain_scalars_mean_what_the_core_schema_says() {
        for (text, value) in [
            ("", json!(null)),
            ("~", json!(null)),
            ("true", json!(true)),
            ("FALSE", json!(false)),
            ("0", json!(0)),
            ("-7", json!(-7)),
            ("+7", json!(7)),
            ("18446744073709551615", json!(u64::MAX)),
            ("0x1F", json!(31)),
            ("0o644", json!(420)),
            ("1.5", json!(1.5)),
            ("1e3", json!(1000.0)),
        ] {
            assert_eq!(Scalar::plain(text).value(), value, "{text}");
        }
    }

    #[test]
    fn what_only_looks_like_a_number_or_boolean_is_text() {
        for text in [
            "yes", "on", "0644", "1_000", "10.0.0.1", "1.2.3", "15d", "12:30", ".5", "-", "e3", "1e999",
            "-0x1", "0x",
        ] {
            assert_eq!(Scalar::plain(text).value(), json!(text), "{text}");
        }
        assert_eq!(Scalar::quoted("80").value(), json!("80"));
    }
}
