//! A file with its whole content: shown as a unified diff, written by one rename.

use std::io::Read as _;

use chom_format::step::FileSpec;

use super::kind::{Stated, USUAL};
use super::owners::Owners;
use super::place::{attr_lines, change, fresh, in_the_way, kind, parent_is_missing};
use super::{Change, Context, Decision, Step, StepError, Upcoming};
use crate::redact;
use crate::resource::Resource;
use crate::sys::{Attrs, Effect, Kind, Of, PathState, Source, Sys, SysError, bytes_of, look, outside};

// A longer text is a payload, and nobody reads its diff.
const LONGEST_TEXT: usize = 256 * 1024;

/// See [`FileSpec`].
pub(super) struct FileStep(pub FileSpec);

/// See [`Stated`].
pub(super) fn stated(spec: &FileSpec) -> Stated<'_> {
    Stated {
        deadline: USUAL,
        owns: vec![&spec.path],
        writes: vec![&spec.path],
        unit: None,
        needs: &[],
        brings_bytes: true,
    }
}

impl Step for FileStep {
    fn decide(&self, sys: &dyn Sys, context: &Context) -> Result<Decision, StepError> {
        let spec = &self.0;
        if let Some(refusal) = parent_is_missing(sys, &spec.path, context)? {
            return Ok(refusal);
        }
        let owners = Owners::read(sys, context)?;
        let owning = owners.owning(&spec.owner, context)?;
        let wanted = format!("{}:{}", spec.owner.user, spec.owner.group);
        let lines = |now: &Attrs| attr_lines(now, spec.mode, owning, &wanted, &owners);
        let (verb, mut diff) = match look(sys, &spec.path)? {
            PathState::File { sha256, attrs, .. } if sha256 == spec.content.sha256 => match lines(&attrs) {
                lines if lines.is_empty() => {
                    return Ok(Decision::Keep { why: "same content, mode and owner".into() });
                }
                lines => ("set", lines),
            },
            PathState::File { attrs, .. } => ("replace", lines(&attrs)),
            PathState::Absent => ("create", vec![format!("mode {}, owner {wanted}", spec.mode)]),
            PathState::Link { target, .. } => ("replace", vec![format!("it was a link to {target}")]),
            other @ (PathState::Dir { .. } | PathState::Special { .. }) => {
                return Ok(in_the_way(&spec.path, &other, "a file"));
            }
        };
        if verb != "set" {
            diff.extend(self.content_diff(sys, context)?);
        }
        let summary = format!("{} {}", spec.path, summary(verb, spec));
        Ok(Decision::Change(change(verb, summary, &spec.path, Upcoming::File(spec.content.clone()), diff)))
    }

    fn touches(&self, _: &dyn Sys, _: &Context, _: &Change) -> Result<Vec<Resource>, StepError> {
        Ok(vec![Resource::Path { path: self.0.path.clone(), data: false }])
    }

    fn apply(&self, sys: &mut dyn Sys, context: &Context, _: &Change) -> Result<(), StepError> {
        let spec = &self.0;
        let ids = Owners::read(sys, context)?.ids(&spec.owner)?;
        let attrs = fresh(spec.mode, ids);
        match look(sys, &spec.path)? {
            PathState::File { sha256, attrs: now, .. } if sha256 == spec.content.sha256 => {
                let attrs = Attrs { mtime: now.mtime, xattrs: now.xattrs, ..attrs };
                let of = Of::File(sha256);
                sys.effect(&Effect::SetAttrs { path: &spec.path, attrs: &attrs, of })?;
            }
            // A package may have brought something else to this place since the plan was made.
            other @ (PathState::Dir { .. } | PathState::Special { .. }) => {
                let what = format!("{} is {}, and a file is to be there", spec.path, kind(&other));
                return Err(StepError::Refused { what, hint: None });
            }
            PathState::File { .. } | PathState::Link { .. } | PathState::Absent => {
                let from = spec.content.from.under(&context.bundle);
                let source = Source::File { file: &from, sha256: spec.content.sha256 };
                sys.effect(&Effect::Write { path: &spec.path, source, attrs: &attrs })?;
            }
        }
        Ok(())
    }

    fn paths(&self) -> Vec<chom_format::HostPath> {
        vec![self.0.path.clone()]
    }
}

impl FileStep {
    fn content_diff(&self, sys: &dyn Sys, context: &Context) -> Result<Vec<String>, StepError> {
        let spec = &self.0;
        if redact::is_secret(&spec.path, spec.mode) {
            return Ok(vec![format!("content differs (not shown: mode {})", spec.mode)]);
        }
        let size = match sys.meta(&spec.path)? {
            Some(meta) if meta.kind == Kind::File => meta.size,
            _ => 0,
        };
        // Whoever owns what is there decides how large it is.
        if size.max(spec.content.size) > LONGEST_TEXT as u64 {
            return Ok(vec![format!("content differs: {size} bytes -> {} bytes", spec.content.size)]);
        }
        let before = if size > 0 { bytes_of(sys, &spec.path)?.unwrap_or_default() } else { Vec::new() };
        let from = spec.content.from.under(&context.bundle);
        let mut after = Vec::new();
        let read = outside(&from).and_then(|file| file.take(LONGEST_TEXT as u64 + 1).read_to_end(&mut after));
        read.map_err(SysError::io("read", from.display()))?;
        Ok(diff(&before, &after))
    }
}

fn summary(verb: &str, spec: &FileSpec) -> String {
    match verb {
        "set" => format!("gets mode {} and owner {}:{}", spec.mode, spec.owner.user, spec.owner.group),
        _ => format!("({} bytes)", spec.content.size),
    }
}

/// The difference between two contents, line by line where both are text.
pub(super) fn diff(before: &[u8], after: &[u8]) -> Vec<String> {
    let (Some(before), Some(after)) = (text(before), text(after)) else {
        return vec![format!("binary, {} bytes -> {} bytes", before.len(), after.len())];
    };
    chom_format::diff::unified(before, after).lines().map(masked).collect()
}

fn masked(line: &str) -> String {
    match line.split_at_checked(1) {
        Some((sign @ ("+" | "-" | " "), rest)) => format!("{sign}{}", redact::text(rest)),
        _ => line.to_owned(),
    }
}

fn text(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    (bytes.len() <= LONGEST_TEXT && !text.contains('\0')).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_shown_line_by_line() {
        let lines = diff(b"a\nb\nc\n", b"a\nB\nc\n");
        assert_eq!(lines, ["@@ -1,3 +1,3 @@", " a", "-b", "+B", " c"]);
        assert_eq!(diff(b"", b"a\n"), ["@@ -0,0 +1,1 @@", "+a"]);
    }

    #[test]
    fn what_is_no_text_is_counted() {
        assert_eq!(diff(b"\x7fELF\0", b"abc"), ["binary, 5 bytes -> 3 bytes"]);
        assert_eq!(diff(b"", &vec![b'x'; LONGEST_TEXT + 1]), ["binary, 0 bytes -> 262145 bytes"]);
    }

    #[test]
    fn secrets_in_a_diff_are_masked() {
        let lines = diff(b"user: a\npassword: old\n", b"user: a\npassword: new\n");
        assert_eq!(lines, ["@@ -1,2 +1,2 @@", " user: a", "-password: [redacted]", "+password: [redacted]"]);
    }
}
