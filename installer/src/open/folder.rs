//! An extracted bundle: what lies in its folder, and that it is nothing but files and directories.

#![allow(
    clippy::disallowed_methods,
    reason = "a bundle lies where the operator says; what others can change there is copied before it is believed"
)]

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use chom_format::{Mode, RelPath};

use super::{LONGEST_TEXT, OpenError, Problem};
use crate::sys::is_private;

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
    let opened = dir.to_str().and_then(|text| text.parse().ok()).and_then(|path| is_private(&path).ok());
    !found.foreign && opened == Some(true)
}

/// Lists a folder and refuses everything that is neither file nor directory.
pub(super) fn walk(dir: &Path) -> Result<Found, OpenError> {
    if !dir.join(super::MANIFEST).exists() || !dir.join(super::SUMS).exists() {
        return Err(OpenError::NotABundle { dir: dir.to_owned() });
    }
    let mut walk = Walk::default();
    walk.enter(dir, "")?;
    Problem::none_of(walk.problems)?;
    Ok(walk.found)
}

/// A regular file of the bundle, links not followed.
pub(super) fn open(dir: &Path, path: &str) -> Result<File, OpenError> {
    let path = dir.join(path);
    let nofollow = nix::fcntl::OFlag::O_NOFOLLOW.bits();
    OpenOptions::new().read(true).custom_flags(nofollow).open(&path).map_err(OpenError::io("read", path))
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

#[derive(Default)]
struct Walk {
    found: Found,
    problems: Vec<Problem>,
    entries: usize,
}

impl Walk {
    // `below` is the path inside the bundle, with a final slash unless empty. A bundle is four levels deep
    // and a release's path is bounded, so recursion is.
    fn enter(&mut self, dir: &Path, below: &str) -> Result<(), OpenError> {
        for entry in fs::read_dir(dir).map_err(OpenError::io("read", dir))? {
            let entry = entry.map_err(OpenError::io("read", dir))?;
            self.entries += 1;
            if self.entries > MOST_ENTRIES {
                let reason = format!("holds more than {MOST_ENTRIES} entries, more than any bundle");
                return Err(OpenError::Contents(vec![Problem::Kind { path: ".".to_owned(), reason }]));
            }
            let text = format!("{below}{}", entry.file_name().to_string_lossy());
            let meta = entry.metadata().map_err(OpenError::io("read", entry.path()))?;
            match (text.parse::<RelPath>(), entry.file_name().to_str()) {
                (Ok(path), Some(_)) => self.entry(&entry.path(), path, &meta)?,
                _ => self.odd(text, "has a name that no file of a bundle has"),
            }
        }
        Ok(())
    }

    fn entry(&mut self, file: &Path, path: RelPath, meta: &fs::Metadata) -> Result<(), OpenError> {
        let kind = meta.file_type();
        let mode = Mode::from_bits(meta.mode());
        self.found.foreign |= meta.uid() != 0;
        if kind.is_symlink() {
            self.odd(path.to_string(), "is a symbolic link: a bundle holds files and directories only");
        } else if !kind.is_dir() && !kind.is_file() {
            let what = if kind.is_fifo() {
                "fifo"
            } else if kind.is_socket() {
                "socket"
            } else {
                "device"
            };
            self.odd(path.to_string(), &format!("is a {what}: a bundle holds files and directories only"));
        } else if mode.bits() & FORBIDDEN != 0 {
            self.problems.push(Problem::Mode { path, mode });
        } else if kind.is_dir() {
            self.enter(file, &format!("{path}/"))?;
            self.found.dirs.push(path);
        } else {
            self.found.files.insert(path, meta.len());
        }
        Ok(())
    }

    fn odd(&mut self, path: String, reason: &str) {
        self.problems.push(Problem::Kind { path, reason: reason.to_owned() });
    }
}
