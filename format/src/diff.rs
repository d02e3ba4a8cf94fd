//! How two texts differ, line by line, as both programs show it.

use std::fmt;

use imara_diff::{Algorithm, Diff, InternedInput, Interner, Token, UnifiedDiffConfig, UnifiedDiffPrinter};

/// A unified diff with three lines of context and without a header; empty when the texts are equal.
pub fn unified(before: &str, after: &str) -> String {
    let input = InternedInput::new(before, after);
    let config = UnifiedDiffConfig::default();
    compute(&input).unified_diff(&Printer(&input.interner), config, &input).to_string()
}

/// What was done to a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edit {
    /// It was there.
    Gone,
    /// It is there.
    New,
}

/// The lines that differ, with their number from 0 in the text that has them.
pub fn lines<'a>(before: &'a str, after: &'a str) -> Vec<(Edit, usize, &'a str)> {
    let input = InternedInput::new(before, after);
    let diff = compute(&input);
    let side = |edit, tokens: &[Token], range: std::ops::Range<u32>| {
        let lines = tokens.iter().enumerate().skip(range.start as usize).take(range.len());
        lines.map(|(number, token)| (edit, number, input.interner[*token])).collect::<Vec<_>>()
    };
    let hunk = |hunk: imara_diff::Hunk| {
        [side(Edit::Gone, &input.before, hunk.before), side(Edit::New, &input.after, hunk.after)].concat()
    };
    diff.hunks().flat_map(hunk).collect()
}

fn compute(input: &InternedInput<&str>) -> Diff {
    let mut diff = Diff::compute(Algorithm::Histogram, input);
    // Moves hunks to where a person would have made the cut.
    diff.postprocess_lines(input);
    diff
}

/// Prints as `diff -u` does. The library's own printer does not tell a missing newline at the end.
struct Printer<'a>(&'a Interner<&'a str>);

impl Printer<'_> {
    fn line(&self, f: &mut impl fmt::Write, sign: char, token: Token) -> fmt::Result {
        let line = self.0[token];
        write!(f, "{sign}{line}")?;
        if line.ends_with('\n') { Ok(()) } else { f.write_str("\n\\ No newline at end of file\n") }
    }
}

impl UnifiedDiffPrinter for Printer<'_> {
    fn display_header(
        &self,
        mut f: impl fmt::Write,
        start_before: u32,
        start_after: u32,
        len_before: u32,
        len_after: u32,
    ) -> fmt::Result {
        // Of an empty side the line before it is named.
        let start = |start: u32, len: u32| if len == 0 { start } else { start + 1 };
        let (before, after) = (start(start_before, len_before), start(start_after, len_after));
        writeln!(f, "@@ -{before},{len_before} +{after},{len_after} @@")
    }

    fn display_context_token(&self, mut f: impl fmt::Write, token: Token) -> fmt::Result {
        self.line(&mut f, ' ', token)
    }

    fn display_hunk(&self, mut f: impl fmt::Write, before: &[Token], after: &[Token]) -> fmt::Result {
        before.iter().try_for_each(|token| self.line(&mut f, '-', *token))?;
        after.iter().try_for_each(|token| self.line(&mut f, '+', *token))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_diff_u_prints_it() {
        assert_eq!(unified("a\nb\nc\n", "a\nB\nc\n"), "@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n");
        assert_eq!(unified("", "a\n"), "@@ -0,0 +1,1 @@\n+a\n");
        assert_eq!(unified("a\n", ""), "@@ -1,1 +0,0 @@\n-a\n");
        assert_eq!(unified("a\n", "a"), "@@ -1,1 +1,1 @@\n-a\n+a\n\\ No newline at end of file\n");
        assert_eq!(unified("a\n", "a\n"), "");
    }

    #[test]
    fn context_is_three_lines() {
        let before: String = (1..=20).map(|n| format!("{n}\n")).collect();
        let after = before.replace("10\n", "ten\n");
        assert_eq!(unified(&before, &after), "@@ -7,7 +7,7 @@\n 7\n 8\n 9\n-10\n+ten\n 11\n 12\n 13\n");
    }

    #[test]
    fn lines_that_differ() {
        let expected = [(Edit::Gone, 1, "b\n"), (Edit::New, 1, "B\n"), (Edit::New, 3, "d")];
        assert_eq!(lines("a\nb\nc\n", "a\nB\nc\nd"), expected);
        assert_eq!(lines("x", "x"), []);
    }
}
