//! Where backups lie: one folder each, named by its number.
//!
//! ```text
//! /var/lib/chom/backups/      0700
//!   000007/                   0700: seen only when it is whole
//!     backup.json             what it is, in clear
//!     SHA256SUMS              sha256sum -c
//!     shop.pages.tar.gz.age   one file a part, 0600
//! ```

use chom_format::HostPath;

use super::label::Label;
use crate::resource::{below, private, remove_tree};
use crate::sys::{Effect, Kind, Sys, SysError, TEMPORARY};

/// The directory of the backups.
#[derive(Debug, Clone)]
pub struct Shelf {
    /// Where it is.
    pub dir: HostPath,
}

/// One backup that is seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its number.
    pub id: u64,
    /// Its folder.
    pub place: HostPath,
    /// What it says of itself, or why that cannot be read.
    pub label: Result<Label, String>,
}

impl Shelf {
    /// All backups, oldest first.
    pub fn list(&self, sys: &dyn Sys) -> Result<Vec<Found>, SysError> {
        let mut found = Vec::new();
        for name in sys.list(&self.dir)? {
            let Some(id) = number(&name) else { continue };
            let place = below(&self.dir, &name)?;
            let file = below(&place, "backup.json")?;
            let label = match sys.open(&file) {
                Ok(input) => Label::read(input).and_then(|label| match label.id == id {
                    true => Ok(label),
                    false => Err(format!("it says that it is backup {}", label.id)),
                }),
                Err(error) => Err(error.to_string()),
            };
            found.push(Found { id, place, label });
        }
        Ok(found)
    }

    /// The number for the next one: none is given twice while a newer one is there.
    pub fn next_id(&self, sys: &dyn Sys) -> Result<u64, SysError> {
        let newest = sys.list(&self.dir)?.iter().filter_map(|name| number(name)).max();
        Ok(newest.map_or(1, |newest| newest + 1))
    }

    /// Where a backup is, or will be.
    pub fn place(&self, id: u64) -> Result<HostPath, SysError> {
        below(&self.dir, &format!("{id:06}"))
    }

    /// Where it is while it is made.
    pub fn workshop(&self, id: u64) -> Result<HostPath, SysError> {
        below(&self.dir, &format!("{TEMPORARY}backup-{id:06}"))
    }

    /// Makes the directory where it is missing, and takes away what runs that were cut off have left.
    pub fn establish(&self, sys: &mut dyn Sys) -> Result<(), SysError> {
        match sys.meta(&self.dir)? {
            None => drop(sys.effect(&Effect::MakeDir { path: &self.dir, attrs: &private(0o700) })?),
            Some(meta) if meta.kind != Kind::Dir => {
                return Err(SysError::other("use", &self.dir, "it is no directory"));
            }
            Some(meta) if meta.uid != 0 || meta.mode.bits() & 0o077 != 0 => {
                return Err(SysError::other(
                    "use",
                    &self.dir,
                    "it is not root's alone: chmod 0700, chown root",
                ));
            }
            Some(_) => {}
        }
        for name in sys.list(&self.dir)?.iter().filter(|name| name.starts_with(TEMPORARY)) {
            remove_tree(sys, &below(&self.dir, name)?)?;
        }
        Ok(())
    }

    /// Takes a backup away. It is out of sight before the first of its files goes.
    pub fn remove(&self, sys: &mut dyn Sys, id: u64) -> Result<(), SysError> {
        let aside = below(&self.dir, &format!("{TEMPORARY}gone-{id:06}"))?;
        remove_tree(sys, &aside)?;
        sys.effect(&Effect::Rename { from: &self.place(id)?, to: &aside })?;
        remove_tree(sys, &aside)
    }
}

fn number(name: &str) -> Option<u64> {
    let digits = name.len() >= 6 && name.bytes().all(|byte| byte.is_ascii_digit());
    name.parse().ok().filter(|number| digits && *number > 0)
}
