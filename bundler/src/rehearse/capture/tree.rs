//! Reads a tree: every path that counts, with the digest of every file. Stays on the root file system.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

use chom_format::Digest;

use super::entry::{Entry, Kind};
use super::skip::{self, What};
use crate::rehearse::error::RehearseError;

/// A file that was changed less than this before it was read could be changed again within the same tick of
/// the clock: its digest is not kept.
const SETTLED: Duration = Duration::from_millis(100);

/// Digests of files that were read before, good as long as inode, size and times are the same.
#[derive(Debug, Default)]
pub struct HashCache(HashMap<String, (Stamp, Digest)>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: u64,
    mtime: (i64, i64),
    ctime: (i64, i64),
}

/// A path found by the walk, its digest still missing if it is a file.
struct Found {
    name: String,
    path: PathBuf,
    about: Metadata,
    counts: Option<What>,
}

pub(super) fn read(
    root: &Path,
    host: &str,
    hashes: &mut HashCache,
) -> Result<BTreeMap<String, Entry>, RehearseError> {
    let failed = |path: &Path, error: &io::Error| failure(host, format!("{}: {error}", path.display()));
    let start = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let found = walk(root).map_err(|(path, error)| failed(&path, &error))?;
    let digests = digest_all(&found, hashes).map_err(|(path, error)| failed(&path, &error))?;
    let mut tree = BTreeMap::new();
    let mut kept = HashMap::new();
    for (found, digest) in found.into_iter().zip(digests) {
        if let Some(digest) = digest
            && settled(&found.about, start)
        {
            kept.insert(found.name.clone(), (Stamp::of(&found.about), digest));
        }
        match entry(&found, digest) {
            Ok(Some(entry)) => drop(tree.insert(found.name, entry)),
            Ok(None) => {}
            // It went away between the walk and now, as a temporary file may.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(&found.path, &error)),
        }
    }
    hashes.0 = kept;
    Ok(tree)
}

fn walk(root: &Path) -> Result<Vec<Found>, (PathBuf, io::Error)> {
    let mut found = Vec::with_capacity(16 * 1024);
    // With the final separator the kernel follows the link in /proc, and not our own root.
    let top = root.join("");
    let about = fs::metadata(&top).map_err(|error| (top.clone(), error))?;
    let device = about.dev();
    found.push(Found { name: "/".to_owned(), path: top.clone(), about, counts: None });
    let mut folders = vec![(String::new(), top)];
    while let Some((above, folder)) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries.map_err(|error| (folder.clone(), error))?,
        };
        for entry in entries {
            let entry = entry.map_err(|error| (folder.clone(), error))?;
            let path = entry.path();
            let name = format!("{above}/{}", readable(entry.file_name().as_bytes()));
            let counts = skip::of(&name);
            if counts == Some(What::Whole) {
                continue;
            }
            let about = match fs::symlink_metadata(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                about => about.map_err(|error| (path.clone(), error))?,
            };
            // Only folders tell the file system: an overlay may show files under the numbers of its layers.
            if about.is_dir() && about.dev() == device && counts.is_none() {
                folders.push((name.clone(), path.clone()));
            }
            found.push(Found { name, path, about, counts });
        }
    }
    Ok(found)
}

/// The digests of the files among `found`, at the same places; on all processors.
fn digest_all(found: &[Found], hashes: &HashCache) -> Result<Vec<Option<Digest>>, (PathBuf, io::Error)> {
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let share = found.len().div_ceil(workers).max(1);
    thread::scope(|scope| {
        let parts: Vec<_> = found
            .chunks(share)
            .map(|part| {
                scope.spawn(move || {
                    part.iter().map(|found| digest(found, hashes)).collect::<Result<Vec<_>, _>>()
                })
            })
            .collect();
        let mut digests = Vec::with_capacity(found.len());
        for part in parts {
            let lost = || (PathBuf::from("/"), io::Error::other("a thread that read files has died"));
            digests.extend(part.join().map_err(|_| lost())??);
        }
        Ok(digests)
    })
}

fn digest(found: &Found, hashes: &HashCache) -> Result<Option<Digest>, (PathBuf, io::Error)> {
    if !found.about.is_file() {
        return Ok(None);
    }
    match hashes.0.get(&found.name) {
        Some((stamp, digest)) if *stamp == Stamp::of(&found.about) => Ok(Some(*digest)),
        _ => match File::open(&found.path).and_then(Digest::of_reader) {
            Ok((digest, _)) => Ok(Some(digest)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err((found.path.clone(), error)),
        },
    }
}

fn entry(found: &Found, digest: Option<Digest>) -> io::Result<Option<Entry>> {
    let about = &found.about;
    let of = about.file_type();
    let kind = if of.is_file() {
        let Some(sha256) = digest else { return Ok(None) };
        Kind::File { size: about.len(), sha256 }
    } else if of.is_dir() {
        Kind::Dir
    } else if of.is_symlink() {
        Kind::Link { to: readable(fs::read_link(&found.path)?.as_os_str().as_bytes()) }
    } else if of.is_char_device() {
        Kind::Char { device: about.rdev() }
    } else if of.is_block_device() {
        Kind::Block { device: about.rdev() }
    } else if of.is_fifo() {
        Kind::Fifo
    } else {
        Kind::Socket
    };
    let nanos = u32::try_from(about.mtime_nsec()).unwrap_or_default();
    Ok(Some(Entry {
        kind,
        mode: about.mode() & 0o7777,
        uid: about.uid(),
        gid: about.gid(),
        mtime: found.counts.is_none().then_some((about.mtime(), nanos)),
        xattrs: if found.counts.is_none() { xattrs(&found.path)? } else { BTreeMap::new() },
    }))
}

fn xattrs(path: &Path) -> io::Result<BTreeMap<String, String>> {
    let mut attributes = BTreeMap::new();
    for name in xattr::list(path)? {
        // The overlay's own notes are of this machine, not of the host.
        if name.as_bytes().starts_with(b"trusted.overlay.") {
            continue;
        }
        let value = xattr::get(path, &name)?.unwrap_or_default();
        attributes.insert(readable(name.as_bytes()), value.escape_ascii().to_string());
    }
    Ok(attributes)
}

/// A name as text, so that two names are never shown as one.
fn readable(name: &[u8]) -> String {
    match std::str::from_utf8(name) {
        Ok(text) if !text.contains(['\\', '\n']) => text.to_owned(),
        _ => name.escape_ascii().to_string(),
    }
}

fn settled(about: &Metadata, start: Duration) -> bool {
    let changed = u64::try_from(about.ctime()).unwrap_or_default();
    let nanos = u32::try_from(about.ctime_nsec()).unwrap_or_default();
    Duration::new(changed, nanos) + SETTLED < start
}

impl Stamp {
    fn of(about: &Metadata) -> Self {
        Self {
            inode: about.ino(),
            size: about.len(),
            mtime: (about.mtime(), about.mtime_nsec()),
            ctime: (about.ctime(), about.ctime_nsec()),
        }
    }
}

fn failure(host: &str, why: String) -> RehearseError {
    RehearseError::Capture { what: "tree", host: host.to_owned(), why }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_tree_is_read_and_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("etc")).unwrap();
        fs::create_dir_all(root.join("var/lib/chom/objects")).unwrap();
        fs::create_dir_all(root.join("var/log")).unwrap();
        fs::write(root.join("etc/a"), "abc").unwrap();
        fs::write(root.join("var/log/b"), "log").unwrap();
        symlink("a", root.join("etc/link")).unwrap();
        let mut hashes = HashCache::default();
        let tree = read(root, "h", &mut hashes).unwrap();
        let names: Vec<&str> = tree.keys().map(String::as_str).collect();
        assert_eq!(names, ["/", "/etc", "/etc/a", "/etc/link", "/var", "/var/lib", "/var/log"]);
        assert_eq!(tree["/etc/a"].kind, Kind::File { size: 3, sha256: Digest::of(b"abc") });
        assert_eq!(tree["/etc/link"].kind, Kind::Link { to: "a".to_owned() });
        assert_eq!(tree["/var/log"].mtime, None);
        assert_eq!(read(root, "h", &mut hashes).unwrap(), tree);
    }

    #[test]
    fn a_kept_digest_is_not_taken_for_changed_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let mut hashes = HashCache::default();
        for content in ["one", "two", "six"] {
            let time = fs::metadata(&path).and_then(|about| about.modified()).ok();
            fs::write(&path, content).unwrap();
            if let Some(time) = time {
                File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
            }
            let tree = read(folder.path(), "h", &mut hashes).unwrap();
            assert_eq!(tree["/a"].kind, Kind::File { size: 3, sha256: Digest::of(content.as_bytes()) });
        }
    }

    #[test]
    fn strange_names_stay_apart() {
        assert_eq!(readable(b"a\xff"), "a\\xff");
        assert_eq!(readable(b"a\\xff"), "a\\\\xff");
        assert_eq!(readable("ä".as_bytes()), "ä");
    }
}
