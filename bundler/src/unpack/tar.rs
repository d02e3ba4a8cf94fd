//! Walks through a tar stream, such as a `.deb` gives or a `.tar.gz` holds.

use std::io::Read;

use tar::{Archive, EntryType};

use super::collect::Visitor;
use super::error::UnpackError;
use super::{Kind, name};

/// Shows every entry of a tar to `visitor`.
pub(crate) fn walk_tar(reader: impl Read, visitor: &mut Visitor<'_>) -> Result<(), UnpackError> {
    let mut archive = Archive::new(reader);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let Some(path) = name::entry(&entry.path_bytes())? else { continue };
        let target = entry.link_name_bytes().map(|target| String::from_utf8_lossy(&target).into_owned());
        let kind = match entry.header().entry_type() {
            EntryType::Regular | EntryType::Continuous => {
                Kind::File { executable: entry.header().mode()? & 0o111 != 0 }
            }
            EntryType::Symlink => Kind::Link(target.and_then(|target| name::link(&path, &target))),
            // A hard link names another entry from the root of the archive.
            EntryType::Link => {
                Kind::Link(target.and_then(|target| name::entry(target.as_bytes()).ok().flatten()))
            }
            _ => Kind::Other,
        };
        visitor.visit(path, kind, &mut entry)?;
    }
    // To the very end: a stream that breaks off in its padding is a damaged one.
    std::io::copy(&mut archive.into_inner(), &mut std::io::sink())?;
    Ok(())
}
