//! Tells which file system an effect that failed had no room on, and how much it wanted.

use chom_format::HostPath;

use super::super::lack::{Lack, Lacking};
use super::super::{Effect, Source, Sys as _, SysError, mounts};
use super::{RealSys, walk};

/// What a name takes of a disk.
const BLOCK: u64 = 4 << 10;

/// The same error; one that tells of a lack with the place and the need.
pub(super) fn explained(sys: &RealSys, effect: &Effect<'_>, error: SysError) -> SysError {
    let SysError::Io { operation, object, source } = error else { return error };
    let lacking = Lack::told_by(&source);
    let measured = lacking.zip(written(effect)).and_then(|(of, path)| measure(sys, effect, path, of));
    match measured {
        Some(lack) => SysError::Room { operation, object, source, lack: Box::new(lack) },
        None => SysError::Io { operation, object, source },
    }
}

fn measure(sys: &RealSys, effect: &Effect<'_>, path: &HostPath, of: Lacking) -> Option<Lack> {
    let space = sys.space(&path.parent().unwrap_or_else(HostPath::root)).ok()?;
    let full = space.free_inodes == 0 && of == Lacking::Space;
    let dir = walk::find(sys.root(), path).ok().flatten();
    let place = dir.and_then(|place| walk::path_of(place.dir()).ok()?.into_string().ok());
    let mounts = mounts::read().unwrap_or_default();
    let mount = place.and_then(|place| Some(mounts::of(&mounts, &place)?.point.clone()));
    Some(Lack {
        place: mount.unwrap_or_else(|| path.to_string()),
        wanted: wanted(sys, effect),
        free_bytes: space.free_bytes,
        free_inodes: space.free_inodes,
        of: if full { Lacking::Inodes } else { of },
    })
}

/// The path that the effect writes.
fn written<'a>(effect: &Effect<'a>) -> Option<&'a HostPath> {
    match effect {
        Effect::Write { path, .. }
        | Effect::MakeDir { path, .. }
        | Effect::MakeLink { path, .. }
        | Effect::SetAttrs { path, .. }
        | Effect::Remove { path }
        | Effect::RemoveDir { path }
        | Effect::RemoveTree { path, .. }
        | Effect::HardLink { path, .. }
        | Effect::Reserve { path, .. } => Some(path),
        Effect::Rename { to, .. } => Some(to),
        Effect::Append { journal, .. } => Some(journal),
        Effect::Run(_) | Effect::Batch(_) | Effect::Sync => None,
    }
}

fn wanted(sys: &RealSys, effect: &Effect<'_>) -> u64 {
    let size = |path: &HostPath| sys.meta(path).ok().flatten().map_or(0, |meta| meta.size);
    match effect {
        Effect::Write { source, .. } => match source {
            Source::Bytes(bytes) => bytes.len() as u64,
            Source::File { file, .. } => {
                walk::outside(file).and_then(|file| file.metadata()).map_or(0, |meta| meta.len())
            }
            Source::Host { path, .. } => size(path),
            Source::Part { size, .. } => *size,
            Source::Joined { paths, .. } => paths.iter().map(size).sum(),
            // Nobody knows before it is made.
            Source::Made(_) => BLOCK,
        },
        Effect::Reserve { bytes, .. } => *bytes,
        Effect::Append { frame, .. } => frame.len() as u64,
        _ => BLOCK,
    }
}
