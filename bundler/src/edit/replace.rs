//! A file replaced by a new text: never half, never over somebody else's change, and with the old one kept.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use chom_format::Digest;

use super::error::EditError;

/// How many copies of former texts are kept beside a file.
const BACKUPS: usize = 5;

/// What became of a file.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Saved {
    /// It says what it should already.
    Unchanged,
    /// It was replaced; the former text lies here.
    Replaced {
        /// The copy of the former text.
        backup: PathBuf,
    },
}

/// Replaces the text of a file that had the digest `read` when it was read. `stamp` dates the copy of the former
/// text; `last_moment` runs before the file is read for the last time.
pub fn replace(
    path: &Path,
    read: Digest,
    text: &str,
    stamp: &str,
    last_moment: impl FnOnce(),
) -> Result<Saved, EditError> {
    if Digest::of(text.as_bytes()) == read {
        return Ok(Saved::Unchanged);
    }
    // A link stays a link: the file that it leads to is replaced.
    let real = fs::canonicalize(path).map_err(failed("find", path))?;
    let folder = real.parent().unwrap_or(Path::new("/"));
    let meta = fs::metadata(&real).map_err(failed("look at", &real))?;
    let mut new = tempfile::Builder::new()
        .prefix(".chom-inventory-")
        .tempfile_in(folder)
        .map_err(failed("make a file in", folder))?;
    new.write_all(text.as_bytes()).map_err(failed("write", new.path()))?;
    keep_owner(new.as_file(), &meta)
        .map_err(failed("give the mode and owner of the old file to", new.path()))?;
    new.as_file().sync_all().map_err(failed("write", new.path()))?;
    last_moment();
    let now = fs::read(&real).map_err(failed("read", &real))?;
    if Digest::of(&now) != read {
        return Err(EditError::Changed(path.to_owned()));
    }
    let backup = keep_former(&real, &now, &meta, stamp)?;
    new.persist(&real).map_err(|error| failed("replace", &real)(error.error))?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("write", folder))?;
    prune(&real)?;
    Ok(Saved::Replaced { backup })
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> EditError {
    move |source| EditError::File { what, path: path.to_owned(), source }
}

fn keep_owner(file: &File, meta: &fs::Metadata) -> std::io::Result<()> {
    let own = file.metadata()?;
    if (own.uid(), own.gid()) != (meta.uid(), meta.gid()) {
        fchown(file, Some(meta.uid()), Some(meta.gid()))?;
    }
    file.set_permissions(fs::Permissions::from_mode(meta.mode() & 0o7777))
}

fn keep_former(path: &Path, text: &[u8], meta: &fs::Metadata, stamp: &str) -> Result<PathBuf, EditError> {
    let name = |suffix: &str| path.with_file_name(format!("{}.{stamp}{suffix}.bak", file_name(path)));
    let mut backup = name("");
    for number in 2_u32.. {
        match fs::OpenOptions::new().write(true).create_new(true).open(&backup) {
            Ok(mut file) => {
                let kept = file
                    .write_all(text)
                    .and_then(|()| keep_owner(&file, meta))
                    .and_then(|()| file.sync_all());
                kept.map_err(failed("write", &backup))?;
                return Ok(backup);
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                backup = name(&format!("-{number}"))
            }
            Err(error) => return Err(failed("make", &backup)(error)),
        }
    }
    Ok(backup)
}

// Only names that this module gives are ours to take away.
fn prune(path: &Path) -> Result<(), EditError> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let prefix = format!("{}.", file_name(path));
    let is_ours = |name: &str| {
        let stamp = name.strip_prefix(&prefix).and_then(|rest| rest.strip_suffix(".bak"));
        stamp.is_some_and(|stamp| {
            stamp.len() >= 16 && stamp.chars().all(|c| c.is_ascii_digit() || "TZ-".contains(c))
        })
    };
    let entries = fs::read_dir(folder).map_err(failed("list", folder))?;
    let mut ours: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| is_ours(name))
        .collect();
    ours.sort();
    let surplus = ours.len().saturating_sub(BACKUPS);
    for name in ours.into_iter().take(surplus) {
        let old = folder.join(name);
        fs::remove_file(&old).map_err(failed("remove", &old))?;
    }
    Ok(())
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn swap(path: &Path, text: &str, stamp: &str, last: impl FnOnce()) -> Result<Saved, EditError> {
        replace(path, Digest::of(&fs::read(path).unwrap()), text, stamp, last)
    }

    #[test]
    fn mode_owner_and_link_stay_and_the_former_text_is_kept() {
        let root = tempfile::tempdir().unwrap();
        let (file, link) = (root.path().join("i.yaml"), root.path().join("link"));
        fs::write(&file, "old").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink("i.yaml", &link).unwrap();
        assert_eq!(swap(&link, "old", "20260101T000000Z", || ()).unwrap(), Saved::Unchanged);
        assert_eq!(names(root.path()), ["i.yaml", "link"]);
        let Saved::Replaced { backup } = swap(&link, "new", "20260101T000000Z", || ()).unwrap() else {
            panic!()
        };
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        assert_eq!(fs::read_to_string(&backup).unwrap(), "old");
        for path in [&file, &backup] {
            assert_eq!(fs::metadata(path).unwrap().mode() & 0o7777, 0o640);
        }
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(names(root.path()), ["i.yaml", "i.yaml.20260101T000000Z.bak", "link"]);
    }

    #[test]
    fn five_former_texts_are_kept_and_foreign_files_stay() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("i.yaml");
        fs::write(&file, "0").unwrap();
        fs::write(root.path().join("i.yaml.mine.bak"), "").unwrap();
        for number in 1..9 {
            swap(&file, &number.to_string(), &format!("20260101T00000{}Z", number / 2), || ()).unwrap();
        }
        let kept = names(root.path());
        assert_eq!(kept.len(), 7, "{kept:?}");
        assert!(kept.contains(&"i.yaml.mine.bak".to_owned()));
        assert!(kept.contains(&"i.yaml.20260101T000003Z-2.bak".to_owned()), "{kept:?}");
        assert!(!kept.contains(&"i.yaml.20260101T000000Z.bak".to_owned()));
    }

    #[test]
    fn a_change_in_the_last_moment_is_not_overwritten() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("i.yaml");
        fs::write(&file, "old").unwrap();
        let changed = swap(&file, "new", "20260101T000000Z", || fs::write(&file, "theirs").unwrap());
        assert!(matches!(changed, Err(EditError::Changed(_))));
        assert_eq!(fs::read_to_string(&file).unwrap(), "theirs");
        assert_eq!(names(root.path()), ["i.yaml"]);
    }
}
