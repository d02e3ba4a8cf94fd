//! Where a host path lies under the root.
//!
//! Links among its parents are followed, as the host itself would: `/lib/x` is `/usr/lib/x` on a merged
//! system. When the root is a directory they are followed inside that directory, so that an absolute
//! link in it never leads to this machine's own files. The last part is never followed.

use std::fs;
use std::path::{Component, Path, PathBuf};

use chom_format::HostPath;

use super::super::SysError;
use super::absent;

// As the kernel has it.
const MOST_LINKS: u32 = 40;

/// The place of a path; its parents must be there.
pub(super) fn place(root: &Path, path: &HostPath) -> Result<PathBuf, SysError> {
    existing(root, path)?.ok_or_else(|| SysError::Io {
        operation: "find",
        object: path.to_string(),
        source: std::io::ErrorKind::NotFound.into(),
    })
}

/// The place of a path; none when a parent is missing or is no directory.
pub(super) fn existing(root: &Path, path: &HostPath) -> Result<Option<PathBuf>, SysError> {
    if root == Path::new("/") {
        return Ok(Some(path.under(root)));
    }
    let Some(parent) = path.parent() else { return Ok(Some(root.to_path_buf())) };
    let mut todo: Vec<String> = parts(Path::new(parent.as_str()));
    todo.reverse();
    let mut inside = PathBuf::new();
    let mut links = 0;
    while let Some(part) = todo.pop() {
        if part == ".." {
            inside.pop();
            continue;
        }
        let next = inside.join(&part);
        match fs::symlink_metadata(root.join(&next)) {
            Ok(found) if found.is_symlink() => {
                links += 1;
                if links > MOST_LINKS {
                    return Err(SysError::other("find", path, "too many links among its parents"));
                }
                let target = fs::read_link(root.join(&next)).map_err(SysError::io("read the link", path))?;
                if target.is_absolute() {
                    inside = PathBuf::new();
                }
                todo.extend(parts(&target).into_iter().rev());
            }
            Ok(found) if found.is_dir() => inside = next,
            Ok(_) => return Ok(None),
            Err(error) if absent(&error) => return Ok(None),
            Err(error) => return Err(SysError::io("stat", path)(error)),
        }
    }
    Ok(Some(root.join(inside).join(path.name())))
}

fn parts(path: &Path) -> Vec<String> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(part) => Some(part.to_string_lossy().into_owned()),
            Component::ParentDir => Some("..".to_owned()),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => None,
        })
        .collect()
}
