//! `SHA256SUMS`: what plain `sha256sum -c` reads, and the first thing that the installer checks.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::digest::Digest;
use crate::path::RelPath;

/// Why a text is not a list of digests.
#[derive(Debug, thiserror::Error)]
pub enum SumsError {
    /// A line that is not `digest, two spaces, path`.
    #[error("SHA256SUMS line {0} is not `<sha256>  <path>`")]
    Line(usize),
    /// One path, two digests.
    #[error("SHA256SUMS line {0} names `{1}` a second time")]
    Duplicate(usize, RelPath),
}

/// Every file of a bundle but `SHA256SUMS` and its signature, with its digest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sums(pub BTreeMap<RelPath, Digest>);

impl Sums {
    /// Reads the text form.
    pub fn parse(text: &str) -> Result<Self, SumsError> {
        let mut sums = BTreeMap::new();
        for (number, line) in (1..).zip(text.lines()) {
            let (digest, path) = line.split_once("  ").ok_or(SumsError::Line(number))?;
            let digest = digest.parse().map_err(|_| SumsError::Line(number))?;
            let path: RelPath = path.parse().map_err(|_| SumsError::Line(number))?;
            if sums.insert(path.clone(), digest).is_some() {
                return Err(SumsError::Duplicate(number, path));
            }
        }
        Ok(Self(sums))
    }

    /// Writes the text form, sorted by path.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for (path, digest) in &self.0 {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{digest}  {path}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        let sums = Sums(BTreeMap::from([("manifest.json".parse().unwrap(), Digest::of(b"x"))]));
        assert_eq!(Sums::parse(&sums.to_text()).unwrap(), sums);
    }

    #[test]
    fn hostile_lines_are_refused() {
        let digest = Digest::of(b"");
        for line in ["x", &format!("{digest} a"), &format!("{digest}  ../a"), &format!("{digest}  /a")] {
            assert!(matches!(Sums::parse(line), Err(SumsError::Line(1))), "{line}");
        }
        let twice = format!("{digest}  a\n{digest}  a\n");
        assert!(matches!(Sums::parse(&twice), Err(SumsError::Duplicate(2, _))));
    }
}
