//! The forms in which a component file writes what has a type of its own: durations, owners, openings, checks.

use chom_format::backup::BackupSource;
use chom_format::check::{Probe, Severity};
use chom_format::step::Owner;
use chom_format::{AccountName, UnitName};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::wanted::{Backup, Check, Open};

impl<'de> Deserialize<'de> for Open {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "none" => Ok(Self::No),
            "public" => Ok(Self::Public),
            name => name.parse().map(Self::PeersWith).map_err(D::Error::custom),
        }
    }
}

impl<'de> Deserialize<'de> for Check {
    // The probe's kind is a key (`http: {...}`), and its durations are texts.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut map = Map::deserialize(deserializer)?;
        let id = take(&mut map, "id")?;
        let severity: Option<Severity> = take(&mut map, "severity")?;
        let deadline: Option<String> = take(&mut map, "deadline")?;
        let deadline = match deadline {
            Some(text) => whole_seconds(&text).map_err(D::Error::custom)?,
            None => 60,
        };
        let mut rest = map.into_iter();
        let (Some((kind, Value::Object(fields))), None) = (rest.next(), rest.next()) else {
            let wanted =
                "a check has `id`, `severity`, `deadline` and one of http, tcp, unit, command, tls, query";
            return Err(D::Error::custom(wanted));
        };
        let probe = probe(kind, fields).map_err(D::Error::custom)?;
        Ok(Self { id, severity: severity.unwrap_or(Severity::Fail), deadline, probe })
    }
}

impl<'de> Deserialize<'de> for Backup {
    // As with checks the kind is a key; of `paths` its value is the list, with `exclude` beside it.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut map = Map::deserialize(deserializer)?;
        let id = take(&mut map, "id")?;
        let limit: String = take(&mut map, "limit")?;
        let limit = whole_bytes(&limit)
            .ok_or_else(|| D::Error::custom(format!("`{limit}` is not a size such as 512MB")))?;
        let stop: Option<Vec<UnitName>> = take(&mut map, "stop")?;
        let timeout: Option<String> = take(&mut map, "timeout")?;
        let timeout = timeout.map_or(Ok(600), |text| whole_seconds(&text)).map_err(D::Error::custom)?;
        let exclude = map.remove("exclude");
        let mut rest = map.into_iter();
        let (Some((kind, value)), None) = (rest.next(), rest.next()) else {
            let wanted = "an entry of `backup` has `id`, `limit`, `stop`, `timeout` and one of paths, postgresql, mariadb, redis";
            return Err(D::Error::custom(wanted));
        };
        let mut source = match (kind.as_str(), value) {
            ("paths", paths @ Value::Array(_)) => Map::from_iter([("paths".to_owned(), paths)]),
            ("paths", _) => return Err(D::Error::custom("paths: a list of paths")),
            (_, Value::Object(fields)) => fields,
            (_, _) => return Err(D::Error::custom(format!("{kind}: the fields of the source in braces"))),
        };
        source.extend(exclude.map(|exclude| ("exclude".to_owned(), exclude)));
        let tagged = Map::from_iter([(kind.clone(), Value::Object(source))]);
        let source = BackupSource::deserialize(Value::Object(tagged))
            .map_err(|error| D::Error::custom(format!("{kind}: {error}")))?;
        Ok(Self { id, limit, stop: stop.unwrap_or_default(), timeout, source })
    }
}

fn take<T: DeserializeOwned, E: serde::de::Error>(map: &mut Map<String, Value>, key: &str) -> Result<T, E> {
    let value = map.remove(key).unwrap_or_default();
    T::deserialize(value).map_err(|error| E::custom(format!("{key}: {error}")))
}

fn probe(kind: String, fields: Map<String, Value>) -> Result<Probe, String> {
    let mut probe = Map::new();
    for (key, value) in fields {
        match (key.as_str(), &value) {
            ("dwell", Value::String(text)) => {
                probe.insert("dwell_s".to_owned(), whole_seconds(text)?.into());
            }
            ("argv", _) => {
                let argv = scalars(value).map_err(|error| format!("{kind}: argv: {error}"))?;
                probe.insert(key, argv.into());
            }
            // `contains: "{{ settings.port }}"` looks for a text.
            ("contains", Value::Number(_) | Value::Bool(_)) => {
                probe.insert(key, value.to_string().into());
            }
            _ => {
                probe.insert(key, value);
            }
        }
    }
    probe.insert("type".to_owned(), Value::String(kind.clone()));
    Probe::deserialize(Value::Object(probe)).map_err(|error| format!("{kind}: {error}"))
}

/// The seconds of `30s`, `5m`, `720h`, `15d`, `2w`, `1y` or a joined `1h30m`.
pub(crate) fn seconds(text: &str) -> Option<u64> {
    let mut total = 0_u64;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number: u64 = rest.get(..digits)?.parse().ok()?;
        let factor = match rest.get(digits..)?.chars().next()? {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            'w' => 604_800,
            'y' => 31_536_000,
            _ => return None,
        };
        total = total.checked_add(number.checked_mul(factor)?)?;
        rest = rest.get(digits + 1..)?;
    }
    (!text.is_empty()).then_some(total)
}

/// The bytes of `512MB`; a number alone is bytes.
pub(crate) fn whole_bytes(text: &str) -> Option<u64> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let factor = match text.get(digits..)? {
        "B" | "" => 1,
        "KB" | "K" => 1_u64 << 10,
        "MB" | "M" => 1 << 20,
        "GB" | "G" => 1 << 30,
        "TB" | "T" => 1 << 40,
        _ => return None,
    };
    text.get(..digits)?.parse::<u64>().ok()?.checked_mul(factor)
}

fn whole_seconds(text: &str) -> Result<u32, String> {
    seconds(text)
        .and_then(|seconds| u32::try_from(seconds).ok())
        .ok_or_else(|| format!("`{text}` is not a duration such as 30s or 5m"))
}

pub(super) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    whole_seconds(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}

pub(super) fn owner<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Owner, D::Error> {
    parse_owner(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}

/// `user:group`.
pub(crate) fn parse_owner(text: &str) -> Result<Owner, String> {
    let (user, group) =
        text.split_once(':').ok_or_else(|| format!("`{text}` is not an owner such as root:root"))?;
    let name = |text: &str| text.parse::<AccountName>().map_err(|error| error.to_string());
    Ok(Owner { user: name(user)?, group: name(group)? })
}

// A number or boolean in an argument list is a text that looked like one.
pub(super) fn scalars<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Vec::<Value>::deserialize(deserializer)?
        .into_iter()
        .map(|value| match value {
            Value::String(text) => Ok(text),
            Value::Number(_) | Value::Bool(_) => Ok(value.to_string()),
            Value::Null | Value::Array(_) | Value::Object(_) => {
                Err(D::Error::custom("an argument is a text"))
            }
        })
        .collect()
}

pub(super) fn one_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<UnitName>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMore {
        One(String),
        More(Vec<String>),
    }
    let names = match OneOrMore::deserialize(deserializer)? {
        OneOrMore::One(name) => vec![name],
        OneOrMore::More(names) => names,
    };
    names.iter().map(|name| name.parse().map_err(D::Error::custom)).collect()
}

pub(super) fn yes() -> bool {
    true
}

pub(super) fn half_a_minute() -> u32 {
    30
}

pub(super) fn ninety() -> u32 {
    90
}

pub(super) fn metrics() -> String {
    "/metrics".to_owned()
}

pub(super) fn http() -> String {
    "http".to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::wanted::{File, Port, Validate};
    use super::*;

    #[test]
    fn durations() {
        for (text, wanted) in
            [("30s", 30), ("5m", 300), ("720h", 2_592_000), ("15d", 1_296_000), ("1h30m", 5400)]
        {
            assert_eq!(seconds(text), Some(wanted), "{text}");
        }
        for text in ["", "s", "5", "5x", "-5s", "5 s", "1.5h", "99999999999999999999s"] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }

    #[test]
    fn a_check_is_one_probe_with_durations_as_text() {
        let check: Check = serde_json::from_value(json!({
            "id": "unit", "deadline": "2m", "unit": { "unit": "nginx.service", "dwell": "20s" },
        }))
        .unwrap();
        assert_eq!((check.severity, check.deadline), (Severity::Fail, 120));
        assert_eq!(check.probe, Probe::Unit { unit: "nginx.service".parse().unwrap(), dwell_s: 20 });
        let check: Check = serde_json::from_value(json!({
            "id": "x", "deadline": "5s", "command": { "argv": ["probe", "-p", 6379, true], "contains": 42 },
        }))
        .unwrap();
        let Probe::Command { argv, contains, .. } = check.probe else { panic!("{check:?}") };
        assert_eq!((argv.join(" "), contains.as_deref()), ("probe -p 6379 true".to_owned(), Some("42")));
        for wrong in [
            json!({ "id": "x" }),
            json!({ "id": "x", "tcp": { "address": "a:1" }, "unit": { "unit": "a.service", "dwell": "1s" } }),
            json!({ "id": "x", "ping": { "address": "a" } }),
            json!({ "id": "x", "tcp": { "address": "a:1", "port": 1 } }),
            json!({ "id": "x", "deadline": "soon", "tcp": { "address": "a:1" } }),
            json!({ "tcp": { "address": "a:1" } }),
        ] {
            assert!(serde_json::from_value::<Check>(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_part_of_a_backup_is_one_source_with_a_limit() {
        let read = |value: Value| serde_json::from_value::<Backup>(value);
        let part = read(json!({ "id": "pages", "limit": "100MB", "paths": ["/srv"], "exclude": ["*.tmp"] }))
            .unwrap();
        let BackupSource::Paths(source) = &part.source else { panic!("{part:?}") };
        assert_eq!((part.limit, part.timeout, source.exclude.len()), (100 << 20, 600, 1));
        let part = read(json!({
            "id": "db", "limit": "2GB", "timeout": "1h", "stop": ["a.service"], "postgresql": { "database": "shop" },
        }))
        .unwrap();
        assert_eq!((part.limit, part.timeout, part.stop.len()), (2 << 30, 3600, 1));
        assert!(read(json!({ "id": "all", "limit": "1GB", "mariadb": {} })).is_ok());
        for wrong in [
            json!({ "id": "x", "paths": ["/srv"] }),
            json!({ "id": "x", "limit": "1 GB", "paths": ["/srv"] }),
            json!({ "id": "x", "limit": "1GB" }),
            json!({ "id": "x", "limit": "1GB", "paths": "/srv" }),
            json!({ "id": "x", "limit": "1GB", "paths": ["/srv"], "mariadb": {} }),
            json!({ "id": "x", "limit": "1GB", "mariadb": {}, "exclude": ["*.tmp"] }),
            json!({ "id": "x", "limit": "1GB", "oracle": {} }),
            json!({ "id": "x", "limit": "1GB", "redis": { "unit": "r.service", "socket": "/x" } }),
            json!({ "id": "x.y", "limit": "1GB", "mariadb": {} }),
        ] {
            assert!(read(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn fields_that_take_more_than_one_form() {
        let file: File = serde_json::from_value(json!({
            "path": "/a", "mode": "0640", "owner": "root:www-data", "restart": ["a.service", "b.service"], "reload": "c.service",
        }))
        .unwrap();
        assert_eq!((file.restart.len(), file.reload.len(), file.owner.group.as_str()), (2, 1, "www-data"));
        let validate: Validate =
            serde_json::from_value(json!({ "argv": ["x", 1, true], "tree": "/a", "timeout": "30s" }))
                .unwrap();
        assert_eq!(validate.argv, ["x", "1", "true"]);
        assert!(
            serde_json::from_value::<Port>(json!({ "port": 70000, "unit": "a.service", "open": "none" }))
                .is_err()
        );
    }
}
