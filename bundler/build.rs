//! Builds `targets/` and `templates/` into the program: a table of paths and texts, sorted by path. And, when
//! `CHOM_EMBED_DIR` names the folder that they lie in, the installers for both processors.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use sha2::{Digest as _, Sha256};

fn main() -> io::Result<()> {
    let here = PathBuf::from(env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?);
    let root = here.parent().map(Path::to_owned).unwrap_or_default();
    let mut files = Vec::new();
    for folder in ["targets", "templates"] {
        println!("cargo::rerun-if-changed={}", root.join(folder).display());
        collect(&root.join(folder), &mut files)?;
    }
    files.sort();
    let mut table = String::from("[\n");
    for file in &files {
        let path = file.strip_prefix(&root).map_err(io::Error::other)?;
        let path = path.to_str().ok_or_else(|| io::Error::other(format!("{path:?} is not UTF-8")))?;
        writeln!(table, "    ({path:?}, include_str!({:?})),", file).map_err(io::Error::other)?;
    }
    table.push_str("]\n");
    let out = PathBuf::from(env::var("OUT_DIR").map_err(io::Error::other)?);
    fs::write(out.join("builtin.rs"), table)?;
    fs::write(out.join("installers.rs"), installers()?)
}

// Both or none: a program that can build for one processor only would be found out on the wrong day.
fn installers() -> io::Result<String> {
    println!("cargo::rerun-if-env-changed=CHOM_EMBED_DIR");
    let mut table = String::from("static BUILT_IN: &[(&str, &[u8], [u8; 32])] = &[\n");
    if let Some(folder) = env::var_os("CHOM_EMBED_DIR").filter(|folder| !folder.is_empty()) {
        for arch in ["x86_64", "aarch64"] {
            let path = fs::canonicalize(Path::new(&folder).join(format!("chom-install-{arch}")))
                .map_err(|error| io::Error::other(format!("chom-install-{arch} in {folder:?}: {error}")))?;
            println!("cargo::rerun-if-changed={}", path.display());
            let digest: [u8; 32] = Sha256::digest(fs::read(&path)?).into();
            writeln!(table, "    ({arch:?}, include_bytes!({path:?}), {digest:?}),")
                .map_err(io::Error::other)?;
        }
    }
    table.push_str("];\n");
    Ok(table)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let path = entry?.path();
        let hidden = path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
        if hidden {
            continue;
        }
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}
