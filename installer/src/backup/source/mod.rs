//! The kinds of things that are backed up: how each is measured, read, and looked at afterwards.
//!
//! Databases are read over their local sockets by their own programs, as a snapshot that is true of one moment. What a
//! program writes goes through this process to the backup and never to a place beside it.

pub mod paths;

use std::io::Write;
use std::time::Duration;

use chom_format::DatabaseName;
use chom_format::backup::{BackupPart, BackupSource};

use super::tree::Walk;
use crate::database::{finished, mariadb, postgresql, redis};
use crate::sys::{Sys, SysError};

/// A part as it is just before it is read.
#[derive(Debug)]
pub struct Measured {
    /// What will be read at most, in bytes; of a database what it says of its own size.
    pub bytes: u64,
    /// What lies on the disk, for a part of paths.
    pub walk: Walk,
    /// Which databases, for a part that may have several.
    pub databases: Vec<DatabaseName>,
}

impl Measured {
    fn of(bytes: u64) -> Self {
        Self { bytes, walk: Walk::default(), databases: Vec::new() }
    }
}

/// How large a part is now. Changes nothing.
pub fn measure(sys: &dyn Sys, part: &BackupPart) -> Result<Measured, SysError> {
    match &part.source {
        BackupSource::Paths(source) => {
            let walk = super::tree::walk(sys, source)?;
            Ok(Measured { bytes: walk.size(), walk, databases: Vec::new() })
        }
        BackupSource::Postgresql(source) => Ok(Measured::of(postgresql::measure(sys, source)?)),
        BackupSource::Mariadb(source) => {
            let (databases, bytes) = mariadb::measure(sys, source)?;
            Ok(Measured { databases, ..Measured::of(bytes) })
        }
        BackupSource::Redis(source) => Ok(Measured::of(redis::measure(sys, source)?)),
    }
}

/// Reads a part, in clear.
pub fn read(
    sys: &dyn Sys,
    part: &BackupPart,
    measured: &Measured,
    out: &mut dyn Write,
) -> Result<(), SysError> {
    let timeout = Duration::from_secs(u64::from(part.timeout_s));
    let command = match &part.source {
        BackupSource::Paths(_) => return paths::read(sys, &measured.walk, out),
        BackupSource::Postgresql(source) => postgresql::dump(source),
        // The program has no words for a server without databases.
        BackupSource::Mariadb(_) if measured.databases.is_empty() => {
            return out.write_all(mariadb::EMPTY).map_err(SysError::io("write", &part.name));
        }
        BackupSource::Mariadb(source) => mariadb::dump(source, &measured.databases),
        BackupSource::Redis(source) => return redis::read(sys, source, timeout, out),
    };
    let command = command.timeout(timeout);
    let output = sys.stream(&command, out)?;
    finished(&command, output)
}

/// What the first and last bytes of a dump say: whether it is one, and whole. The reason why not.
pub fn look(sys: &dyn Sys, part: &BackupPart, head: &[u8], tail: &[u8]) -> Result<(), String> {
    match &part.source {
        BackupSource::Paths(_) => Ok(()),
        BackupSource::Postgresql(_) => postgresql::look(sys, head),
        BackupSource::Mariadb(_) => mariadb::look(tail),
        BackupSource::Redis(_) => redis::look(head, tail),
    }
}
