//! An extracted bundle: what lies in its folder, and that it is nothing but files and directories.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use chom_format::{HostPath, RelPath};

use super::{LONGEST_TEXT, OpenError, Problem};
use crate::sys::{Kind, Meta, RealSys, Sys as _, SysError, is_private, named, outside};

// The same number as the archive's reader has.
const MOST_ENTRIES: usize = 65_536;
// Set-id, sticky, and writable by group or others: whoever may write could change it while we read.
const FORBIDDEN: u32 = 0o7022;

/// What lies below a folder.
#[derive(Default)]
pub(super) struct Found {
    /// Every file with its size.
    pub(super) files: BTreeMap<RelPath, u64>,
    /// Every directory.
    pub(super) dirs: Vec<RelPath>,
    /// Something in it belongs to another account.
    pub(super) foreign: bool,
}

/// Whether nobody but root can change what lies in a folder: every directory up to it and everything in it is root's.
pub(super) fn is_roots(dir: &Path, found: &Found) -> bool {
    !found.foreign && whole(dir).is_ok_and(|path| is_private(&path).unwrap_or(false))
}

/// Lists a folder and refuses everything that is neither file nor directory.
pub(super) fn walk(dir: &Path) -> Result<Found, OpenError> {
    let (sys, top) = (RealSys::new("/"), whole(dir)?);
    for name in [super::MANIFEST, super::SUMS] {
        if sys.meta(&below(&top, name)?)?.is_none() {
            return Err(OpenError::NotABundle { dir: dir.to_owned() });
        }
    }
    let mut walk = Walk { sys, found: Found::default(), problems: Vec::new(), entries: 0 };
    walk.enter(&top, "")?;
    Problem::none_of(walk.problems)?;
    Ok(walk.found)
}

/// A regular file of the bundle, links not followed.
pub(super) fn open(dir: &Path, path: &str) -> Result<File, OpenError> {
    let path = dir.join(path);
    outside(&path).map_err(OpenError::io("read", path))
}

/// The folder as a path of this host.
fn whole(dir: &Path) -> Result<HostPath, OpenError> {
    let path = dir.to_str().and_then(|text| text.parse().ok());
    let why =
        || std::io::Error::other("its path holds control characters or bytes that are no text: move it");
    path.ok_or_else(|| OpenError::io("read", dir)(why()))
}

fn below(dir: &HostPath, name: &str) -> Result<HostPath, SysError> {
    named(&format!("{}/{name}", dir.as_str().trim_end_matches('/')))
}

/// A text of the bundle, whole.
pub(super) fn read_text(dir: &Path, path: &str) -> Result<Vec<u8>, OpenError> {
    let mut bytes = Vec::new();
    let read = open(dir, path)?.take(LONGEST_TEXT + 1).read_to_end(&mut bytes);
    read.map_err(OpenError::io("read", dir.join(path)))?;
    if bytes.len() as u64 > LONGEST_TEXT {
        let reason = format!("has more than {LONGEST_TEXT} bytes");
        return Err(OpenError::Contents(vec![Problem::Kind { path: path.to_owned(), reason }]));
    }
    Ok(bytes)
}

struct Walk {
    sys: RealSys,
    found: Found,
    problems: Vec<Problem>,
    entries: usize,
}

impl Walk {
    // `within` is the path inside the bundle, with a final slash unless empty. A bundle is four levels deep
    // and a release's path is bounded, so recursion is.
    fn enter(&mut self, dir: &HostPath, within: &str) -> Result<(), OpenError> {
        let names = self.sys.list(dir)?;
        if self.sys.count(dir)? > names.len() {
            self.odd(format!("{within}."), "holds a name that no file of a bundle has");
        }
        for name in names {
            self.entries += 1;
            if self.entries > MOST_ENTRIES {
                let reason = format!("holds more than {MOST_ENTRIES} entries, more than any bundle");
                return Err(OpenError::Contents(vec![Problem::Kind { path: ".".to_owned(), reason }]));
            }
            let text = format!("{within}{name}");
            let Ok(path) = text.parse::<RelPath>() else {
                self.odd(text, "has a name that no file of a bundle has");
                continue;
            };
            let place = below(dir, &name)?;
            match self.sys.meta(&place)? {
                Some(meta) => self.entry(&place, path, &meta)?,
                None => self.problems.push(Problem::Missing(path)),
            }
        }
        Ok(())
    }

    fn entry(&mut self, place: &HostPath, path: RelPath, meta: &Meta) -> Result<(), OpenError> {
        self.found.foreign |= meta.uid != 0;
        let what = match meta.kind {
            Kind::File | Kind::Dir => None,
            Kind::Link => Some("symbolic link"),
            Kind::Fifo => Some("fifo"),
            Kind::Socket => Some("socket"),
            Kind::Block | Kind::Char => Some("device"),
        };
        if let Some(what) = what {
            self.odd(path.to_string(), &format!("is a {what}: a bundle holds files and directories only"));
        } else if meta.mode.bits() & FORBIDDEN != 0 {
            self.problems.push(Problem::Mode { path, mode: meta.mode });
        } else if meta.kind == Kind::Dir {
            self.enter(place, &format!("{path}/"))?;
            self.found.dirs.push(path);
        } else {
            self.found.files.insert(path, meta.size);
        }
        Ok(())
    }

    fn odd(&mut self, path: String, reason: &str) {
        self.problems.push(Problem::Kind { path, reason: reason.to_owned() });
    }
}
