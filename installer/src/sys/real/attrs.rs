//! Mode, owner, times and extended attributes: read, and made exactly those wanted.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt as _, lchown};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;

use super::super::{Attrs, Stamp};

/// All extended attributes of a path, its own and not those of what it links to.
pub(super) fn xattrs(place: &Path) -> io::Result<BTreeMap<String, Vec<u8>>> {
    let names = match xattr::list(place) {
        Ok(names) => names,
        Err(error) if unsupported(&error) => return Ok(BTreeMap::new()),
        Err(error) => return Err(error),
    };
    let mut found = BTreeMap::new();
    for name in names {
        if let (Some(value), Some(name)) = (xattr::get(place, &name)?, name.to_str()) {
            found.insert(name.to_owned(), value);
        }
    }
    Ok(found)
}

/// Makes the attributes of a path exactly these. Owner first, for a change of owner takes set-id bits and
/// capabilities away; time last, for everything else moves it.
pub(super) fn set(place: &Path, attrs: &Attrs) -> io::Result<()> {
    let link = fs::symlink_metadata(place)?.is_symlink();
    lchown(place, Some(attrs.uid), Some(attrs.gid))?;
    if !link {
        fs::set_permissions(place, Permissions::from_mode(attrs.mode.bits()))?;
    }
    set_xattrs(place, &attrs.xattrs)?;
    set_mtime(place, attrs.mtime)
}

fn set_xattrs(place: &Path, wanted: &BTreeMap<String, Vec<u8>>) -> io::Result<()> {
    let found = xattrs(place)?;
    for (name, value) in wanted {
        if found.get(name) != Some(value) {
            xattr::set(place, OsStr::new(name), value)?;
        }
    }
    for name in found.keys().filter(|name| !wanted.contains_key(*name) && !assigned_by_kernel(name)) {
        xattr::remove(place, OsStr::new(name))?;
    }
    Ok(())
}

// Labels that the security module gives to every file by its own policy and does not let go of.
fn assigned_by_kernel(name: &str) -> bool {
    ["security.selinux", "security.ima", "security.evm", "security.SMACK64"].contains(&name)
}

fn set_mtime(place: &Path, mtime: Stamp) -> io::Result<()> {
    let mtime = TimeSpec::new(mtime.sec as _, mtime.nsec as _);
    utimensat(AT_FDCWD, place, &TimeSpec::UTIME_OMIT, &mtime, UtimensatFlags::NoFollowSymlink)?;
    Ok(())
}

fn unsupported(error: &io::Error) -> bool {
    error.raw_os_error().map(Errno::from_raw) == Some(Errno::EOPNOTSUPP)
}
