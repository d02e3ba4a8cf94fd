//! What the control machine knows of Debian's archive: its own apt sources and Debian's keyring. Only read.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::LockError;
use super::mirrors::{MirrorUrl, Mirrors};
use super::sources::MirrorSet;

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// The mirrors to use: those of the inventory, and for what it leaves open those of this machine.
pub fn mirrors(wanted: &Mirrors) -> Result<MirrorSet, LockError> {
    mirrors_below(wanted, Path::new("/etc/apt"))
}

fn mirrors_below(wanted: &Mirrors, etc_apt: &Path) -> Result<MirrorSet, LockError> {
    let mut own = MirrorSet::default();
    if wanted.debian.is_none() || wanted.security.is_none() {
        own = read(etc_apt);
    }
    let choose = |wanted: &Option<Vec<MirrorUrl>>, own: Vec<MirrorUrl>, setting| {
        let chosen = wanted.clone().unwrap_or(own);
        if chosen.is_empty() { Err(LockError::NoMirror { setting }) } else { Ok(chosen) }
    };
    Ok(MirrorSet {
        debian: choose(&wanted.debian, own.debian, "debian")?,
        security: choose(&wanted.security, own.security, "security")?,
    })
}

fn read(etc_apt: &Path) -> MirrorSet {
    let mut files = vec![etc_apt.join("sources.list")];
    let parts = fs::read_dir(etc_apt.join("sources.list.d")).into_iter().flatten().flatten();
    let mut parts: Vec<PathBuf> = parts.map(|entry| entry.path()).collect();
    parts.sort();
    files.extend(parts);
    let read = |path: &str| fs::read_to_string(path).ok();
    let mut set = MirrorSet::default();
    for file in files {
        // A file that only root may read is no source for this user's apt either.
        let Ok(text) = fs::read_to_string(&file) else { continue };
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("list") => set.add_list(&text, &read),
            Some("sources") => set.add_deb822(&text, &read),
            _ => {}
        }
    }
    set
}

/// Debian's keyring: the one that is named, else where Debian's package puts it.
pub(super) fn keyring(named: Option<&Path>) -> Result<PathBuf, LockError> {
    let path = named.unwrap_or(Path::new(KEYRING));
    if path.is_file() { Ok(path.to_owned()) } else { Err(LockError::NoKeyring(path.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inventory_comes_before_the_machine() {
        let etc = tempfile::tempdir().unwrap();
        fs::create_dir(etc.path().join("sources.list.d")).unwrap();
        fs::write(etc.path().join("sources.list"), "deb http://own.example/debian bookworm main\n").unwrap();
        fs::write(
            etc.path().join("sources.list.d/security.sources"),
            "Types: deb\nURIs: http://own.example/debian-security\nSuites: bookworm-security\nComponents: main\n",
        )
        .unwrap();
        fs::write(
            etc.path().join("sources.list.d/old.list.save"),
            "deb http://old.example/debian buster main\n",
        )
        .unwrap();
        let own = mirrors_below(&Mirrors::default(), etc.path()).unwrap();
        assert_eq!(own.debian, ["http://own.example/debian".parse().unwrap()]);
        assert_eq!(own.security, ["http://own.example/debian-security".parse().unwrap()]);

        let named: MirrorUrl = "https://named.example/debian".parse().unwrap();
        let wanted = Mirrors { debian: Some(vec![named.clone()]), ..Mirrors::default() };
        let mixed = mirrors_below(&wanted, etc.path()).unwrap();
        assert_eq!((mixed.debian, mixed.security), (vec![named], own.security));
    }

    #[test]
    fn no_mirror_and_no_keyring_are_named() {
        let etc = tempfile::tempdir().unwrap();
        let error = mirrors_below(&Mirrors::default(), etc.path()).unwrap_err();
        assert!(error.to_string().contains("mirrors.debian"), "{error}");
        let error = keyring(Some(&etc.path().join("none.gpg"))).unwrap_err();
        assert!(error.to_string().contains("none.gpg"), "{error}");
    }
}
