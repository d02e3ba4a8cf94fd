//! Makes a backup: measured, written out of sight, read again, and only then seen.
//!
//! ```text
//! measure all -> room? limits? -> each part -> label -> read all again -> one rename -> old ones go
//!     \__ refused, nothing written __/  \______ any failure: nothing is left ______/
//! ```

use chom_format::backup::BackupSpec;
use chom_format::{HostPath, RelPath};
use jiff::Timestamp;

use super::age::FileKey;
use super::error::BackupError;
use super::label::{FORMAT, Kept, Label, file_of};
use super::pack::Packing;
use super::shelf::{Found, Shelf};
use super::source::{self, Measured};
use super::verify::{Keys, verify};
use crate::resource::{below, private, remove_tree};
use crate::sys::{Effect, Source, Sys, SysError, interrupt};

/// What is written beside the parts, and what others write meanwhile.
const RESERVE: u64 = 64 << 20;
/// A directory in which somebody saves a file just now is another one a moment later.
const TRIES: usize = 3;

/// What a backup is made of.
#[derive(Debug)]
pub struct BackupRequest<'a> {
    /// What stands on the host says it.
    pub spec: &'a BackupSpec,
    /// What the label says beside its parts.
    pub about: About,
}

/// What the label says beside its parts.
#[derive(Debug, Clone)]
pub struct About {
    /// Of which host.
    pub host: chom_format::HostName,
    /// Of which bundle.
    pub bundle: String,
    /// The transaction that stands.
    pub stood: u64,
    /// The transaction before which it is made.
    pub transaction: Option<u64>,
    /// Who asked for it.
    pub by: String,
}

/// How far it is.
#[derive(Debug, Clone, Copy)]
pub enum Stage<'a> {
    /// This part is being measured.
    Measuring(&'a str),
    /// This part is being read.
    Reading(&'a str),
    /// This file is being read again.
    Verifying(&'a str),
}

/// Whether a backup could be made now: the sizes of all parts, or everything that stands in the way.
pub fn measure(
    sys: &dyn Sys,
    spec: &BackupSpec,
    told: &dyn Fn(&Stage<'_>),
) -> Result<Vec<Measured>, BackupError> {
    let faults: Vec<String> = spec.faults().into_iter().map(|(_, fault)| fault).collect();
    if !faults.is_empty() {
        return Err(BackupError::Spec(faults));
    }
    if spec.parts.is_empty() {
        return Err(BackupError::NothingNamed);
    }
    let (mut all, mut problems) = (Vec::new(), Vec::new());
    for part in &spec.parts {
        interrupt::check()?;
        told(&Stage::Measuring(part.name.as_str()));
        match source::measure(sys, part) {
            Ok(measured) if measured.bytes > part.limit => {
                let (bytes, limit) = (size(measured.bytes), size(part.limit));
                problems.push(format!("`{}` has {bytes}, and its limit is {limit}", part.name));
            }
            Ok(measured) => all.push(measured),
            Err(error) => problems.push(format!("`{}`: {error}", part.name)),
        }
    }
    let needed = all.iter().map(|measured| measured.bytes).sum::<u64>();
    let space = sys.space(&spec.policy.dir)?;
    let parent = spec.policy.dir.parent().unwrap_or_else(HostPath::root);
    if sys.meta(&parent)?.is_none() {
        problems.push(format!("{parent} is not there, so there is no place for {}", spec.policy.dir));
    } else if space.read_only {
        problems.push(format!("the file system of {} is read-only", spec.policy.dir));
    } else if space.free_bytes < needed + RESERVE {
        let (needed, free) = (size(needed + RESERVE), size(space.free_bytes));
        problems.push(format!("up to {needed} are needed in {}, and {free} are free", spec.policy.dir));
    }
    if problems.is_empty() { Ok(all) } else { Err(BackupError::Refused(problems)) }
}

/// Makes a backup. It is seen when this returns, and after an error there is nothing of it.
pub fn create(
    sys: &mut dyn Sys,
    request: &BackupRequest<'_>,
    told: &dyn Fn(&Stage<'_>),
) -> Result<Found, BackupError> {
    let shelf = Shelf { dir: request.spec.policy.dir.clone() };
    let measured = measure(sys, request.spec, told)?;
    shelf.establish(sys)?;
    let id = shelf.next_id(sys)?;
    let workshop = shelf.workshop(id)?;
    sys.effect(&Effect::MakeDir { path: &workshop, attrs: &private(0o700) })?;
    let made = fill(sys, request, id, &workshop, measured, told).and_then(|label| {
        let place = shelf.place(id)?;
        sys.effect(&Effect::Rename { from: &workshop, to: &place })?;
        Ok(Found { id, place, label: Ok(label) })
    });
    if made.is_err()
        && let Err(second) = remove_tree(sys, &workshop)
    {
        // The first error is the one to tell; the next run sweeps it.
        log::warn!("{workshop} stays behind: {second}");
    }
    made
}

fn fill(
    sys: &mut dyn Sys,
    request: &BackupRequest<'_>,
    id: u64,
    workshop: &HostPath,
    measured: Vec<Measured>,
    told: &dyn Fn(&Stage<'_>),
) -> Result<Label, BackupError> {
    let (about, recipients) = (&request.about, &request.spec.policy.recipients);
    let at = Timestamp::now().to_string();
    let (mut parts, mut keys) = (Vec::new(), Vec::new());
    for (part, measured) in request.spec.parts.iter().zip(measured) {
        interrupt::check()?;
        told(&Stage::Reading(part.name.as_str()));
        let failed = |source| BackupError::Part { part: part.name.to_string(), source };
        let key = FileKey::fresh().map_err(SysError::io("read", "/dev/urandom"))?;
        let file: RelPath = file_of(part, !recipients.is_empty())
            .parse()
            .map_err(|why| failed(SysError::other("name", &part.name, format!("{why}"))))?;
        let path = workshop.join(&file);
        let kept = write(sys, part, measured, recipients, &key, &path, file).map_err(failed)?;
        parts.push(kept);
        keys.push(key);
    }
    let label = Label {
        format: FORMAT,
        id,
        at,
        host: about.host.clone(),
        bundle: about.bundle.clone(),
        stood: about.stood,
        transaction: about.transaction,
        by: about.by.clone(),
        tool: concat!("chom-install ", env!("CARGO_PKG_VERSION")).to_owned(),
        recipients: recipients.clone(),
        parts,
    };
    for (name, bytes) in [("SHA256SUMS", label.sums().into_bytes()), ("backup.json", label.to_bytes()?)] {
        let (path, source) = (below(workshop, name)?, Source::Bytes(&bytes));
        sys.effect(&Effect::Write { path: &path, source, attrs: &private(0o600) })?;
    }
    let read_again = sys.open(&below(workshop, "backup.json")?).map(Label::read)?;
    let found = Found { id, place: workshop.clone(), label: read_again };
    let seen = |kept: &Kept| told(&Stage::Verifying(kept.file.as_str()));
    match verify(sys, &found, Keys::Written(&keys), &seen) {
        Ok(_) => Ok(label),
        Err(damages) => {
            interrupt::check()?;
            Err(damages.into_iter().next().map_or(BackupError::NothingNamed, BackupError::NotGood))
        }
    }
}

fn write(
    sys: &mut dyn Sys,
    part: &chom_format::backup::BackupPart,
    mut measured: Measured,
    recipients: &[chom_format::backup::Recipient],
    key: &FileKey,
    path: &HostPath,
    file: RelPath,
) -> Result<Kept, SysError> {
    for left in (0..TRIES).rev() {
        let packing = Packing { part, measured: &measured, recipients, key, sums: None.into() };
        let source = Source::Made(&packing);
        match sys.effect(&Effect::Write { path, source, attrs: &private(0o600) }) {
            Err(error) if left > 0 && source::paths::is_changed(&error) => {
                measured = source::measure(sys, part)?;
            }
            Err(error) => return Err(error),
            Ok(_) => {
                let (clear, stored) =
                    packing.sums.get().ok_or_else(|| SysError::other("write", path, "it was not"))?;
                let Measured { walk, databases, .. } = measured;
                return Ok(Kept {
                    part: part.clone(),
                    file,
                    clear,
                    stored,
                    left_out: walk.left_out,
                    databases,
                });
            }
        }
    }
    Err(SysError::other("write", path, "it was not"))
}

/// Bytes for people.
pub fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} bytes"),
        1024..1_048_576 => format!("{} KiB", bytes.div_ceil(1 << 10)),
        1_048_576..10_737_418_240 => format!("{} MiB", bytes.div_ceil(1 << 20)),
        _ => format!("{} GiB", bytes.div_ceil(1 << 30)),
    }
}
