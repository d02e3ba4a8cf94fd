//! tar headers: encoded in one form (ustar, and one PAX record for a path that does not fit), and parsed.

use super::error::Refusal;
use super::{BLOCK, padding};
use crate::mode::Mode;

/// What a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
}

/// What a header says, with the top folder in the path and no trailing slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) path: String,
    pub(super) kind: Kind,
    pub(super) mode: Mode,
    pub(super) size: u64,
    pub(super) mtime: u64,
}

/// The largest number that the eleven octal digits of size and time hold.
pub(super) const LARGEST: u64 = 0o777_7777_7777;

// Long enough for the longest path that `RelPath` takes, with the record's own words.
pub(super) const LONGEST_PAX: u64 = 4096;
const PAX_NAME: &str = "././@PaxHeader";

impl Header {
    /// The header's blocks: one, or with an extended header before it.
    pub(super) fn encode(&self) -> Result<Vec<u8>, Refusal> {
        if self.size > LARGEST || self.mtime > LARGEST {
            return Err(Refusal::Number("size or time beyond the format"));
        }
        let name = match self.kind {
            Kind::File => self.path.clone(),
            Kind::Dir => format!("{}/", self.path),
        };
        let flag = match self.kind {
            Kind::File => b'0',
            Kind::Dir => b'5',
        };
        if let Some((prefix, rest)) = split(&name) {
            return Ok(block(prefix, rest, self.mode, self.size, self.mtime, flag));
        }
        let record = pax_record(&name);
        let length = record.len() as u64;
        if length > LONGEST_PAX {
            return Err(Refusal::TooLong);
        }
        let mut bytes = block("", PAX_NAME, Mode::from_bits(0o644), length, self.mtime, b'x');
        bytes.extend(record);
        bytes.resize(bytes.len() + padding(length) as usize, 0);
        bytes.extend(block("", cut(&name, 100), self.mode, self.size, self.mtime, flag));
        Ok(bytes)
    }
}

// Where the name is cut into ustar's prefix and name; none when it does not fit.
fn split(name: &str) -> Option<(&str, &str)> {
    if name.len() <= 100 {
        return Some(("", name));
    }
    name.match_indices('/')
        .filter_map(|(at, _)| Some((name.get(..at)?, name.get(at + 1..)?)))
        .find(|(prefix, rest)| prefix.len() <= 155 && rest.len() <= 100 && !rest.is_empty())
}

// At most so many bytes of a text, and no half character.
fn cut(text: &str, at_most: usize) -> &str {
    let end = (0..=at_most.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.get(..end).unwrap_or_default()
}

// `<length> path=<name>\n`, where the length counts itself.
fn pax_record(name: &str) -> Vec<u8> {
    let bare = " path=\n".len() + name.len();
    let mut length = bare;
    while length != bare + length.to_string().len() {
        length = bare + length.to_string().len();
    }
    format!("{length} path={name}\n").into_bytes()
}

/// The path in an extended header that holds this one record and nothing else.
pub(super) fn pax_path(payload: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(payload).ok()?;
    let (_, rest) = text.split_once(" path=")?;
    let name = rest.strip_suffix('\n')?;
    (pax_record(name) == payload).then(|| name.to_owned())
}

fn block(prefix: &str, name: &str, mode: Mode, size: u64, mtime: u64, flag: u8) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(BLOCK);
    let mut field = |text: &str, width: usize| {
        bytes.extend(text.bytes().take(width));
        bytes.resize(bytes.len() + width.saturating_sub(text.len()), 0);
    };
    field(name, 100);
    field(&format!("{:07o}", mode.bits()), 8);
    field("0000000", 8);
    field("0000000", 8);
    field(&format!("{size:011o}"), 12);
    field(&format!("{mtime:011o}"), 12);
    field("        ", 8);
    field(char::from(flag).encode_utf8(&mut [0; 4]), 1);
    field("", 100);
    field("ustar", 6);
    field("00", 2);
    field("", 64);
    field("0000000", 8);
    field("0000000", 8);
    field(prefix, 155);
    field("", 12);
    let sum: u32 = bytes.iter().copied().map(u32::from).sum();
    let sum = format!("{sum:06o}\0 ");
    bytes.splice(148..156, sum.into_bytes());
    bytes
}

/// A header block as it came, before it is believed.
pub(super) struct Raw<'a>(pub(super) &'a [u8; BLOCK]);

impl Raw<'_> {
    fn field(&self, at: usize, width: usize) -> &[u8] {
        self.0.get(at..at + width).unwrap_or_default()
    }

    // Up to the first NUL; what is behind it shows when the header is encoded again.
    fn text(&self, at: usize, width: usize) -> Result<&str, Refusal> {
        let field = self.field(at, width).split(|byte| *byte == 0).next().unwrap_or_default();
        std::str::from_utf8(field).map_err(|_| Refusal::Path("it is not UTF-8".to_owned()))
    }

    fn number(&self, at: usize, width: usize, what: &'static str) -> Result<u64, Refusal> {
        let digits = self.text(at, width).map_err(|_| Refusal::Number(what))?;
        let octal = !digits.is_empty() && digits.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
        u64::from_str_radix(digits, 8).ok().filter(|_| octal).ok_or(Refusal::Number(what))
    }

    /// Whether all of it is zero: half of an end mark.
    pub(super) fn is_zero(&self) -> bool {
        self.0.iter().all(|byte| *byte == 0)
    }

    /// Compares the stored sum with the bytes.
    pub(super) fn verify_sum(&self) -> Result<(), Refusal> {
        let sum: u64 = self.0.iter().copied().map(u64::from).sum();
        let stored: u64 = self.field(148, 8).iter().copied().map(u64::from).sum();
        let digits = std::str::from_utf8(self.field(148, 6)).unwrap_or_default();
        match u64::from_str_radix(digits, 8) {
            Ok(said) if said == sum - stored + 8 * u64::from(b' ') => Ok(()),
            _ => Err(Refusal::Checksum),
        }
    }

    /// The name as it stands, for messages and for [`Self::parse`].
    pub(super) fn name(&self) -> Result<String, Refusal> {
        let (prefix, name) = (self.text(345, 155)?, self.text(0, 100)?);
        Ok(if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") })
    }

    /// An extended header's length; none when the block is not one.
    pub(super) fn pax_length(&self) -> Result<Option<u64>, Refusal> {
        if self.field(156, 1) != b"x" {
            return Ok(None);
        }
        match self.number(124, 12, "size")? {
            length if (1..=LONGEST_PAX).contains(&length) => Ok(Some(length)),
            _ => Err(Refusal::Pax),
        }
    }

    /// The typed values, with the path from an extended header when there was one.
    pub(super) fn parse(&self, long_path: Option<String>) -> Result<Header, Refusal> {
        let kind = match self.field(156, 1) {
            b"0" => Kind::File,
            b"5" => Kind::Dir,
            b"1" => return Err(Refusal::Type("a hard link")),
            b"2" => return Err(Refusal::Type("a symbolic link")),
            b"3" | b"4" => return Err(Refusal::Type("a device")),
            b"6" => return Err(Refusal::Type("a fifo")),
            b"S" => return Err(Refusal::Type("a sparse file")),
            b"x" | b"g" | b"L" | b"K" => return Err(Refusal::Pax),
            _ => return Err(Refusal::Type("of an unknown type")),
        };
        let name = match long_path {
            Some(name) => name,
            None => self.name()?,
        };
        let path = match kind {
            Kind::File => name,
            Kind::Dir => name.strip_suffix('/').unwrap_or(&name).to_owned(),
        };
        let bits = self.number(100, 8, "mode")?;
        if bits & !0o777 != 0 {
            return Err(Refusal::SetId);
        }
        let size = self.number(124, 12, "size")?;
        if kind == Kind::Dir && size != 0 {
            return Err(Refusal::DirectoryContent);
        }
        let mode = Mode::from_bits(u32::try_from(bits).map_err(|_| Refusal::Number("mode"))?);
        Ok(Header { path, kind, mode, size, mtime: self.number(136, 12, "time")? })
    }
}
