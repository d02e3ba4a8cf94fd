//! Puts files and links into what a child sees, and takes names away from it.

use std::ffi::OsStr;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use chom_format::Digest;
use rustix::fs::{AtFlags, symlinkat, unlinkat};
use rustix::io::Errno;

use super::{Copier, Laid, dir_in, failed, made, new_file, open_dir, own, place};
use crate::sys::real::below;
use crate::sys::real::walk::{Look, outside};
use crate::sys::{Kind, SysError};

/// Puts one thing into the layer of `at`, whose top is open as `shown`.
pub(super) fn lay(at: &Path, shown: &OwnedFd, laid: &Laid) -> Result<(), SysError> {
    let (Laid::File { path, .. } | Laid::Text { path, .. } | Laid::Link { path, .. } | Laid::Absent { path }) =
        laid;
    let io = |source| failed("lay over", path, source);
    let below = path.strip_prefix(at).map_err(|_| io(io::Error::other("it lies outside the layer")))?;
    let (parents, name) = (below.parent().unwrap_or(Path::new("")), below.file_name().unwrap_or_default());
    let makes = !matches!(laid, Laid::Absent { .. });
    let Some(dir) = parent(at, shown, parents, makes).map_err(io)? else { return Ok(()) };
    match unlinkat(&dir, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(io(error.into())),
    }
    // In memory of ours: nobody else can make a name there.
    match laid {
        Laid::Absent { .. } => Ok(()),
        Laid::Link { target, .. } => symlinkat(target.as_str(), &dir, name).map_err(|error| io(error.into())),
        Laid::Text { text, .. } => {
            let mut file = new_file(&dir, name).map_err(io)?;
            file.write_all(text.as_bytes()).and_then(|()| own(&file, 0, 0, 0o644)).map_err(io)
        }
        Laid::File { from, sha256, mode, uid, gid, .. } => {
            let mut bytes = Vec::new();
            let read = outside(from).and_then(|mut file| file.read_to_end(&mut bytes));
            read.map_err(|source| failed("read", from, source))?;
            let found = Digest::of(&bytes);
            if found != *sha256 {
                return Err(SysError::Digest { object: from.display().to_string(), wanted: *sha256, found });
            }
            let mut file = new_file(&dir, name).map_err(io)?;
            file.write_all(&bytes).and_then(|()| own(&file, *uid, *gid, mode.bits())).map_err(io)
        }
    }
}

/// The directory in which something is laid, made when it is missing. A link among the parents was copied with the rest:
/// what is written through it would be written to the host, so a copy of what it leads to takes its place.
fn parent(at: &Path, shown: &OwnedFd, parents: &Path, makes: bool) -> io::Result<Option<OwnedFd>> {
    let (mut dir, mut path) = (shown.try_clone()?, at.to_owned());
    for part in parents.iter() {
        path.push(part);
        match Look::of(&dir, part).map(|found| found.meta.kind) {
            Ok(Kind::Link) => in_the_place_of_a_link(&dir, part, &path)?,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound && makes => {
                dir = made(&dir, part)?;
                continue;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        }
        dir = dir_in(&dir, part)?;
    }
    Ok(Some(dir))
}

fn in_the_place_of_a_link(dir: &OwnedFd, name: &OsStr, path: &Path) -> io::Result<()> {
    let target = rustix::fs::readlinkat(dir, name, Vec::new())?.to_string_lossy().into_owned();
    let parent = path.parent().and_then(|parent| parent.to_str()?.parse().ok());
    let Some(whole) = parent.and_then(|parent| below(&parent, Some(&target))) else {
        return Err(io::Error::other("it leads to a name that is no text"));
    };
    let whole = PathBuf::from(whole.as_str());
    unlinkat(dir, name, AtFlags::empty())?;
    let copy = made(dir, name)?;
    let from =
        place(&whole).and_then(|place| open_dir(&place).map_err(|source| failed("open", &whole, source)));
    let copied = from.and_then(|from| Copier::new(&whole).dir(&from, &copy, 0));
    copied.map_err(|error| io::Error::other(error.to_string()))
}
