//! What a rehearsal must know of a bundle before it copies it: its folder, its host, its steps. It reads the
//! manifest leniently, because judging a bundle is the installer's work, and part of what is rehearsed.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use chom_format::manifest::{Arch, Suite};
use chom_format::{HostName, StepId};
use flate2::read::MultiGzDecoder;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::RehearseError;

/// A manifest is small; a file of this name that is larger is none.
const MANIFEST_LIMIT: u64 = 64 << 20;

/// A bundle as a rehearsal sees it.
#[derive(Debug, Clone)]
pub struct BundleHead {
    /// The tarball.
    pub path: PathBuf,
    /// The one folder in it.
    pub folder: String,
    /// Whose it is.
    pub host: Option<HostName>,
    /// For which Debian.
    pub suite: Option<Suite>,
    /// For which processor.
    pub arch: Option<Arch>,
    /// Which machine-id it asks for.
    pub machine_id: Option<String>,
    /// The ids of its steps in order.
    pub steps: Vec<StepId>,
}

impl BundleHead {
    /// The places beside its steps at which every installation can fail or be interrupted.
    const FURTHER: [&str; 2] = ["check", "commit"];

    /// Where a fault can be rehearsed, in the order of a run.
    pub fn places(&self) -> Vec<StepId> {
        self.steps
            .iter()
            .cloned()
            .chain(Self::FURTHER.iter().filter_map(|place| place.parse().ok()))
            .collect()
    }

    /// Reads the head of a tarball.
    pub fn read(path: &Path) -> Result<Self, RehearseError> {
        let refuse = |why: String| RehearseError::Bundle {
            path: path.to_owned(),
            why,
            hint: "make the bundle with chom-bundle build".to_owned(),
        };
        let file = File::open(path).map_err(|error| refuse(format!("cannot be opened: {error}")))?;
        let mut archive = tar::Archive::new(MultiGzDecoder::new(file));
        let broken = |error: std::io::Error| refuse(format!("is not a bundle: {error}"));
        for member in archive.entries().map_err(broken)? {
            let mut member = member.map_err(broken)?;
            let name = member.path().map_err(broken)?.into_owned();
            let Ok(inner) = name.strip_prefix(top(&name)) else { continue };
            if inner != Path::new("manifest.json") {
                continue;
            }
            let mut text = Vec::new();
            member.by_ref().take(MANIFEST_LIMIT).read_to_end(&mut text).map_err(broken)?;
            let manifest: Value =
                serde_json::from_slice(&text).map_err(|error| refuse(format!("manifest.json: {error}")))?;
            return Ok(Self::of(path, &top(&name).to_string_lossy(), &manifest));
        }
        Err(refuse("is not a bundle: it has no manifest.json".to_owned()))
    }

    fn of(path: &Path, folder: &str, manifest: &Value) -> Self {
        let phases = ["prepare", "install", "activate", "expose"];
        let of_phase = |phase: &str| manifest.pointer(&format!("/phases/{phase}")).and_then(Value::as_array);
        let steps = phases.iter().filter_map(|phase| of_phase(phase)).flatten();
        Self {
            path: path.to_owned(),
            folder: folder.to_owned(),
            host: manifest
                .pointer("/host/name")
                .and_then(Value::as_str)
                .and_then(|name| HostName::from_str(name).ok()),
            suite: typed(manifest, "/host/suite"),
            arch: typed(manifest, "/host/arch"),
            machine_id: manifest.pointer("/host/machine_id").and_then(Value::as_str).map(str::to_owned),
            steps: steps.filter_map(|step| StepId::from_str(step.get("id")?.as_str()?).ok()).collect(),
        }
    }
}

fn top(name: &Path) -> &Path {
    name.components().next().map_or(Path::new(""), |first| Path::new(first.as_os_str()))
}

fn typed<T: DeserializeOwned>(manifest: &Value, pointer: &str) -> Option<T> {
    serde_json::from_value(manifest.pointer(pointer)?.clone()).ok()
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn tarball(folder: &Path, member: &str, content: &str) -> PathBuf {
        let path = folder.join("b.tar.gz");
        let mut tar = tar::Builder::new(GzEncoder::new(File::create(&path).unwrap(), Compression::fast()));
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, member, content.as_bytes()).unwrap();
        tar.into_inner().unwrap().finish().unwrap();
        path
    }

    #[test]
    fn the_head_of_a_bundle() {
        let folder = tempfile::tempdir().unwrap();
        let manifest = r#"{"host": {"name": "mentat", "suite": "trixie", "arch": "x86_64"}, "phases":
            {"expose": [{"id": "c/open"}], "prepare": [{"id": "a/user"}, {"id": "b/dir"}]}}"#;
        let head = BundleHead::read(&tarball(folder.path(), "mentat-1-abc/manifest.json", manifest)).unwrap();
        assert_eq!((head.folder.as_str(), head.suite), ("mentat-1-abc", Some(Suite::Trixie)));
        let steps: Vec<&str> = head.steps.iter().map(StepId::as_str).collect();
        assert_eq!(steps, ["a/user", "b/dir", "c/open"]);
    }

    #[test]
    fn what_is_no_bundle_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let plain = folder.path().join("plain");
        std::fs::write(&plain, "not a tarball").unwrap();
        let other = tarball(folder.path(), "x/readme", "hello");
        for path in [plain, other, folder.path().join("nothing")] {
            assert!(matches!(BundleHead::read(&path), Err(RehearseError::Bundle { .. })), "{path:?}");
        }
    }
}
