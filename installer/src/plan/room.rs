//! What a run will write, by file system, the copies that a rollback needs among it.

use std::collections::BTreeMap;

use chom_format::HostPath;
use serde::Serialize;

use crate::dpkg::Status;
use crate::state::Files;
use crate::step::{Change, Decision, Detail, Planned};
use crate::sys::{PathState, Sys, SysError};

// Packages say how much they take and not how many files they are; half the usual mean is a careful bound.
const BYTES_PER_INODE: u64 = 8 << 10;
const BLOCK: u64 = 4096;

/// One file system that is written to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Room {
    /// The first path on it that is written.
    pub path: HostPath,
    /// Bytes that the run puts there.
    pub writes: u64,
    /// Bytes that the copies of what it replaces take.
    pub rollback: u64,
    /// Inodes that it takes, at most.
    pub inodes: u64,
    /// Bytes that are free now.
    pub free_bytes: u64,
    /// Inodes that are free now.
    pub free_inodes: u64,
    /// Nothing can be written to it at all.
    pub read_only: bool,
}

impl Room {
    /// Whether it all fits.
    pub fn is_enough(&self) -> bool {
        !self.read_only && self.writes + self.rollback <= self.free_bytes && self.inodes <= self.free_inodes
    }
}

/// The file systems that these steps write to.
pub(super) fn measure(sys: &dyn Sys, steps: &[Planned]) -> Result<Vec<Room>, SysError> {
    let mut rooms: BTreeMap<u64, Room> = BTreeMap::new();
    let files = Files::standard()?;
    for planned in steps {
        let Decision::Change(change) = &planned.decision else { continue };
        for (path, bytes) in &change.writes {
            let room = room(sys, &mut rooms, path)?;
            room.writes += bytes.next_multiple_of(BLOCK);
            room.inodes += inodes(change, *bytes);
        }
        let copies = copies(sys, planned, change)?;
        if copies > 0 {
            room(sys, &mut rooms, files.root())?.rollback += copies;
        }
        for (path, bytes) in planned.seen.iter().map(|(path, state)| (path, size(state))) {
            // There the way back keeps its room beside the copy.
            if bytes > 0 && device(sys, path)? != device(sys, files.root())? {
                room(sys, &mut rooms, path)?.rollback += bytes;
            }
        }
    }
    Ok(rooms.into_values().collect())
}

fn room<'a>(
    sys: &dyn Sys,
    rooms: &'a mut BTreeMap<u64, Room>,
    path: &HostPath,
) -> Result<&'a mut Room, SysError> {
    // A name is written into its directory; what a link of that name leads to is no concern.
    let space = sys.space(&path.parent().unwrap_or_else(HostPath::root))?;
    Ok(rooms.entry(space.device).or_insert_with(|| Room {
        path: path.clone(),
        writes: 0,
        rollback: 0,
        inodes: 0,
        free_bytes: space.free_bytes,
        free_inodes: space.free_inodes,
        read_only: space.read_only,
    }))
}

// A name is written into its directory; what a link of that name leads to is no concern.
fn device(sys: &dyn Sys, path: &HostPath) -> Result<u64, SysError> {
    Ok(sys.space(&path.parent().unwrap_or_else(HostPath::root))?.device)
}

fn size(state: &PathState) -> u64 {
    match state {
        PathState::File { size, .. } => size.next_multiple_of(BLOCK),
        _ => 0,
    }
}

fn inodes(change: &Change, bytes: u64) -> u64 {
    match &change.detail {
        Detail::Packages { .. } => bytes / BYTES_PER_INODE,
        _ => change.changes.len() as u64,
    }
}

fn copies(sys: &dyn Sys, planned: &Planned, change: &Change) -> Result<u64, SysError> {
    let files: u64 = planned.seen.iter().map(|(_, state)| size(state)).sum();
    let Detail::Packages { moves, .. } = &change.detail else { return Ok(files) };
    let status = Status::read(sys)?;
    let replaced = moves.iter().filter(|step| step.from.is_some());
    let kb =
        replaced.filter_map(|step| status.installed(step.name.as_str(), "all")).map(|old| old.installed_kb);
    Ok(files + kb.sum::<u64>() * 1024)
}
