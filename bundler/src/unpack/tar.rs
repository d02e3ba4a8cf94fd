//! Walks through a tar stream, such as a `.deb` gives or a `.tar.gz` holds.
//!
//! Entries are read one by one as they lie there, and the headers that lengthen the next entry's name are read here:
//! the tar crate would read one of any size into memory.

use std::io::{self, Read};

use tar::{Archive, Entry, EntryType, PaxExtensions};

use super::collect::Visitor;
use super::error::UnpackError;
use super::{Kind, name};

/// The longest header before an entry. A path has 4 KiB; pax keeps times and attributes beside it.
const LONGEST_HEADER: u64 = 256 << 10;
/// What may follow the last entry: it fills up a tape's block.
const LONGEST_PADDING: u64 = 64 << 20;

/// Shows every entry of a tar to `visitor`.
pub(crate) fn walk_tar(reader: impl Read, visitor: &mut Visitor<'_>) -> Result<(), UnpackError> {
    let mut archive = Archive::new(reader);
    let mut longer = Longer::default();
    for entry in archive.entries()?.raw(true) {
        let mut entry = entry?;
        visitor.passes(entry.size())?;
        if longer.takes(&mut entry)? {
            continue;
        }
        let Longer { path, link } = std::mem::take(&mut longer);
        let raw = path.unwrap_or_else(|| entry.path_bytes().into_owned());
        let Some(path) = name::entry(&raw)? else { continue };
        let link = link.or_else(|| entry.link_name_bytes().map(std::borrow::Cow::into_owned));
        let target = link.map(|target| String::from_utf8_lossy(&target).into_owned());
        let kind = match entry.header().entry_type() {
            EntryType::Regular | EntryType::Continuous => {
                Kind::File { executable: entry.header().mode()? & 0o111 != 0 }
            }
            EntryType::Symlink => Kind::Link(target.and_then(|target| name::link(&path, &target))),
            // A hard link names another entry from the root of the archive.
            EntryType::Link => {
                Kind::Link(target.and_then(|target| name::entry(target.as_bytes()).ok().flatten()))
            }
            // What follows its header is no whole file, and may be longer than the header says.
            EntryType::GNUSparse => return Err(broken(format!("{path} is stored with holes"))),
            _ => Kind::Other,
        };
        visitor.visit(path, kind, &mut entry)?;
    }
    // To the very end: a stream that breaks off in its padding is a damaged one.
    let padding = io::copy(&mut archive.into_inner().take(LONGEST_PADDING + 1), &mut io::sink())?;
    if padding > LONGEST_PADDING {
        return Err(UnpackError::TooMuch { what: "bytes of padding", limit: LONGEST_PADDING });
    }
    Ok(())
}

/// What headers say of the entry that comes next.
#[derive(Default)]
struct Longer {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

impl Longer {
    /// Whether the entry is such a header, and was read.
    fn takes(&mut self, entry: &mut Entry<'_, impl Read>) -> Result<bool, UnpackError> {
        match entry.header().entry_type() {
            EntryType::GNULongName => self.path = Some(text(header(entry)?)),
            EntryType::GNULongLink => self.link = Some(text(header(entry)?)),
            EntryType::XHeader => self.read_pax(&header(entry)?)?,
            // Of all entries: no name, and nothing that a release needs.
            EntryType::XGlobalHeader => {}
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn read_pax(&mut self, bytes: &[u8]) -> Result<(), UnpackError> {
        for extension in PaxExtensions::new(bytes) {
            let extension = extension?;
            match extension.key_bytes() {
                b"path" => self.path = Some(extension.value_bytes().to_owned()),
                b"linkpath" => self.link = Some(extension.value_bytes().to_owned()),
                // Where the next header lies would depend on who reads it.
                b"size" => return Err(broken("a size is said twice".to_owned())),
                key if key.starts_with(b"GNU.sparse.") => {
                    return Err(broken("a file is stored with holes".to_owned()));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn header(entry: &mut Entry<'_, impl Read>) -> Result<Vec<u8>, UnpackError> {
    if entry.size() > LONGEST_HEADER {
        return Err(UnpackError::TooMuch { what: "bytes in the header of an entry", limit: LONGEST_HEADER });
    }
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes)?;
    Ok(bytes)
}

// It ends with a zero.
fn text(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.last() == Some(&0) {
        bytes.pop();
    }
    bytes
}

fn broken(why: String) -> UnpackError {
    UnpackError::Broken(io::Error::other(why))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::cache::Cache;
    use crate::unpack::{Limits, Want, collect};

    fn entry(kind: EntryType, name: &str, body: &[u8], size: u64) -> Vec<u8> {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_mode(0o644);
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        let mut bytes = header.as_bytes().to_vec();
        bytes.extend(body);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    }

    fn whole(kind: EntryType, name: &str, body: &[u8]) -> Vec<u8> {
        entry(kind, name, body, body.len() as u64)
    }

    fn pax(key: &str, value: &str) -> Vec<u8> {
        let rest = format!(" {key}={value}\n");
        let length =
            (rest.len() + 1..).find(|length| length.to_string().len() + rest.len() == *length).unwrap();
        whole(EntryType::XHeader, "PaxHeader", format!("{length}{rest}").as_bytes())
    }

    fn taken(parts: &[Vec<u8>], then: impl Read) -> Result<Vec<String>, UnpackError> {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        let bytes = parts.concat();
        let wants = BTreeSet::from([Want::parse("t/").unwrap()]);
        let mut then = Some(then);
        let limits = Limits { members: 10, bytes: 8 << 20 };
        let found =
            collect(&cache, &wants, limits, |visitor| walk_tar(bytes.chain(then.take().unwrap()), visitor))?;
        Ok(found.members.keys().map(ToString::to_string).collect())
    }

    #[test]
    fn longer_names_are_those_of_the_next_entry_alone() {
        let long = format!("t/{}", "n".repeat(200));
        let file = |name: &str| whole(EntryType::Regular, name, b"x");
        let end = vec![0; 1024];
        for header in [
            whole(EntryType::GNULongName, "././@LongLink", format!("{long}\0").as_bytes()),
            pax("path", &long),
        ] {
            let global = whole(EntryType::XGlobalHeader, "pax_global_header", b"52 comment=x\n");
            let parts = [global, header, file("t/short"), file("t/b"), end.clone()];
            assert_eq!(taken(&parts, io::empty()).unwrap(), ["t/b", long.as_str()]);
        }
        let link = whole(EntryType::Symlink, "t/link", b"");
        let parts = [file("t/b"), pax("linkpath", "b"), link, end];
        assert_eq!(taken(&parts, io::empty()).unwrap(), ["t/b", "t/link"]);
    }

    #[test]
    fn what_would_fill_the_memory_or_has_no_end_is_refused() {
        let endless = || io::repeat(0).take(4 << 30);
        let file = || whole(EntryType::Regular, "t/a", b"x");
        for kind in [EntryType::GNULongName, EntryType::GNULongLink, EntryType::XHeader] {
            let error = taken(&[entry(kind, "t/x", b"", 2 << 30)], endless()).unwrap_err();
            assert!(matches!(error, UnpackError::TooMuch { .. }), "{kind:?}: {error}");
            let error = taken(&[entry(kind, "t/x", b"", 7 << 20)], endless()).unwrap_err();
            assert!(error.to_string().contains("in the header of an entry"), "{kind:?}: {error}");
        }
        let error = taken(&[entry(EntryType::Regular, "other", b"", 1 << 40)], endless()).unwrap_err();
        assert!(matches!(error, UnpackError::TooMuch { what: "bytes", .. }), "{error}");
        let error = taken(&[file(), vec![0; 1024]], endless()).unwrap_err();
        assert!(error.to_string().contains("padding"), "{error}");
        for (part, why) in [
            (whole(EntryType::GNUSparse, "t/a", b"x"), "holes"),
            (pax("GNU.sparse.major", "1"), "holes"),
            (pax("size", "5"), "said twice"),
        ] {
            let error = taken(&[part, file()], io::empty()).unwrap_err();
            assert!(error.to_string().contains(why), "{error}");
        }
    }
}
