//! Files and directories. What changes while it is read is told: half of the old and half of the new is neither.

use std::io::{self, Write};

use super::super::tree::{Is, Walk, Writer};
use crate::sys::{Sys, SysError};

/// Writes a tree of what was found.
pub fn read(sys: &dyn Sys, walk: &Walk, out: &mut dyn Write) -> Result<(), SysError> {
    let mut writer = Writer::new(out);
    for (entry, _) in &walk.entries {
        let put = match &entry.is {
            Is::File(_) if sys.meta(&entry.path)?.is_none() => return Err(changed(&entry.path)),
            Is::File(_) => writer.entry(entry, &mut *sys.open(&entry.path)?),
            Is::Dir | Is::Link(_) => writer.entry(entry, &mut io::empty()),
        };
        put.map_err(SysError::io("back up", &entry.path))?;
    }
    writer.finish().map_err(SysError::io("back up", "the end of the files"))?;
    for (entry, then) in &walk.entries {
        if sys.meta(&entry.path)?.is_none_or(|now| now != *then) {
            return Err(changed(&entry.path));
        }
    }
    Ok(())
}

const CHANGED: &str = "it changed while it was read: exclude it, or back it up when nobody writes to it";

fn changed(path: &chom_format::HostPath) -> SysError {
    SysError::other("back up", path, CHANGED)
}

/// Whether it is worth another try.
pub fn is_changed(error: &SysError) -> bool {
    let SysError::Io { operation: "back up", source, .. } = error else { return false };
    source.kind() == io::ErrorKind::InvalidData || source.to_string() == CHANGED
}
