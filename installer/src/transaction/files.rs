//! The names of everything in the state directory.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::thread::sleep;
use std::time::{Duration, Instant};

use chom_format::{HostPath, RelPath};

use crate::resource::{Store, private, remove_tree};
use crate::sys::{Attrs, Effect, Stamp, Sys, SysError, TEMPORARY};

// Another run makes a few directories and syncs them.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(5);

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
    /// Until there is a state directory there is no place to note that mtime before it is lost. So the
    /// directory itself carries it: it is made elsewhere with the mtime of its parent-to-be, and its own
    /// mtime is believed for as long as it is empty.
    ///
    /// Runs that come at the same time do this one after the other: the hold on the host is a lock in this
    /// directory, so until it is there its parent is what is locked. That leaves no trace either.
    pub fn establish(&self, sys: &mut dyn Sys) -> Result<(), SysError> {
        let parent = self.root.parent().unwrap_or_else(HostPath::root);
        let _alone = alone(sys, &parent)?;
        match (sys.meta(&self.root)?, sys.meta(&parent)?) {
            (None, above) => {
                let mtime = above.map_or(private(0).mtime, |meta| meta.mtime);
                let made = self.make(sys, &Attrs { mtime, ..private(0o700) });
                // Also when it could not be made: it may have been there for a moment.
                let timed = set_mtime(sys, &parent, mtime);
                made.and(timed)?;
            }
            // One that somebody else has made, such as the top of a file system, knows nothing of its parent.
            (Some(own), Some(above))
                if (own.dev, own.uid, own.mode) == (above.dev, 0, private(0o700).mode)
                    && sys.list(&self.root)?.is_empty() =>
            {
                set_mtime(sys, &parent, own.mtime)?;
            }
            _ => {}
        }
        for name in ["objects", "transactions", "attic"] {
            let dir = self.join(name)?;
            if sys.meta(&dir)?.is_none() {
                sys.effect(&Effect::MakeDir { path: &dir, attrs: &private(0o700) })?;
            }
        }
        Ok(())
    }

    fn make(&self, sys: &mut dyn Sys, attrs: &Attrs) -> Result<(), SysError> {
        let parse = |text: &str| {
            text.parse::<HostPath>().map_err(|error| SysError::other("name", text, format!("{error}")))
        };
        let (elsewhere, staged) = (parse("/var/tmp")?, parse(&format!("/var/tmp/{TEMPORARY}state"))?);
        if let Some(before) = sys.meta(&elsewhere)? {
            let moved = self.move_in(sys, &staged, attrs);
            let timed = set_mtime(sys, &elsewhere, before.mtime);
            match moved {
                // It is on another file system.
                Err(error) if error.crosses_devices() => timed?,
                moved => return moved.and(timed),
            }
        }
        sys.effect(&Effect::MakeDir { path: &self.root, attrs })?;
        Ok(())
    }

    /// Makes it elsewhere, and moves it to its place.
    fn move_in(&self, sys: &mut dyn Sys, staged: &HostPath, attrs: &Attrs) -> Result<(), SysError> {
        remove_tree(sys, staged)?;
        let moved = sys
            .effect(&Effect::MakeDir { path: staged, attrs })
            .and_then(|_| sys.effect(&Effect::Rename { from: staged, to: &self.root }));
        match moved {
            Ok(_) => Ok(()),
            Err(error) => remove_tree(sys, staged).and(Err(error)),
        }
    }

    fn join(&self, name: &str) -> Result<HostPath, SysError> {
        let relative: RelPath =
            name.parse().map_err(|error| SysError::other("name", &self.root, format!("{error}")))?;
        Ok(self.root.join(&relative))
    }
}

/// Locks a directory until the result is dropped.
fn alone(sys: &dyn Sys, dir: &HostPath) -> Result<File, SysError> {
    let file = File::open(dir.under(sys.root())).map_err(SysError::io("open", dir))?;
    let end = Instant::now() + PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < end => sleep(PAUSE),
            Err(TryLockError::WouldBlock) => {
                return Err(SysError::io("lock", dir)(ErrorKind::WouldBlock.into()));
            }
            Err(TryLockError::Error(error)) => return Err(SysError::io("lock", dir)(error)),
        }
    }
}

/// Tried twice: once this process has ended, nobody may know what the time was.
fn set_mtime(sys: &mut dyn Sys, dir: &HostPath, mtime: Stamp) -> Result<(), SysError> {
    match sys.attrs(dir)? {
        Some(attrs) if attrs.mtime != mtime => {
            let attrs = Attrs { mtime, ..attrs };
            let effect = Effect::SetAttrs { path: dir, attrs: &attrs };
            sys.effect(&effect).or_else(|_| sys.effect(&effect)).map(drop)
        }
        _ => Ok(()),
    }
}
