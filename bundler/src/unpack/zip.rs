//! Walks through a zip file.

use std::io::{self, Read, Seek};

use zip::ZipArchive;

use super::collect::Visitor;
use super::error::UnpackError;
use super::{Kind, name};

// A link's text is a path.
const LONGEST_LINK: u64 = 4096;

/// Shows every entry of a zip to `visitor`.
pub(crate) fn walk_zip(reader: impl Read + Seek, visitor: &mut Visitor<'_>) -> Result<(), UnpackError> {
    let broken = |error: zip::result::ZipError| UnpackError::Broken(io::Error::other(error));
    let mut archive = ZipArchive::new(reader).map_err(broken)?;
    visitor.counts(archive.len() as u64)?;
    for index in 0..archive.len() {
        let mut file = archive.by_index(index).map_err(broken)?;
        let Some(path) = name::entry(file.name_raw())? else { continue };
        let kind = if file.is_symlink() {
            let mut target = String::new();
            file.by_ref().take(LONGEST_LINK).read_to_string(&mut target)?;
            Kind::Link(name::link(&path, &target))
        } else if file.is_file() {
            // Archives made on other systems carry no modes; their programs are known by the component file.
            Kind::File { executable: file.unix_mode().is_some_and(|mode| mode & 0o111 != 0) }
        } else {
            Kind::Other
        };
        visitor.visit(path, kind, &mut file)?;
    }
    Ok(())
}
