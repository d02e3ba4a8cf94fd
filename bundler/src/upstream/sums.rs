//! Lists of checksums as projects publish them. Pure.

use chom_format::Digest;

/// The sha256 that a list gives for a file: `<digest>  <name>`, `<digest> *<name>`, `SHA256 (<name>) = <digest>`,
/// or a list that is one digest and nothing else. None when there is none, or when two lines disagree.
pub(super) fn digest_of(text: &str, file: &str) -> Option<Digest> {
    if let Ok(only) = text.trim().to_ascii_lowercase().parse() {
        return Some(only);
    }
    let mut found = None;
    for digest in text.lines().filter_map(|line| line_digest(line.trim(), file)) {
        if found.is_some_and(|before| before != digest) {
            return None;
        }
        found = Some(digest);
    }
    found
}

fn line_digest(line: &str, file: &str) -> Option<Digest> {
    let (digest, name) = match line.strip_prefix("SHA256 (").and_then(|rest| rest.split_once(") = ")) {
        Some((name, digest)) => (digest, name),
        None => line.split_once(char::is_whitespace)?,
    };
    let name = name.trim().trim_start_matches('*');
    let last = name.rsplit('/').next().unwrap_or(name);
    if last == file { digest.trim().to_ascii_lowercase().parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_notations_of_projects() {
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        let upper = a.to_string().to_uppercase();
        let text = |text: String| digest_of(&text, "p-1.linux-amd64.tar.gz");
        for list in [
            format!("{b}  p-1.linux-arm64.tar.gz\n{a}  p-1.linux-amd64.tar.gz\n"),
            format!("{a} *p-1.linux-amd64.tar.gz\r\n"),
            format!("{a}  ./dist/p-1.linux-amd64.tar.gz"),
            format!("SHA256 (p-1.linux-amd64.tar.gz) = {a}"),
            format!("{upper}  p-1.linux-amd64.tar.gz"),
            format!("{a}\n"),
        ] {
            assert_eq!(text(list.clone()), Some(a), "{list}");
        }
        for list in [
            String::new(),
            format!("{a}  p-1.linux-amd64.tar.gz.sig\n"),
            format!("{a}  p-1.linux-amd64.tar.gz\n{b}  p-1.linux-amd64.tar.gz\n"),
            "da39a3ee5e6b4b0d3255bfef95601890afd80709  p-1.linux-amd64.tar.gz\n".to_owned(),
            "<html>log in first</html>".to_owned(),
        ] {
            assert_eq!(text(list.clone()), None, "{list}");
        }
    }
}
