//! Mode, owner, times and extended attributes of something that is held open: read, and made exactly those wanted.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{
    AtFlags, Gid, Mode, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags, getxattr, listxattr, removexattr,
    setxattr,
};
use rustix::io::Errno;

use super::super::{Attrs, Kind, Stamp};
use super::calls::{chmod, chownat, lgetxattr, llistxattr, utimensat};
use super::walk::{Dir, magic};

/// As large as the kernel lets a list of names or a value be.
const LARGEST: usize = 64 << 10;

/// All extended attributes of what is held, its own and not those of what it links to.
pub(super) fn xattrs(held: &OwnedFd) -> io::Result<BTreeMap<String, Vec<u8>>> {
    of_path(Path::new(&magic(held)), false)
}

/// The same of a name in an open directory.
pub(super) fn xattrs_at(dir: &Dir, name: &std::ffi::OsStr) -> io::Result<BTreeMap<String, Vec<u8>>> {
    of_path(&Path::new(&magic(dir.fd())).join(name), true)
}

/// `by_name`: the last part is a name in a directory, and a link there is not followed.
fn of_path(path: &Path, by_name: bool) -> io::Result<BTreeMap<String, Vec<u8>>> {
    let mut buffer = [0_u8; 4 << 10];
    let list = |buffer: &mut [u8]| match by_name {
        true => llistxattr(path, buffer),
        false => listxattr(path, buffer),
    };
    let names = match list(&mut buffer) {
        Ok(0) | Err(Errno::OPNOTSUPP) => return Ok(BTreeMap::new()),
        Ok(length) => buffer.get(..length).unwrap_or_default().to_vec(),
        Err(Errno::RANGE) => {
            let mut large = vec![0; LARGEST];
            let length = list(&mut large)?;
            large.truncate(length);
            large
        }
        Err(error) => return Err(error.into()),
    };
    let mut found = BTreeMap::new();
    for name in names.split(|byte| *byte == 0).filter_map(|name| std::str::from_utf8(name).ok()) {
        if name.is_empty() {
            continue;
        }
        let mut value = vec![0; LARGEST];
        let read = match by_name {
            true => lgetxattr(path, name, &mut value[..]),
            false => getxattr(path, name, &mut value[..]),
        };
        match read {
            Ok(length) => value.truncate(length),
            Err(Errno::NODATA) => continue,
            Err(error) => return Err(error.into()),
        }
        found.insert(name.to_owned(), value);
    }
    Ok(found)
}

/// Makes the attributes of what is held exactly these. Owner first, for a change of owner takes set-id bits and
/// capabilities away; time last, for everything else moves it.
pub(super) fn set(held: &OwnedFd, kind: Kind, attrs: &Attrs) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(attrs.uid), Gid::from_raw(attrs.gid));
    chownat(held, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH)?;
    if kind != Kind::Link {
        chmod(magic(held), Mode::from_raw_mode(attrs.mode.bits()))?;
    }
    set_xattrs(held, &attrs.xattrs)?;
    set_mtime(held, attrs.mtime)
}

fn set_xattrs(held: &OwnedFd, wanted: &BTreeMap<String, Vec<u8>>) -> io::Result<()> {
    let (path, found) = (magic(held), xattrs(held)?);
    for (name, value) in wanted {
        if found.get(name) != Some(value) {
            setxattr(&path, name.as_str(), value, XattrFlags::empty())?;
        }
    }
    for name in found.keys().filter(|name| !wanted.contains_key(*name) && !assigned_by_kernel(name)) {
        removexattr(&path, name.as_str())?;
    }
    Ok(())
}

// Labels that the security module gives to every file by its own policy and does not let go of.
fn assigned_by_kernel(name: &str) -> bool {
    ["security.selinux", "security.ima", "security.evm", "security.SMACK64"].contains(&name)
}

fn set_mtime(held: &OwnedFd, mtime: Stamp) -> io::Result<()> {
    let last_access = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
    let last_modification = Timespec { tv_sec: mtime.sec, tv_nsec: mtime.nsec };
    utimensat(held, "", &Timestamps { last_access, last_modification }, AtFlags::EMPTY_PATH)?;
    Ok(())
}
