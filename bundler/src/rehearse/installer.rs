//! Runs `chom-install` on a rehearsed host, as a person would over ssh, and reads what it says. Its time is
//! taken on the host, around the process, so that neither ssh nor this machine is measured.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::RehearseError;
use super::event;
use super::host::Host;
use super::talk::Talk;
use super::tool::Stream;

/// Longer than any deadline of the installer's own.
const LIMIT: Duration = Duration::from_secs(3600);
/// The line after the installer's own output that carries its exit code and the two times.
const MARK: &str = "rehearsal-took";

/// One run of the installer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Act {
    /// Its exit code.
    pub exit: i32,
    /// Wall time on the host, in milliseconds.
    pub ms: f64,
    /// Effects that it counted.
    pub effects: Option<u64>,
    /// Steps that it changed.
    pub changed: Vec<String>,
    /// Its transaction.
    pub transaction: Option<String>,
    /// Its first error.
    pub error: Option<String>,
    /// The last JSON object that it printed.
    #[serde(skip)]
    pub said: Value,
}

impl Act {
    /// The checks in its result.
    pub fn checks(&self) -> Vec<Value> {
        self.said.get("checks").and_then(Value::as_array).cloned().unwrap_or_default()
    }

    /// The paths that it found changed although nobody declared them.
    pub fn found(&self) -> Vec<&str> {
        let found = self.said.get("found").and_then(Value::as_array).into_iter().flatten();
        found.filter_map(|found| found.get("path").and_then(Value::as_str)).collect()
    }

    /// The proof in its result.
    pub fn proof(&self) -> Option<Value> {
        self.said.get("proof").filter(|proof| !proof.is_null()).cloned()
    }
}

/// Runs the installer in its unpacked bundle, showing what it says.
pub fn run(host: &Host, folder: &str, words: &[&str], talk: &Talk<'_>) -> Result<Act, RehearseError> {
    let command: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    let script = format!(
        "cd {} || exit 125; a=$EPOCHREALTIME; ./chom-install {}; c=$?; b=$EPOCHREALTIME; echo \"{MARK} $c $a $b\"; exit $c",
        quoted(folder),
        command.join(" ")
    );
    talk.say(format!("{} $ ./chom-install {}", host.name(), command.join(" ")));
    let mut said = Said::default();
    let ran = host.ssh(&script, LIMIT, &mut |stream, bytes| {
        for line in said.hear(stream, bytes) {
            talk.say(format!("  | {line}"));
        }
    })?;
    Ok(parse(&ran.text(), ran.code))
}

/// Quotes a word for the host's shell.
pub(super) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@:=,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

fn parse(stdout: &str, code: i32) -> Act {
    let took = stdout.lines().rev().find_map(|line| line.strip_prefix(MARK)?.strip_prefix(' '));
    let words: Vec<&str> = took.unwrap_or_default().split_whitespace().collect();
    let time = |at: usize| words.get(at).and_then(|word| word.replace(',', ".").parse::<f64>().ok());
    let ms = match (time(1), time(2)) {
        (Some(start), Some(end)) => (end - start) * 1000.0,
        _ => 0.0,
    };
    let said: Value = stdout
        .lines()
        .rev()
        .filter(|line| line.starts_with('{'))
        .find_map(|line| serde_json::from_str(line).ok())
        .unwrap_or_default();
    let text = |key: &str| {
        said.get(key)
            .and_then(|value| value.as_str().map(str::to_owned).or(value.as_u64().map(|n| n.to_string())))
    };
    let changed = said.get("changed").and_then(Value::as_array).into_iter().flatten();
    Act {
        // ssh itself ends with 255 when the connection breaks; the mark tells the installer's own code.
        exit: words.first().and_then(|word| word.parse().ok()).unwrap_or(code),
        ms: (ms * 100.0).round() / 100.0,
        effects: said.get("effects").and_then(Value::as_u64),
        changed: changed.filter_map(|step| step.as_str().map(str::to_owned)).collect(),
        transaction: text("transaction"),
        error: said.pointer("/error/message").and_then(Value::as_str).map(str::to_owned),
        said,
    }
}

/// Cuts the two outputs into lines while they come.
#[derive(Default)]
struct Said {
    out: Vec<u8>,
    err: Vec<u8>,
}

impl Said {
    /// The lines that are to be shown now.
    fn hear(&mut self, stream: Stream, bytes: &[u8]) -> Vec<String> {
        let rest = if stream == Stream::Out { &mut self.out } else { &mut self.err };
        rest.extend_from_slice(bytes);
        let mut lines = Vec::new();
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            lines.extend(show(stream, String::from_utf8_lossy(&line).trim_end()));
        }
        lines
    }
}

/// What of a line a person wants to see: talk as it is, of a JSON event its message.
fn show(stream: Stream, line: &str) -> Option<String> {
    if line.is_empty() || line.starts_with(MARK) {
        return None;
    }
    match serde_json::from_str::<Value>(line) {
        Ok(event @ Value::Object(_)) if stream == Stream::Out => event::words(&event),
        _ => Some(line.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_result_is_the_last_object_and_the_mark() {
        let out = "{\"message\": \"working\"}\n{\"format\":1,\"exit\":0,\"transaction\":3,\"changed\":[\"a/b\"],\"effects\":7,\
                   \"checks\":[{\"id\":\"a\",\"passed\":true}],\"proof\":null}\nrehearsal-took 0 100.5 100.625\n";
        let act = parse(out, 255);
        assert_eq!((act.exit, act.ms, act.effects), (0, 125.0, Some(7)));
        assert_eq!(
            (act.changed.as_slice(), act.transaction.as_deref()),
            (&["a/b".to_owned()][..], Some("3"))
        );
        assert_eq!((act.checks().len(), act.proof()), (1, None));
    }

    #[test]
    fn an_installer_that_says_nothing_has_its_code() {
        let act = parse("", 4);
        assert_eq!((act.exit, act.effects, act.checks()), (4, None, Vec::new()));
    }

    #[test]
    fn talk_is_shown_by_lines_and_events_by_their_message() {
        let mut said = Said::default();
        assert!(said.hear(Stream::Err, b"half a ").is_empty());
        assert_eq!(said.hear(Stream::Err, b"line\nand"), ["half a line"]);
        assert_eq!(said.hear(Stream::Out, b"{\"message\":\"m\"}\n{\"exit\":0}\nplain\n"), ["m", "plain"]);
    }

    #[test]
    fn words_are_quoted_for_a_shell() {
        assert_eq!(quoted("--fail-at=a/b.c"), "--fail-at=a/b.c");
        assert_eq!(quoted("it's"), "'it'\\''s'");
        assert_eq!(quoted(""), "''");
    }
}
