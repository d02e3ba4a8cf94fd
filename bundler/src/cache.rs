//! The content-addressed cache of the control machine, shared by all inventories.
//!
//! It owns `objects/<sha256>`, the partial downloads beside them, notes of what is slow to find out again, gzip
//! members ready to be copied, and the folder of the private apt roots. An object appears under its name only by a
//! rename of bytes that were hashed on their way in, so a name in `objects/` never holds half a file; what
//! a disk did to it later is found by whoever reads it, since the name says what it must be.

use std::env;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use chom_format::digest::Hasher;
use chom_format::exit::Explain;
use chom_format::{Digest, Exit, HostState};
use tempfile::NamedTempFile;

/// An operation on the cache that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {path}")]
pub struct CacheError {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl Explain for CacheError {
    fn exit(&self) -> Exit {
        Exit::Failed
    }

    fn hint(&self) -> Option<String> {
        Some(match self.source.kind() {
            io::ErrorKind::StorageFull => {
                format!("free space on the file system that holds {}", self.path.display())
            }
            _ => "name a folder that you may write to with --cache DIR or CHOM_CACHE".to_owned(),
        })
    }

    fn host(&self) -> HostState {
        HostState::NotConcerned
    }
}

/// A folder with everything that was ever fetched.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// Opens the cache in `root`, making the folder when there is none.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, CacheError> {
        let root = root.into();
        for part in ["objects", "partial", "notes", "packed", "apt"] {
            let path = root.join(part);
            fs::create_dir_all(&path).map_err(|source| CacheError { action: "make", path, source })?;
        }
        Ok(Self { root })
    }

    /// Where the cache lies when nobody says otherwise: `CHOM_CACHE`, else `chom` in the user's cache folder.
    pub fn default_dir() -> PathBuf {
        let named = |key| env::var_os(key).filter(|value| !value.is_empty()).map(PathBuf::from);
        named("CHOM_CACHE")
            .or_else(|| named("XDG_CACHE_HOME").map(|dir| dir.join("chom")))
            .or_else(|| named("HOME").map(|dir| dir.join(".cache/chom")))
            .unwrap_or_else(|| PathBuf::from(".chom/cache"))
    }

    /// Where the object of this digest lies, whether or not it is there.
    pub fn object(&self, digest: &Digest) -> PathBuf {
        self.root.join("objects").join(digest.to_string())
    }

    /// The size of an object in bytes; none when it is not in the cache.
    pub fn size(&self, digest: &Digest) -> Option<u64> {
        fs::metadata(self.object(digest)).ok().filter(fs::Metadata::is_file).map(|meta| meta.len())
    }

    /// Reads an object again and says whether it still is what its name says. A damaged one is removed.
    pub fn verify(&self, digest: &Digest) -> Result<bool, CacheError> {
        let path = self.object(digest);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(source) => return Err(CacheError { action: "open", path, source }),
        };
        let (found, _) = Digest::of_reader(file).map_err(|source| CacheError {
            action: "read",
            path: path.clone(),
            source,
        })?;
        if found == *digest {
            return Ok(true);
        }
        log::warn!("{} is damaged: it holds sha256 {found}; it is removed", path.display());
        fs::remove_file(&path).map_err(|source| CacheError { action: "remove", path, source })?;
        Ok(false)
    }

    /// Opens an object for reading.
    pub fn read(&self, digest: &Digest) -> Result<File, CacheError> {
        let path = self.object(digest);
        File::open(&path).map_err(|source| CacheError { action: "open", path, source })
    }

    /// Puts bytes into the cache.
    pub fn insert(&self, bytes: &[u8]) -> Result<Digest, CacheError> {
        let (digest, _) = self.insert_reader(bytes)?;
        Ok(digest)
    }

    /// Puts all that a reader gives into the cache, and says its digest and size in bytes.
    ///
    /// The bytes are not flushed to the disk here: a release of ten thousand small files would wait for the
    /// disk ten thousand times. [`Cache::settle`] does it once.
    pub fn insert_reader(&self, mut reader: impl io::Read) -> Result<(Digest, u64), CacheError> {
        let objects = self.root.join("objects");
        let failed = |action, source| CacheError { action, path: objects.clone(), source };
        let temp = NamedTempFile::new_in(&objects).map_err(|source| failed("write to", source))?;
        let mut hasher = Hasher::new(temp);
        io::copy(&mut reader, &mut hasher).map_err(|source| failed("write to", source))?;
        let (digest, size, mut temp) = hasher.finish();
        temp.flush().map_err(|source| failed("write to", source))?;
        if self.size(&digest) != Some(size) {
            let path = self.object(&digest);
            readable(temp.as_file()).map_err(|source| failed("write to", source))?;
            temp.persist(&path).map_err(|error| CacheError { action: "write", path, source: error.error })?;
        }
        Ok((digest, size))
    }

    /// Waits until everything inserted so far is on the disk.
    pub fn settle(&self) -> Result<(), CacheError> {
        let failed = |source| CacheError { action: "flush", path: self.root.clone(), source };
        let root = File::open(&self.root).map_err(failed)?;
        nix::unistd::syncfs(&root).map_err(|errno| failed(errno.into()))
    }

    /// Makes a finished download an object: `path` lies in this cache and holds bytes of this digest.
    pub(crate) fn adopt(&self, path: &Path, digest: &Digest) -> Result<(), CacheError> {
        let target = self.object(digest);
        let failed = |action, source| CacheError { action, path: target.clone(), source };
        let file = File::open(path).map_err(|source| failed("open", source))?;
        readable(&file).map_err(|source| failed("write", source))?;
        file.sync_all().map_err(|source| failed("flush", source))?;
        fs::rename(path, &target).map_err(|source| failed("write", source))?;
        let folder = File::open(self.root.join("objects")).map_err(|source| failed("flush", source))?;
        folder.sync_all().map_err(|source| failed("flush", source))
    }

    /// Where an unfinished download of this digest lies.
    pub(crate) fn partial(&self, digest: &Digest) -> PathBuf {
        self.root.join("partial").join(format!("{digest}.part"))
    }

    /// The file whose lock says that someone is downloading this digest now.
    pub(crate) fn partial_lock(&self, digest: &Digest) -> PathBuf {
        self.root.join("partial").join(format!("{digest}.lock"))
    }

    /// What was noted under a key. Its own digest stands before it: a note that a disk changed is none.
    pub(crate) fn note(&self, key: &Digest) -> Option<String> {
        let note = fs::read_to_string(self.notes(key)).ok()?;
        let (digest, text) = note.split_once('\n')?;
        (digest == Digest::of(text.as_bytes()).to_string()).then(|| text.to_owned())
    }

    /// Notes what is slow to find out again. A note that cannot be written costs the next run some seconds, and
    /// nothing else.
    pub(crate) fn keep_note(&self, key: &Digest, text: &str) {
        let path = self.notes(key);
        let temp = path.with_extension(std::process::id().to_string());
        if fs::write(&temp, format!("{}\n{text}", Digest::of(text.as_bytes()))).is_ok() {
            let _ = fs::rename(&temp, &path);
        }
    }

    fn notes(&self, key: &Digest) -> PathBuf {
        self.root.join("notes").join(key.to_string())
    }

    /// Where the gzip member of an object lies, ready to be copied into a bundle.
    pub(crate) fn packed(&self, digest: &Digest) -> PathBuf {
        self.root.join("packed").join(digest.to_string())
    }

    /// The folder of a private apt root.
    pub(crate) fn apt(&self, name: &str) -> PathBuf {
        self.root.join("apt").join(name)
    }
}

// Temporary files are made 0600; the cache may be shared by the users of a machine.
fn readable(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_is_found_under_its_digest() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        let digest = cache.insert(b"abc").unwrap();
        cache.settle().unwrap();
        assert_eq!(digest, Digest::of(b"abc"));
        assert_eq!(cache.size(&digest), Some(3));
        assert_eq!(fs::read(cache.object(&digest)).unwrap(), b"abc");
        assert!(cache.verify(&digest).unwrap());
        assert_eq!(cache.size(&Digest::of(b"x")), None);
        assert!(!cache.verify(&Digest::of(b"x")).unwrap());
    }

    #[test]
    fn a_damaged_object_is_found_out_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        let digest = cache.insert(b"abc").unwrap();
        fs::write(cache.object(&digest), b"abd").unwrap();
        assert!(!cache.verify(&digest).unwrap());
        assert_eq!(cache.size(&digest), None);
        assert_eq!(cache.insert(b"abc").unwrap(), digest);
        assert!(cache.verify(&digest).unwrap());
    }

    #[test]
    fn a_damaged_note_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        let key = Digest::of(b"key");
        assert_eq!(cache.note(&key), None);
        cache.keep_note(&key, "one\ntwo");
        assert_eq!(cache.note(&key).as_deref(), Some("one\ntwo"));
        let path = dir.path().join("notes").join(key.to_string());
        fs::write(&path, fs::read_to_string(&path).unwrap().replace("two", "tow")).unwrap();
        assert_eq!(cache.note(&key), None);
    }

    #[test]
    fn an_object_cut_short_by_a_crash_is_written_again() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        let digest = cache.insert(b"abc").unwrap();
        fs::write(cache.object(&digest), b"").unwrap();
        cache.insert(b"abc").unwrap();
        assert!(cache.verify(&digest).unwrap());
    }
}
