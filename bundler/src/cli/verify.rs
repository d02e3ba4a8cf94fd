//! `chom-bundle verify`: whether a bundle holds what it says.

use std::fs;
use std::path::{Path, PathBuf};

use chom_format::exit::Explain;
use chom_format::{Digest, Exit, HostState};
use clap::Args;
use serde_json::json;

use super::{Ctx, Error};
use crate::pack::{Bundle, summary};

/// Check every byte of a bundle, tarball or unpacked folder
#[derive(Debug, Args)]
pub struct Verify {
    /// The bundle
    bundle: PathBuf,
}

/// The digest beside a tarball is another one.
#[derive(Debug, thiserror::Error)]
#[error("{} has sha256 {found}, and {} says {wanted}", .tarball.display(), .beside.display())]
struct Beside {
    tarball: PathBuf,
    beside: PathBuf,
    found: Digest,
    wanted: String,
}

impl Explain for Beside {
    fn exit(&self) -> Exit {
        Exit::BadInput
    }

    fn hint(&self) -> Option<String> {
        Some("copy both files again, or build the bundle again".to_owned())
    }

    fn host(&self) -> HostState {
        HostState::NotConcerned
    }
}

impl Verify {
    /// Runs the command.
    pub fn run(self, ctx: &mut Ctx) -> Result<Exit, Error> {
        let bundle = Bundle::read(&self.bundle)?;
        let beside = beside(&self.bundle, bundle.sha256)?;
        if ctx.printer.json_wanted() {
            ctx.printer.json(&json!({
                "format": 1, "ok": true, "name": bundle.name, "sha256": bundle.sha256, "files": bundle.files.len(),
                "sha256_file_agrees": beside,
            }));
            return Ok(Exit::Done);
        }
        let bytes = bundle.files.values().map(|file| file.size).sum();
        ctx.printer.line(format_args!(
            "{}: every byte as listed ({} files, {})",
            bundle.name,
            bundle.files.len(),
            summary::size(bytes)
        ));
        if beside.is_none() && bundle.sha256.is_some() {
            ctx.printer.say("there is no .sha256 file beside it to compare with");
        }
        Ok(Exit::Done)
    }
}

// Whether the `.sha256` beside a tarball agrees; none when there is no such file.
fn beside(tarball: &Path, found: Option<Digest>) -> Result<Option<bool>, Beside> {
    let mut beside = tarball.as_os_str().to_owned();
    beside.push(".sha256");
    let beside = PathBuf::from(beside);
    let (Some(found), Ok(text)) = (found, fs::read_to_string(&beside)) else { return Ok(None) };
    let wanted = text.split_whitespace().next().unwrap_or_default().to_owned();
    if wanted == found.to_string() {
        return Ok(Some(true));
    }
    Err(Beside { tarball: tarball.to_owned(), beside, found, wanted })
}
