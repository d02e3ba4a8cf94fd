//! The manifest that the host has now: that of the newest committed transaction. It is read, or its reader is told why it
//! cannot be; that there is none is said only of a host that has none.

use std::collections::BTreeSet;

use chom_format::exit::Explain;
use chom_format::{Digest, Exit, HostPath, HostState, Manifest, StepId};

use super::{Files, TransactionRecord, Way};
use crate::open::{OpenError, read_manifest};
use crate::step::stated;
use crate::sys::{Sys, bytes_of};

/// What is installed.
#[derive(Debug)]
pub struct Installed {
    /// The transaction that brought it.
    pub id: u64,
    /// What it says.
    pub manifest: Manifest,
    /// As it was written.
    pub bytes: Vec<u8>,
}

/// A file of a committed transaction that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("what transaction {id} has left cannot be read: {path}: {why}")]
pub struct Unreadable {
    /// Which transaction.
    pub id: u64,
    /// Which file.
    pub path: HostPath,
    /// Why.
    pub why: String,
    /// What mends it.
    pub remedy: String,
}

/// What a host has whose transactions these are; none when it has none, or one of which nothing is kept.
pub fn installed(
    sys: &dyn Sys,
    files: &Files,
    known: &[TransactionRecord],
) -> Result<Option<Installed>, Unreadable> {
    let Some(id) = Way::of(known).committed(known) else { return Ok(None) };
    let begin = known.iter().find(|known| known.id == id).and_then(|known| known.state.begin.as_ref());
    let dir = files.root();
    let path = files.of(id, "manifest.json").map_err(|error| {
        let remedy = format!("ls -l {dir}");
        Unreadable { id, path: dir.clone(), why: error.to_string(), remedy }
    })?;
    let unreadable = |why: String| {
        let remedy = match begin.map(|begin| &begin.bundle) {
            Some(bundle) => {
                format!(
                    "copy manifest.json of bundle {bundle} there again, or roll it back: chom-install rollback"
                )
            }
            None => format!("copy manifest.json of its bundle there again, or do without: rm {path}"),
        };
        Unreadable { id, path: path.clone(), why, remedy }
    };
    let bytes = match bytes_of(sys, &path) {
        Ok(Some(bytes)) => bytes,
        // An older build has kept nothing of what it did not keep whole.
        Ok(None) if begin.is_none() => return Ok(None),
        Ok(None) => return Err(unreadable("it is not there".to_owned())),
        Err(error) => return Err(unreadable(error.to_string())),
    };
    if begin.is_some_and(|begin| begin.manifest != Digest::of(&bytes)) {
        return Err(unreadable("it is not what was committed".to_owned()));
    }
    match read_manifest(&bytes) {
        Ok(manifest) => Ok(Some(Installed { id, manifest, bytes })),
        Err(OpenError::Newer { found, known }) => Err(Unreadable {
            remedy: "use a chom-install that is as new as the one that wrote it".to_owned(),
            ..unreadable(format!("it has format {found}, and this program reads format {known}"))
        }),
        Err(error) => Err(unreadable(error.to_string())),
    }
}

impl Installed {
    /// Paths that are ours by it.
    pub fn paths(&self) -> BTreeSet<HostPath> {
        let steps = self.manifest.steps();
        steps.iter().flat_map(|(_, step)| stated(&step.spec).owns).cloned().collect()
    }

    /// Checks that the host has passed with it.
    pub fn checks(&self) -> BTreeSet<StepId> {
        self.manifest.checks.iter().map(|check| check.id.clone()).collect()
    }
}

impl Explain for Unreadable {
    fn exit(&self) -> Exit {
        Exit::Refused
    }

    fn hint(&self) -> Option<String> {
        Some(self.remedy.clone())
    }

    fn host(&self) -> HostState {
        HostState::Unchanged
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::sys::RealSys;
    use crate::transaction::way::tests::known;

    const GOLDEN: &[u8] = include_bytes!("golden/manifest-1.json");

    fn read(known: &[TransactionRecord], file: Option<&[u8]>) -> Result<Option<Installed>, Unreadable> {
        let host = tempfile::tempdir().unwrap();
        let dir = host.path().join("var/lib/chom/transactions/000003");
        fs::create_dir_all(&dir).unwrap();
        file.iter().for_each(|bytes| fs::write(dir.join("manifest.json"), bytes).unwrap());
        installed(&RealSys::new(host.path()), &Files::standard().unwrap(), known)
    }

    /// Every format that was ever written is read. They are added to and never written anew.
    #[test]
    fn manifests_of_every_format_are_read() {
        let installed = read(&[known(3, Some(0), GOLDEN, true)], Some(GOLDEN)).unwrap().unwrap();
        assert_eq!((installed.id, installed.manifest.format), (3, 1));
        assert_eq!(installed.manifest.host.name.as_str(), "mentat");
        assert!(!installed.checks().is_empty() && !installed.paths().is_empty());
    }

    #[test]
    fn nothing_is_installed_only_where_nothing_is() {
        assert!(read(&[], Some(GOLDEN)).unwrap().is_none());
        assert!(read(&[known(3, Some(0), GOLDEN, false)], Some(GOLDEN)).unwrap().is_none());
        // Of what is not kept the manifest may be, and an older build has kept nothing.
        let built_on = [known(4, Some(3), b"", false)];
        assert_eq!(read(&built_on, Some(GOLDEN)).unwrap().unwrap().id, 3);
        assert!(read(&built_on, None).unwrap().is_none());
        let newer = &br#"{"format": 2}"#[..];
        let cut = GOLDEN.get(..GOLDEN.len() / 2).unwrap();
        for (committed, file, why) in [
            (GOLDEN, None, "it is not there"),
            (GOLDEN, Some(cut), "it is not what was committed"),
            (cut, Some(cut), "EOF"),
            (newer, Some(newer), "it has format 2"),
            (&b""[..], Some(&b""[..]), "EOF"),
        ] {
            let error = read(&[known(3, Some(0), committed, true)], file).unwrap_err();
            assert!(error.why.contains(why), "{error}");
            assert_eq!((error.exit(), error.host()), (Exit::Refused, HostState::Unchanged));
            assert!(error.path.as_str().ends_with("000003/manifest.json"), "{error}");
        }
        let error = read(&built_on, Some(cut)).unwrap_err();
        assert!(
            error.remedy.ends_with("rm /var/lib/chom/transactions/000003/manifest.json"),
            "{}",
            error.remedy
        );
    }
}
