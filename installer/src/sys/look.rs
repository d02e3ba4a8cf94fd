//! Looking at one path: everything about it that can be put back.

use chom_format::{Digest, HostPath};

use super::{Attrs, Kind, Meta, PathState, Stamp, Sys, SysError};

/// The state of a path, with the digest from [`Sys::digest`]: for plans, which must be quick.
pub fn look(sys: &dyn Sys, path: &HostPath) -> Result<PathState, SysError> {
    state(sys, path, &|path| sys.digest(path))
}

/// The state of a path, its bytes read now: for saving and for proofs.
pub fn state_of(sys: &dyn Sys, path: &HostPath) -> Result<PathState, SysError> {
    state(sys, path, &|path| {
        let (digest, _) = Digest::of_reader(sys.open(path)?).map_err(SysError::io("read", path))?;
        Ok(digest)
    })
}

fn state(
    sys: &dyn Sys,
    path: &HostPath,
    digest: &dyn Fn(&HostPath) -> Result<Digest, SysError>,
) -> Result<PathState, SysError> {
    let Some(meta) = sys.meta(path)? else { return Ok(PathState::Absent) };
    let Some(mut attrs) = sys.attrs(path)? else { return Ok(PathState::Absent) };
    Ok(match meta.kind {
        Kind::File => PathState::File { sha256: digest(path)?, size: meta.size, attrs },
        Kind::Link => PathState::Link { target: sys.link(path)?, attrs },
        Kind::Dir => {
            // It changes with every name in it, so it is no property of the path alone.
            attrs.mtime = Stamp { sec: 0, nsec: 0 };
            PathState::Dir { attrs }
        }
        kind => PathState::Special { kind, rdev: meta.rdev, attrs },
    })
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
