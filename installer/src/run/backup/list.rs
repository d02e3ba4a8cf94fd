//! The backups that lie on this host.

use std::fmt;

use chom_format::HostPath;
use serde::Serialize;

use super::super::{RunError, Session};
use super::Standing;
use crate::backup::create::size;
use crate::backup::shelf::Found;

/// All backups of this host.
#[derive(Debug, Serialize)]
pub struct Listing {
    /// Version of this shape.
    pub format: u32,
    /// Where they lie.
    pub dir: HostPath,
    /// Oldest first.
    pub backups: Vec<Listed>,
}

/// One backup.
#[derive(Debug, Clone, Serialize)]
pub struct Listed {
    /// Its number.
    pub id: u64,
    /// Its folder.
    pub place: HostPath,
    /// When it was begun.
    pub at: Option<String>,
    /// Of which host.
    pub host: Option<String>,
    /// Of which bundle.
    pub bundle: Option<String>,
    /// The transaction before which it was made. The journal of that says the same, or does not exist any more.
    pub transaction: Option<u64>,
    /// Who asked for it.
    pub by: Option<String>,
    /// Bytes on the disk.
    pub bytes: u64,
    /// Only who has a key can read it.
    pub encrypted: bool,
    /// What is in it.
    pub parts: Vec<ListedPart>,
    /// Why it is of no use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub damage: Option<String>,
}

/// One part.
#[derive(Debug, Clone, Serialize)]
pub struct ListedPart {
    /// Its name.
    pub name: String,
    /// Its file.
    pub file: String,
    /// In clear, in bytes.
    pub clear: u64,
    /// On the disk, in bytes.
    pub stored: u64,
    /// Sockets, pipes and devices, which nothing can keep.
    pub left_out: usize,
}

/// The backups of this host. Changes nothing.
pub fn backup_list() -> Result<Listing, RunError> {
    let session = Session::for_telling()?;
    let shelf = Standing::of(&session)?.shelf();
    let known = taken_before(&session);
    let backups = shelf.list(&session.sys)?.iter().map(|found| Listed::of(found, &known)).collect();
    Ok(Listing { format: 1, dir: shelf.dir, backups })
}

/// Which backup was made before which transaction, as the journals say; none for those that had none.
pub(super) fn taken_before(session: &Session) -> Vec<(u64, Option<u64>)> {
    let begun = |known: &crate::transaction::TransactionRecord| {
        (known.id, known.state.begin.as_ref().and_then(|begin| begin.backup))
    };
    session.known.iter().map(begun).collect()
}

impl Listed {
    pub(super) fn of(found: &Found, known: &[(u64, Option<u64>)]) -> Self {
        let label = found.label.as_ref().ok();
        // A run that ended before its transaction began has left a backup that belongs to none.
        let belongs = |id: &u64| {
            known.iter().find(|(known, _)| known == id).is_none_or(|(_, backup)| *backup == Some(found.id))
        };
        let part = |kept: &crate::backup::label::Kept| ListedPart {
            name: kept.part.name.to_string(),
            file: kept.file.to_string(),
            clear: kept.clear.size,
            stored: kept.stored.size,
            left_out: kept.left_out.len(),
        };
        Self {
            id: found.id,
            place: found.place.clone(),
            at: label.map(|label| label.at.clone()),
            host: label.map(|label| label.host.to_string()),
            bundle: label.map(|label| label.bundle.clone()),
            transaction: label.and_then(|label| label.transaction).filter(belongs),
            by: label.map(|label| label.by.clone()),
            bytes: label.map_or(0, |label| label.size()),
            encrypted: label.is_some_and(|label| !label.recipients.is_empty()),
            parts: label.map(|label| label.parts.iter().map(part).collect()).unwrap_or_default(),
            damage: found.label.as_ref().err().cloned(),
        }
    }
}

impl fmt::Display for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.backups.is_empty() {
            return writeln!(f, "there is no backup in {}", self.dir);
        }
        self.backups.iter().try_for_each(|backup| write!(f, "{backup}"))
    }
}

impl fmt::Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.id;
        if let Some(damage) = &self.damage {
            return writeln!(f, "{id:>6}  DAMAGED: {damage}");
        }
        let words = |text: &Option<String>| text.clone().unwrap_or_default();
        let at =
            words(&self.at).split_once('.').map_or_else(|| words(&self.at), |(whole, _)| format!("{whole}Z"));
        let of = self.transaction.map_or_else(String::new, |id| format!(", before transaction {id}"));
        let sealed = if self.encrypted { ", encrypted" } else { "" };
        let (bundle, by) = (words(&self.bundle), words(&self.by));
        writeln!(f, "{id:>6}  {at}  {}  of {bundle}  by {by}{of}{sealed}", size(self.bytes))?;
        for part in &self.parts {
            let left_out = match part.left_out {
                0 => String::new(),
                count => format!("; {count} sockets, pipes or devices are not in it"),
            };
            writeln!(
                f,
                "        {}  {} ({} in clear){left_out}",
                part.file,
                size(part.stored),
                size(part.clear)
            )?;
        }
        Ok(())
    }
}
