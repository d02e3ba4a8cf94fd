//! Foreign text for a person's eyes: what would move the cursor, hide, or turn the order of letters round is written
//! out. Both programs' printers let nothing past it but styles of their own.
//!
//! A file's content in a diff, a host's error message or a path may hold `ESC [ 7 A`, and a terminal obeys. Line ends
//! and tabs stay: the printers lay text out with them.

use std::borrow::Cow;
use std::fmt::Write as _;

/// The text, with each character that a terminal would obey instead of showing as `\u{1b}`.
pub fn shown(text: &str) -> Cow<'_, str> {
    written_out(
        text,
        |c| !matches!(c, '\n' | '\t') && is_unseen(c),
        |out, c| {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
        },
    )
}

/// The same for a JSON document: it stays the same document. Its own line ends stay, and strings have none.
pub fn shown_json(document: &str) -> Cow<'_, str> {
    written_out(
        document,
        |c| !matches!(c, '\n' | '\t' | '\r') && is_unseen(c),
        |out, c| {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        },
    )
}

// C0, DEL, C1; bidirectional controls; line and paragraph separators; what is deprecated or marks other text; tags.
fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || matches!(c, '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

fn written_out(text: &str, wanted: impl Fn(char) -> bool, write: impl Fn(&mut String, char)) -> Cow<'_, str> {
    if !text.contains(&wanted) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if wanted(c) { write(&mut out, c) } else { out.push(c) }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_written_out() {
        for (text, seen) in [
            ("a\u{1b}[7A\u{1b}[0Jb", "a\\u{1b}[7A\\u{1b}[0Jb"),
            ("\r\u{8}\u{7f}\0\u{9b}2J", "\\u{d}\\u{8}\\u{7f}\\u{0}\\u{9b}2J"),
            ("/etc/\u{202e}fdp", "/etc/\\u{202e}fdp"),
            (
                "\u{61c}\u{200e}\u{200f}\u{202a}\u{2066}\u{2069}",
                "\\u{61c}\\u{200e}\\u{200f}\\u{202a}\\u{2066}\\u{2069}",
            ),
            ("\u{2028}\u{feff}\u{e0041}", "\\u{2028}\\u{feff}\\u{e0041}"),
        ] {
            assert_eq!(shown(text), seen);
            assert_eq!(shown(seen), seen, "twice is once");
        }
    }

    #[test]
    fn what_a_person_reads_stays() {
        for text in ["", "two\nlines\tand a tab\n", "äöü €, 日本, אבג, 👩\u{200d}🔧", "\\u{1b}"]
        {
            assert!(matches!(shown(text), Cow::Borrowed(same) if same == text), "{text}");
        }
    }

    #[test]
    fn json_stays_the_same_document() {
        let all: String = (0..=0xffff_u32).chain([0xe0041, 0x1f600]).filter_map(char::from_u32).collect();
        for document in [serde_json::to_string(&all).unwrap(), serde_json::to_string_pretty(&[&all]).unwrap()]
        {
            let seen = shown_json(&document);
            assert!(!seen.contains(|c| c != '\n' && is_unseen(c)));
            let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
            assert_eq!(read(&seen), read(&document));
        }
        assert_eq!(shown_json("\"\u{202e}\u{e0041}\""), "\"\\u202e\\udb40\\udc41\"");
    }
}
