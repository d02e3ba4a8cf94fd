//! One mistake in a file that a person wrote: where, what, and what mends it.
//!
//! Every reader here collects problems and goes on, so that one run tells all of them. A problem never quotes a
//! line that may hold a secret.

use std::fmt;

use chom_format::exit::Explain;
use chom_format::{Exit, HostState};
use serde::Serialize;

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Problem {
    /// The file, the environment variable or the option.
    pub file: Box<str>,
    /// From 1; 0 when the problem has no place in a file.
    pub line: usize,
    /// From 1, in characters; 0 when the problem has no place in a file.
    pub column: usize,
    /// The dotted key, empty when the whole file is meant.
    pub key: Box<str>,
    /// What is wrong.
    pub message: Box<str>,
    /// What mends it.
    pub remedy: Box<str>,
    /// The line of the file, unless it may hold a secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub excerpt: Option<String>,
}

impl Problem {
    /// A problem with a whole file or option.
    pub fn whole(file: impl Into<String>, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::at(file, (0, 0), "", message, remedy)
    }

    /// A problem at a line and column.
    pub fn at(
        file: impl Into<String>,
        (line, column): (usize, usize),
        key: impl Into<String>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            file: file.into().into_boxed_str(),
            line,
            column,
            key: key.into().into_boxed_str(),
            message: message.into().into_boxed_str(),
            remedy: remedy.into().into_boxed_str(),
            excerpt: None,
        }
    }

    /// The same with its line of `text`, unless line or key may hold a secret.
    #[must_use]
    pub fn with_excerpt(mut self, text: &str) -> Self {
        let line = self.line.checked_sub(1).and_then(|index| text.lines().nth(index));
        self.excerpt = line
            .filter(|line| {
                !may_hold_secret(line) && !may_hold_secret(&self.key) && line.chars().count() <= 160
            })
            .map(|line| line.trim_end().to_owned());
        self
    }
}

/// Whether a key or line may speak of a secret, and so must not be quoted.
pub fn may_hold_secret(text: &str) -> bool {
    let text = text.to_lowercase();
    ["pass", "secret", "token", "credential", "apikey", "api_key", "private", "webhook"]
        .iter()
        .any(|word| text.contains(word))
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.message)?,
            line => write!(f, "{}:{line}:{}: {}", self.file, self.column, self.message)?,
        }
        if let Some(excerpt) = &self.excerpt {
            let indent = self.column.saturating_sub(1);
            write!(f, "\n  {:>4} | {excerpt}\n       | {:indent$}^", self.line, "")?;
        }
        if !self.remedy.is_empty() {
            write!(f, "\n       = {}", self.remedy)?;
        }
        Ok(())
    }
}

/// All mistakes of one run, in the order of the files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// The problems if there are any, sorted by place, each once.
    pub fn check(mut found: Vec<Problem>) -> Result<(), Self> {
        found.sort();
        found.dedup();
        if found.is_empty() { Ok(()) } else { Err(Self(found)) }
    }

    /// One by one.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.0.len() == 1 { "problem" } else { "problems" };
        write!(f, "{} {plural}", self.0.len())?;
        self.0.iter().try_for_each(|problem| write!(f, "\n{problem}"))
    }
}

impl std::error::Error for Problems {}

impl Explain for Problems {
    fn exit(&self) -> Exit {
        Exit::BadInput
    }

    fn host(&self) -> HostState {
        HostState::NotConcerned
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_may_hold_a_secret_is_not_quoted() {
        let text = "a: 1\nsmtp_password: hunter2\n";
        let shown = Problem::at("f", (1, 1), "a", "m", "r").with_excerpt(text);
        assert_eq!(shown.to_string(), "f:1:1: m\n     1 | a: 1\n       | ^\n       = r");
        let hidden = Problem::at("f", (2, 1), "b", "m", "r").with_excerpt(text);
        assert_eq!(hidden.to_string(), "f:2:1: m\n       = r");
    }

    #[test]
    fn problems_are_told_once_and_in_order() {
        let late = Problem::at("f", (9, 1), "", "late", "");
        let early = Problem::at("f", (2, 1), "", "early", "");
        let all = Problems::check(vec![late.clone(), early, late]).unwrap_err();
        assert_eq!(all.to_string(), "2 problems\nf:2:1: early\nf:9:1: late");
        assert!(Problems::check(Vec::new()).is_ok());
    }
}
