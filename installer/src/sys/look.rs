//! Looking at one path: everything about it that can be put back; and what the host's small files say.

use std::fmt::Display;
use std::io::Read as _;
use std::str::FromStr;

use chom_format::{Digest, HostPath};

use super::{Attrs, Kind, Meta, PathState, Stamp, Sys, SysError};

/// The state of a path, with the digest from [`Sys::digest`]: for plans, which must be quick.
pub fn look(sys: &dyn Sys, path: &HostPath) -> Result<PathState, SysError> {
    state(sys, path, &|path, meta| {
        let Some(attrs) = sys.attrs(path)? else { return Ok(PathState::Absent) };
        Ok(PathState::File { sha256: sys.digest(path)?, size: meta.size, attrs })
    })
}

/// The state of a path, its bytes read now: for saving and for proofs. Content and attributes are of one file, whoever
/// exchanges it meanwhile: what is put back later gives nobody more than he had.
pub fn state_of(sys: &dyn Sys, path: &HostPath) -> Result<PathState, SysError> {
    state(sys, path, &|path, _| {
        let (attrs, bytes) = sys.open_with(path)?;
        let (sha256, size) = Digest::of_reader(bytes).map_err(SysError::io("read", path))?;
        Ok(PathState::File { sha256, size, attrs })
    })
}

fn state(
    sys: &dyn Sys,
    path: &HostPath,
    file: &dyn Fn(&HostPath, Meta) -> Result<PathState, SysError>,
) -> Result<PathState, SysError> {
    let Some(meta) = sys.meta(path)? else { return Ok(PathState::Absent) };
    if meta.kind == Kind::File {
        return file(path, meta);
    }
    let Some(mut attrs) = sys.attrs(path)? else { return Ok(PathState::Absent) };
    Ok(match meta.kind {
        Kind::Link => PathState::Link { target: sys.link(path)?, attrs },
        Kind::Dir => {
            // It changes with every name in it, so it is no property of the path alone.
            attrs.mtime = Stamp { sec: 0, nsec: 0 };
            PathState::Dir { attrs }
        }
        kind => PathState::Special { kind, rdev: meta.rdev, attrs },
    })
}

/// A path, or whatever else has a form of its own, by a name that this program gives: one that is none is a defect of it.
pub fn named<T: FromStr<Err: Display>>(name: &str) -> Result<T, SysError> {
    name.parse().map_err(|why| SysError::other("name", name, format!("{why}")))
}

/// Larger files than any that is read whole: whoever owns one decides how large it is.
const LARGEST: u64 = 64 << 20;

/// The bytes of a small file; none when nothing lies there, and an error when it is not small.
pub fn bytes_of(sys: &dyn Sys, path: &HostPath) -> Result<Option<Vec<u8>>, SysError> {
    if sys.meta(path)?.is_none() {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    sys.open(path)?.take(LARGEST + 1).read_to_end(&mut bytes).map_err(SysError::io("read", path))?;
    if bytes.len() as u64 > LARGEST {
        let why = format!("it has more than {} MiB, and is read whole", LARGEST >> 20);
        return Err(SysError::other("read", path, why));
    }
    Ok(Some(bytes))
}

/// Its text, whatever is in it.
pub fn text_of(sys: &dyn Sys, path: &HostPath) -> Result<Option<String>, SysError> {
    Ok(bytes_of(sys, path)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

/// The text of a small file that this program names; empty when there is none.
pub fn text_at(sys: &dyn Sys, name: &str) -> Result<String, SysError> {
    Ok(text_of(sys, &named(name)?)?.unwrap_or_default())
}

impl Meta {
    /// The part that can be put back, without extended attributes.
    pub fn plain_attrs(&self) -> Attrs {
        Attrs {
            mode: self.mode,
            uid: self.uid,
            gid: self.gid,
            mtime: self.mtime,
            xattrs: std::collections::BTreeMap::new(),
        }
    }
}
