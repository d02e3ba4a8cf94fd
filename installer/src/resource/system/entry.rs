//! One look at the whole system: a row for every path.

use std::collections::BTreeMap;

use chom_format::{HostPath, Mode};
use serde::{Deserialize, Serialize};

use super::super::Fingerprint;
use super::super::store::below;
use super::areas;
use crate::sys::{Attrs, Kind, Stamp, Sys, SysError, named};

/// All that is known of a path without reading it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Row", into = "Row")]
pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) size: u64,
    pub(super) attrs: Attrs,
    pub(super) target: Option<String>,
    pub(super) rdev: u64,
    /// Tells whether a file is another one than before, even if it looks the same.
    pub(super) ino: u64,
    pub(super) ctime: Stamp,
    pub(super) nlink: u64,
}

/// The stored form: fifty thousand of them are written for each set of packages.
type Row = (
    Kind,
    u64,
    Mode,
    u32,
    u32,
    (i64, i64),
    Option<String>,
    u64,
    u64,
    (i64, i64),
    u64,
    BTreeMap<String, Vec<u8>>,
);

impl From<Entry> for Row {
    fn from(entry: Entry) -> Self {
        let Attrs { mode, uid, gid, mtime, xattrs } = entry.attrs;
        let (mtime, ctime) = ((mtime.sec, mtime.nsec), (entry.ctime.sec, entry.ctime.nsec));
        let Entry { kind, size, target, rdev, ino, nlink, .. } = entry;
        (kind, size, mode, uid, gid, mtime, target, rdev, ino, ctime, nlink, xattrs)
    }
}

impl From<Row> for Entry {
    fn from(row: Row) -> Self {
        let (kind, size, mode, uid, gid, mtime, target, rdev, ino, ctime, nlink, xattrs) = row;
        let stamp = |(sec, nsec)| Stamp { sec, nsec };
        let attrs = Attrs { mode, uid, gid, mtime: stamp(mtime), xattrs };
        Self { kind, size, attrs, target, rdev, ino, ctime: stamp(ctime), nlink }
    }
}

impl Entry {
    /// What lies at a path now.
    pub(super) fn look(sys: &dyn Sys, path: &HostPath) -> Result<Option<Self>, SysError> {
        let Some(meta) = sys.meta(path)? else { return Ok(None) };
        let Some(attrs) = sys.attrs(path)? else { return Ok(None) };
        let target = if meta.kind == Kind::Link { Some(sys.link(path)?) } else { None };
        // The size of a directory is the file system's affair.
        let size = if meta.kind == Kind::File { meta.size } else { 0 };
        Ok(Some(Self {
            kind: meta.kind,
            size,
            attrs,
            target,
            rdev: meta.rdev,
            ino: meta.ino,
            ctime: meta.ctime,
            nlink: meta.nlink,
        }))
    }

    /// Whether nobody could tell the two apart by looking, the content of files excepted.
    pub(super) fn looks_like(&self, other: &Self) -> bool {
        (self.kind, self.size, self.rdev) == (other.kind, other.size, other.rdev)
            && self.attrs == other.attrs
            && self.target == other.target
    }

    /// Whether it is the very file that it was, not written to since.
    pub(super) fn is_same_file(&self, other: &Self) -> bool {
        self.looks_like(other) && (self.ino, self.ctime) == (other.ino, other.ctime)
    }
}

/// Every path of the areas.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Scan(pub(super) BTreeMap<HostPath, Entry>);

impl Scan {
    /// Looks at everything; once more, when `before` tells what was there. Other file systems mounted below
    /// an area are not entered.
    pub(super) fn take(sys: &dyn Sys, before: Option<&Self>) -> Result<Self, SysError> {
        let mut scan = Self::default();
        let root = HostPath::root();
        for name in sys.list(&root)? {
            let path = below(&root, &name)?;
            let in_area = areas::roots().any(|area| area == path.as_str());
            // The links of a merged system belong to it; other directories at the top are somebody's own.
            let Some(entry) = Entry::look(sys, &path)?.filter(|entry| in_area || entry.kind == Kind::Link)
            else {
                continue;
            };
            let dir = entry.kind == Kind::Dir;
            scan.0.insert(path.clone(), entry);
            if dir {
                let device = sys.meta(&path)?.map_or(0, |meta| meta.dev);
                scan.descend(sys, &path, device, before)?;
            }
        }
        Ok(scan)
    }

    /// Looks at what is put back exactly, and at nothing else.
    pub(super) fn exact(sys: &dyn Sys) -> Result<Self, SysError> {
        let mut scan = Self::default();
        for root in areas::exact_roots() {
            let path: HostPath = named(root)?;
            let Some(entry) = Entry::look(sys, &path)? else { continue };
            let dir = entry.kind == Kind::Dir;
            scan.0.insert(path.clone(), entry);
            if dir {
                let device = sys.meta(&path)?.map_or(0, |meta| meta.dev);
                scan.descend(sys, &path, device, None)?;
            }
        }
        Ok(scan)
    }

    fn descend(
        &mut self,
        sys: &dyn Sys,
        dir: &HostPath,
        device: u64,
        before: Option<&Self>,
    ) -> Result<(), SysError> {
        let was_there = before.is_none_or(|before| before.0.contains_key(dir));
        if areas::is_opaque(dir.as_str()) || (areas::belongs_to_others(dir.as_str()) && was_there) {
            return Ok(());
        }
        for name in sys.list(dir)? {
            let path = below(dir, &name)?;
            if areas::is_skipped(path.as_str()) {
                continue;
            }
            // It may have gone since it was listed.
            let Some(entry) = Entry::look(sys, &path)? else { continue };
            let enter = entry.kind == Kind::Dir && sys.meta(&path)?.is_some_and(|meta| meta.dev == device);
            self.0.insert(path.clone(), entry);
            if enter {
                self.descend(sys, &path, device, before)?;
            }
        }
        Ok(())
    }

    /// The names that were in a directory.
    pub(super) fn names(&self, dir: &HostPath) -> Vec<&str> {
        let first = format!("{}/", dir.as_str().trim_end_matches('/'));
        let Ok(start) = dir.as_str().parse::<HostPath>() else { return Vec::new() };
        self.0
            .range(start..)
            .skip(1)
            .map(|(path, _)| path.as_str())
            .skip_while(|path| !path.starts_with(&first))
            .take_while(|path| path.starts_with(&first))
            .filter_map(|path| path.strip_prefix(&first))
            .filter(|rest| !rest.contains('/'))
            .collect()
    }

    /// A digest over all that can be seen and put back.
    pub(super) fn fingerprint(&self) -> Fingerprint {
        let seen: Vec<_> = self
            .0
            .iter()
            .filter(|(path, _)| areas::is_exact(path.as_str()))
            .map(|(path, entry)| (path, entry.kind, entry.size, &entry.attrs, &entry.target))
            .collect();
        Fingerprint::of(&seen)
    }
}
