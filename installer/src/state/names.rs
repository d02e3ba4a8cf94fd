//! The names of everything in the state directory.

use std::io::ErrorKind;

use chom_format::{HostPath, RelPath};

use super::tree::{remove as remove_tree, sweep_all};
use super::{Store, below, private};
use crate::sys::{Attrs, Effect, Of, Output, Stamp, Sys, SysError, TEMPORARY};

/// How the temporary name of the state directory goes on: with seconds and nanoseconds of its parent's mtime.
const CARRIES: &str = "mtime-";
/// In seconds.
const MOMENT: i64 = 60;

/// The state directory.
#[derive(Debug, Clone)]
pub struct Files {
    root: HostPath,
}

impl Files {
    /// `/var/lib/chom`.
    pub fn standard() -> Result<Self, SysError> {
        let text = "/var/lib/chom";
        Ok(Self { root: text.parse().map_err(|error| SysError::other("name", text, format!("{error}")))? })
    }

    /// The state directory itself.
    pub fn root(&self) -> &HostPath {
        &self.root
    }

    /// Where the transactions are.
    pub fn transactions(&self) -> Result<HostPath, SysError> {
        self.join("transactions")
    }

    /// The directory of one transaction.
    pub fn transaction(&self, id: u64) -> Result<HostPath, SysError> {
        self.join(&format!("transactions/{id:06}"))
    }

    /// A file of one transaction.
    pub fn of(&self, id: u64, name: &str) -> Result<HostPath, SysError> {
        self.join(&format!("transactions/{id:06}/{name}"))
    }

    /// Where space for the way back is kept on the file system of the state directory.
    pub fn reserve(&self, id: u64) -> Result<HostPath, SysError> {
        self.of(id, "reserve")
    }

    /// The places on other file systems where some is kept.
    pub fn reserves(&self, id: u64) -> Result<HostPath, SysError> {
        self.of(id, "reserves.json")
    }

    /// Objects and attic of one transaction.
    pub fn store(&self, id: u64) -> Result<Store, SysError> {
        Ok(Store { objects: self.join("objects")?, attic: self.join(&format!("attic/{id:06}"))? })
    }

    /// The memory of digests.
    pub fn index(&self) -> Result<HostPath, SysError> {
        self.join("index")
    }

    /// The installer itself, for units that must run when the bundle is gone.
    pub fn program(&self) -> Result<HostPath, SysError> {
        self.join("chom-install")
    }

    /// The boot unit with its directory, on its way in or out.
    pub fn boot(&self) -> Result<HostPath, SysError> {
        self.join("boot")
    }

    /// What units that install by themselves are told and say.
    pub fn detached(&self) -> Result<HostPath, SysError> {
        self.join("detached")
    }

    /// What such a unit is told; it takes it away.
    pub fn ticket(&self, id: u64) -> Result<HostPath, SysError> {
        self.join(&format!("detached/{id:06}.ticket"))
    }

    /// What it says: its events and its outcome, a line of JSON each.
    pub fn said(&self, id: u64) -> Result<HostPath, SysError> {
        self.join(&format!("detached/{id:06}.json"))
    }

    /// The lock.
    pub fn lock(&self) -> Result<HostPath, SysError> {
        self.join("lock")
    }

    /// Whether a transaction was ever begun on this host.
    pub fn exist(&self, sys: &dyn Sys) -> Result<bool, SysError> {
        Ok(sys.meta(&self.root)?.is_some())
    }

    /// Makes the state directory where it is missing. Its parent keeps its mtime, so that a run that fails
    /// leaves no trace outside this directory.
    ///
    /// Until there is a state directory there is no place to note that mtime before it is lost. So its temporary name
    /// carries it, and then the directory itself: its own mtime is that of its parent for as long as it is empty.
    ///
    /// Runs may come at the same time. Each makes one of its own, and the rename of the first decides. There is nothing to
    /// be locked before that: a lock on a directory that others can open could be held by them for ever.
    pub fn establish(&self, sys: &mut dyn Sys) -> Result<(), SysError> {
        let parent = self.root.parent().unwrap_or_else(HostPath::root);
        self.make(sys, &parent)?;
        match (sys.meta(&self.root)?, sys.meta(&parent)?) {
            // One that somebody else has made, such as the top of a file system, knows nothing of its parent.
            (Some(own), Some(above))
                if (own.dev, own.uid, own.mode) == (above.dev, 0, private(0o700).mode)
                    && sys.list(&self.root)?.is_empty() =>
            {
                set_mtime(sys, &parent, own.mtime)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Makes what is always in it. For whoever holds the host.
    pub(crate) fn furnish(&self, sys: &mut dyn Sys) -> Result<(), SysError> {
        for name in ["objects", "transactions", "attic"] {
            let dir = self.join(name)?;
            if sys.meta(&dir)?.is_none() {
                sys.effect(&Effect::MakeDir { path: &dir, attrs: &private(0o700) })?;
            }
        }
        Ok(())
    }

    fn make(&self, sys: &mut dyn Sys, parent: &HostPath) -> Result<(), SysError> {
        // In this order: whoever changes the parent in between is seen by its temporary name, or has made what is made here.
        let above = sys.meta(parent)?;
        let left = abandoned(sys, parent)?;
        if sys.meta(&self.root)?.is_some() {
            return left.iter().try_for_each(|(name, _)| self.forget(sys, parent, name));
        }
        let now = above.map_or(private(0).mtime, |meta| meta.mtime);
        let mtime = left.iter().map(|(_, mtime)| *mtime).min().unwrap_or(now);
        sys.announce(&format!("{CARRIES}{}-{}", mtime.sec, mtime.nsec));
        let attrs = Attrs { mtime, ..private(0o700) };
        let made = sys.effect(&Effect::MakeDir { path: &self.root, attrs: &attrs });
        let swept = match made {
            Ok(_) => left.iter().try_for_each(|(name, _)| remove_tree(sys, &below(parent, name)?)),
            Err(_) => Ok(()),
        };
        // Also when it could not be made: it may have been there for a moment.
        let timed = set_mtime(sys, parent, mtime);
        made_by_anybody(made).and(swept).and(timed)
    }

    /// What a run left that was cut off while another made the state directory.
    fn forget(&self, sys: &mut dyn Sys, parent: &HostPath, name: &str) -> Result<(), SysError> {
        let (Some(above), Some(found)) = (sys.meta(parent)?, sys.meta(&below(parent, name)?)?) else {
            return Ok(());
        };
        // A run that lives has it for a moment, and gives the parent its mtime back by itself.
        if private(0).mtime.sec - found.ctime.sec < MOMENT {
            return Ok(());
        }
        remove_tree(sys, &below(parent, name)?)?;
        set_mtime(sys, parent, above.mtime)
    }

    /// Takes away what a run left that was cut off before there was a state directory, and gives its parent its mtime back.
    pub(crate) fn clear(&self, sys: &mut dyn Sys) -> Result<(), SysError> {
        let parent = self.root.parent().unwrap_or_else(HostPath::root);
        let left = abandoned(sys, &parent)?;
        let Some(mtime) = left.iter().map(|(_, mtime)| *mtime).min() else { return Ok(()) };
        left.iter().try_for_each(|(name, _)| remove_tree(sys, &below(&parent, name)?))?;
        set_mtime(sys, &parent, mtime)
    }

    /// Removes what runs that were cut off left in it under temporary names. For whoever holds the host.
    pub(crate) fn sweep(&self, sys: &mut dyn Sys) -> Result<(), SysError> {
        for name in ["objects", "transactions", "attic"] {
            sweep_all(sys, &self.join(name)?)?;
        }
        sweep_all(sys, &self.root)
    }

    fn join(&self, name: &str) -> Result<HostPath, SysError> {
        let relative: RelPath =
            name.parse().map_err(|error| SysError::other("name", &self.root, format!("{error}")))?;
        Ok(self.root.join(&relative))
    }
}

/// The state directories that were not finished, with the mtime that their parent had.
fn abandoned(sys: &dyn Sys, parent: &HostPath) -> Result<Vec<(String, Stamp)>, SysError> {
    let carried = |name: &String| {
        let mut parts = name.strip_prefix(TEMPORARY)?.strip_prefix(CARRIES)?.split('-');
        Some(Stamp { sec: parts.next()?.parse().ok()?, nsec: parts.next()?.parse().ok()? })
    };
    Ok(sys.list(parent)?.into_iter().filter_map(|name| carried(&name).map(|mtime| (name, mtime))).collect())
}

/// Another run that came at the same time may have been quicker.
fn made_by_anybody(made: Result<Output, SysError>) -> Result<(), SysError> {
    match made {
        Err(SysError::Io { source, .. }) if source.kind() == ErrorKind::AlreadyExists => Ok(()),
        made => made.map(drop),
    }
}

/// Tried twice: once this process has ended, nobody may know what the time was.
fn set_mtime(sys: &mut dyn Sys, dir: &HostPath, mtime: Stamp) -> Result<(), SysError> {
    match sys.attrs(dir)? {
        Some(attrs) if attrs.mtime != mtime => {
            let attrs = Attrs { mtime, ..attrs };
            let effect = Effect::SetAttrs { path: dir, attrs: &attrs, of: Of::Dir };
            sys.effect(&effect).or_else(|_| sys.effect(&effect)).map(drop)
        }
        _ => Ok(()),
    }
}
