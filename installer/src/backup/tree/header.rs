//! Headers: encoded in one form, and parsed.

use std::collections::BTreeMap;

use chom_format::{HostPath, Mode};

use super::entry::{Entry, Is};
use super::{BLOCK, padding};
use crate::sys::{Attrs, Stamp};

/// Extended headers are small: names and a few attributes of at most 64 KiB.
pub(super) const LONGEST: u64 = 1 << 20;

const XATTR: &str = "SCHILY.xattr.";
const NAME: usize = 100;
const OWNER: usize = 31;
const SMALL: u64 = 0o777_7777;
const LARGE: u64 = 0o777_7777_7777;

type Records = BTreeMap<String, Vec<u8>>;

/// The header's blocks.
pub(super) fn encode(entry: &Entry) -> Vec<u8> {
    let (records, block) = (records(entry), block(entry));
    if records.is_empty() {
        return block;
    }
    let payload: Vec<u8> = records.iter().flat_map(|(key, value)| record(key, value)).collect();
    let length = payload.len() as u64;
    let mut bytes =
        Fields { name: "././@PaxHeader", mode: 0o644, size: length, kind: b'x', ..Fields::default() }.block();
    bytes.extend(payload);
    bytes.resize(bytes.len() + padding(length), 0);
    bytes.extend(block);
    bytes
}

// What ustar has no room for.
fn records(entry: &Entry) -> Records {
    let mut records = Records::new();
    let mut add = |key: &str, value: Vec<u8>| drop(records.insert(key.to_owned(), value));
    let name = name(entry);
    if name.len() > NAME {
        add("path", name.into_bytes());
    }
    if let Is::Link(target) = &entry.is
        && target.len() > NAME
    {
        add("linkpath", target.clone().into_bytes());
    }
    if entry.size() > LARGE {
        add("size", entry.size().to_string().into_bytes());
    }
    for (key, number) in [("uid", entry.attrs.uid), ("gid", entry.attrs.gid)] {
        if u64::from(number) > SMALL {
            add(key, number.to_string().into_bytes());
        }
    }
    let Stamp { sec, nsec } = entry.attrs.mtime;
    if nsec != 0 || u64::try_from(sec).map_or(true, |sec| sec > LARGE) {
        add("mtime", time(sec, nsec).into_bytes());
    }
    for (name, value) in &entry.attrs.xattrs {
        add(&format!("{XATTR}{name}"), value.clone());
    }
    records
}

// Before 1970 the fraction still counts forward, as the kernel has it; a decimal number counts away from zero.
fn time(sec: i64, nsec: i64) -> String {
    match (sec < 0, nsec) {
        (_, 0) => sec.to_string(),
        (false, _) => format!("{sec}.{nsec:09}"),
        (true, _) => format!("-{}.{:09}", -(sec + 1), 1_000_000_000 - nsec),
    }
}

fn parse_time(text: &str) -> Option<Stamp> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
    let (sec, nsec) = digits.split_once('.').unwrap_or((digits, "0"));
    let (sec, nsec) = (sec.parse::<i64>().ok()?, nsec.parse::<i64>().ok()?);
    match (negative, nsec) {
        (false, _) => Some(Stamp { sec, nsec }),
        (true, 0) => Some(Stamp { sec: -sec, nsec: 0 }),
        (true, _) => Some(Stamp { sec: -sec - 1, nsec: 1_000_000_000_i64.checked_sub(nsec)? }),
    }
}

fn name(entry: &Entry) -> String {
    let name = entry.path.as_str().trim_start_matches('/');
    if entry.is == Is::Dir { format!("{name}/") } else { name.to_owned() }
}

fn block(entry: &Entry) -> Vec<u8> {
    let (kind, link) = match &entry.is {
        Is::Dir => (b'5', ""),
        Is::File(_) => (b'0', ""),
        Is::Link(target) => (b'2', target.as_str()),
    };
    let fits = |number: u64, most: u64| if number > most { 0 } else { number };
    Fields {
        name: cut(&name(entry), NAME),
        mode: entry.attrs.mode.bits(),
        uid: fits(entry.attrs.uid.into(), SMALL),
        gid: fits(entry.attrs.gid.into(), SMALL),
        size: fits(entry.size(), LARGE),
        mtime: fits(u64::try_from(entry.attrs.mtime.sec).unwrap_or(0), LARGE),
        kind,
        link: cut(link, NAME),
        user: cut(&entry.user, OWNER),
        group: cut(&entry.group, OWNER),
    }
    .block()
}

#[derive(Default)]
struct Fields<'a> {
    name: &'a str,
    mode: u32,
    uid: u64,
    gid: u64,
    size: u64,
    mtime: u64,
    kind: u8,
    link: &'a str,
    user: &'a str,
    group: &'a str,
}

impl Fields<'_> {
    fn block(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(BLOCK);
        let mut field = |text: &[u8], width: usize| {
            bytes.extend(text.iter().take(width));
            bytes.resize(bytes.len() + width.saturating_sub(text.len()), 0);
        };
        field(self.name.as_bytes(), NAME);
        field(format!("{:07o}", self.mode).as_bytes(), 8);
        field(format!("{:07o}", self.uid).as_bytes(), 8);
        field(format!("{:07o}", self.gid).as_bytes(), 8);
        field(format!("{:011o}", self.size).as_bytes(), 12);
        field(format!("{:011o}", self.mtime).as_bytes(), 12);
        field(b"        ", 8);
        field(&[self.kind], 1);
        field(self.link.as_bytes(), NAME);
        field(b"ustar", 6);
        field(b"00", 2);
        field(self.user.as_bytes(), 32);
        field(self.group.as_bytes(), 32);
        field(b"0000000", 8);
        field(b"0000000", 8);
        field(b"", 167);
        let sum: u32 = bytes.iter().copied().map(u32::from).sum();
        for (place, byte) in bytes.iter_mut().skip(148).zip(format!("{sum:06o}\0 ").bytes()) {
            *place = byte;
        }
        bytes
    }
}

// `<length> key=value\n`, where the length counts itself.
fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let bare = key.len() + value.len() + 3;
    let mut length = bare;
    while length != bare + length.to_string().len() {
        length = bare + length.to_string().len();
    }
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}

/// The records of an extended header.
pub(super) fn parse_records(mut payload: &[u8]) -> Option<Records> {
    let mut records = Records::new();
    while !payload.is_empty() {
        let blank = payload.iter().take(8).position(|byte| *byte == b' ')?;
        let length: usize = std::str::from_utf8(payload.get(..blank)?).ok()?.parse().ok()?;
        let line = payload.get(blank + 1..length)?.strip_suffix(b"\n")?;
        let equals = line.iter().position(|byte| *byte == b'=')?;
        let key = std::str::from_utf8(line.get(..equals)?).ok()?.to_owned();
        records.insert(key, line.get(equals + 1..)?.to_vec());
        payload = payload.get(length..)?;
    }
    Some(records)
}

/// The length of the extended header that this block announces, if it does.
pub(super) fn announces(block: &[u8; BLOCK]) -> Option<u64> {
    if block.get(156) != Some(&b'x') { None } else { octal(block, 124, 12) }
}

/// What a block says, with the records of the extended header before it.
pub(super) fn parse(block: &[u8; BLOCK], records: &Records) -> Option<Entry> {
    let word = |key: &str| records.get(key).map(|value| String::from_utf8(value.clone()).ok());
    let or = |key: &str, at: usize, width: usize| word(key).unwrap_or_else(|| text(block, at, width));
    let number = |key: &str, at: usize, width: usize| match word(key) {
        Some(text) => text?.parse::<u64>().ok(),
        None => octal(block, at, width),
    };
    let is = match block.get(156)? {
        b'5' => Is::Dir,
        b'0' => Is::File(number("size", 124, 12)?),
        b'2' => Is::Link(or("linkpath", 157, NAME)?),
        _ => return None,
    };
    let name = or("path", 0, NAME)?;
    let path: HostPath = format!("/{}", name.strip_suffix('/').unwrap_or(&name)).parse().ok()?;
    let mtime = match word("mtime") {
        Some(text) => parse_time(&text?)?,
        None => Stamp { sec: i64::try_from(octal(block, 136, 12)?).ok()?, nsec: 0 },
    };
    let xattr =
        |(key, value): (&String, &Vec<u8>)| Some((key.strip_prefix(XATTR)?.to_owned(), value.clone()));
    let attrs = Attrs {
        mode: Mode::from_bits(u32::try_from(octal(block, 100, 8)?).ok()?),
        uid: u32::try_from(number("uid", 108, 8)?).ok()?,
        gid: u32::try_from(number("gid", 116, 8)?).ok()?,
        mtime,
        xattrs: records.iter().filter_map(xattr).collect(),
    };
    Some(Entry { path, is, attrs, user: text(block, 265, 32)?, group: text(block, 297, 32)? })
}

fn text(block: &[u8; BLOCK], at: usize, width: usize) -> Option<String> {
    let field = block.get(at..at + width)?.split(|byte| *byte == 0).next()?;
    String::from_utf8(field.to_vec()).ok()
}

fn octal(block: &[u8; BLOCK], at: usize, width: usize) -> Option<u64> {
    u64::from_str_radix(&text(block, at, width)?, 8).ok()
}

// At most so many bytes of a text, and no half character.
fn cut(text: &str, at_most: usize) -> &str {
    let end = (0..=at_most.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.get(..end).unwrap_or_default()
}
