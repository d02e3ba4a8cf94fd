//! Names as archives write them. Pure.

use chom_format::RelPath;

use super::error::UnpackError;

/// The path of an entry: `./usr/bin/x` and `usr/bin/x/` are `usr/bin/x`; none for the root of the archive.
pub(super) fn entry(raw: &[u8]) -> Result<Option<RelPath>, UnpackError> {
    let hostile = || UnpackError::Hostile(String::from_utf8_lossy(raw).chars().take(200).collect());
    let text = std::str::from_utf8(raw).map_err(|_| hostile())?;
    let mut text = text;
    while let Some(rest) = text.strip_prefix("./") {
        text = rest;
    }
    let text = text.trim_end_matches('/');
    if text.is_empty() && raw.starts_with(b"/") {
        return Err(hostile());
    }
    if text.is_empty() || text == "." {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| hostile())
}

/// Where a link of the archive leads, from the archive's root; none when that is outside of it.
pub(super) fn link(from: &RelPath, target: &str) -> Option<RelPath> {
    let mut parts: Vec<&str> = match target.strip_prefix('/') {
        Some(_) => Vec::new(),
        None => from.as_str().split('/').collect(),
    };
    if !target.starts_with('/') {
        parts.pop();
    }
    for part in target.split('/').filter(|part| !part.is_empty() && *part != ".") {
        match part {
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    parts.join("/").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries() {
        for (raw, path) in [("./usr/bin/x", "usr/bin/x"), ("usr/bin/", "usr/bin"), ("a", "a")] {
            assert_eq!(entry(raw.as_bytes()).unwrap().unwrap().as_str(), path);
        }
        for raw in ["./", "."] {
            assert!(entry(raw.as_bytes()).unwrap().is_none(), "{raw}");
        }
        for raw in ["/etc/passwd", "../x", "a/../../x", "a//b", "a\nb", "/", "a/./b"] {
            assert!(matches!(entry(raw.as_bytes()), Err(UnpackError::Hostile(_))), "{raw}");
        }
        assert!(entry(b"a\xff").is_err());
    }

    #[test]
    fn links() {
        let from: RelPath = "usr/bin/x".parse().unwrap();
        for (target, path) in [
            ("y", Some("usr/bin/y")),
            ("../lib/y", Some("usr/lib/y")),
            ("/etc/y", Some("etc/y")),
            ("./../../y", Some("y")),
            ("../../../y", None),
            ("/..", None),
            ("..", Some("usr")),
        ] {
            assert_eq!(link(&from, target).as_ref().map(RelPath::as_str), path, "{target}");
        }
    }
}
