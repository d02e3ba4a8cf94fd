//! Resources: the things on a host that steps touch, and the only code that knows how to put them back.
//!
//! The engine asks a step what it touches, saves each resource once per transaction before the first
//! effect on it, and after a failure restores all of them in the reverse order of saving. Restoring is
//! idempotent: it looks at what is there now and decides, so it can be cut off and begun again.

use chom_format::{AccountName, Digest, HostPath, PackageName, UnitName};
use serde::{Deserialize, Serialize};

use crate::sys::{Sys, SysError};

/// A thing on the host. Units are saved before the first effect of a transaction, everything else before
/// the first step that touches it, the listing of a directory just before the first path in it. Restoring
/// goes through them in the reverse order: paths and listings first, units at the very end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "resource", rename_all = "lowercase")]
pub enum Resource {
    /// One path: bytes, type, mode, owner, mtime, xattrs; not what lies below a directory.
    Path {
        /// Which.
        path: HostPath,
        /// A directory that a service fills: what is in it goes to the attic, and is never deleted.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        data: bool,
    },
    /// A whole directory that is ours alone, such as a release.
    Folder {
        /// Which.
        path: HostPath,
    },
    /// The names in a directory and the directory's mtime. The engine adds one for the parent of each path.
    Listing {
        /// Which.
        path: HostPath,
    },
    /// All that a foreign program such as dpkg changes while it runs, found by scanning before and after.
    System {
        /// Packages whose files in `/usr` may be replaced: they are copied before.
        replaces: Vec<PackageName>,
        /// Packages that will be brought.
        brings: Vec<PackageName>,
    },
    /// A user and group, in the account files.
    Account {
        /// Which.
        name: AccountName,
    },
    /// A unit: enabled, active, masked.
    Unit {
        /// Which.
        unit: UnitName,
    },
    /// The firewall: ufw's files and the live rules.
    Firewall,
}

/// A resource as it was, enough to put it back without anything else. Bytes lie in the object store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// What the kind of resource needs to restore; it alone reads this.
    pub state: serde_json::Value,
    /// Objects of the store that the state names; retention keeps them as long as the transaction.
    pub objects: Vec<Digest>,
    /// How it looked.
    pub fingerprint: Fingerprint,
}

/// A digest over the whole state of a resource: equal fingerprints cannot be told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(pub Digest);

/// What became of a resource when it was put back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Restored {
    /// It had changed and is as before again.
    Restored,
    /// It already was as before.
    AlreadyBefore,
    /// Somebody else had changed it since: their version lies in the attic, ours from before is in place.
    Foreign {
        /// Where the other version is kept.
        kept: Vec<HostPath>,
    },
    /// It could not be put back.
    Stuck {
        /// Why, and what a person should do.
        reason: String,
    },
}

/// How a kind of resource is saved, told apart and put back.
pub trait Restore {
    /// Copies into the store whatever `restore` will need. All of it is durable when this returns.
    fn save(&self, sys: &mut dyn Sys, store: &Store) -> Result<Saved, SysError>;

    /// How the resource looks now.
    fn fingerprint(&self, sys: &dyn Sys) -> Result<Fingerprint, SysError>;

    /// What is to be remembered once the step is done, so that a later rollback can tell our change from
    /// somebody else's.
    fn after(&self, sys: &mut dyn Sys, store: &Store, saved: &Saved) -> Result<serde_json::Value, SysError>;

    /// Before any path is put back: units stop, so that no service writes into what is being restored.
    fn quiesce(&self, sys: &mut dyn Sys, saved: &Saved) -> Result<(), SysError> {
        let _ = (sys, saved);
        Ok(())
    }

    /// Whether, after this resource is back, another one that was saved later is settled with it: a file of a
    /// release directory that is gone, a path that a package brought.
    fn covers(
        &self,
        store: &Store,
        sys: &dyn Sys,
        after: Option<&serde_json::Value>,
        other: &Resource,
    ) -> Result<bool, SysError> {
        let _ = (store, sys, after, other);
        Ok(false)
    }

    /// Reads the resource again, after everything is back. Nothing here means that it is as it was saved;
    /// otherwise each line names a difference.
    fn differences(
        &self,
        sys: &dyn Sys,
        store: &Store,
        saved: &Saved,
        after: Option<&serde_json::Value>,
    ) -> Result<Vec<String>, SysError> {
        let _ = (store, after);
        let same = self.fingerprint(sys)? == saved.fingerprint;
        Ok(if same { Vec::new() } else { vec!["it is not as it was saved".to_owned()] })
    }

    /// Puts the resource back. `after` is none when the step was cut off: then what is there now is ours.
    fn restore(
        &self,
        sys: &mut dyn Sys,
        store: &Store,
        saved: &Saved,
        after: Option<&serde_json::Value>,
    ) -> Result<Restored, SysError>;
}

/// Where a transaction keeps things: objects by digest, and the attic.
#[derive(Debug, Clone)]
pub struct Store {
    /// `/var/lib/chom/objects`.
    pub objects: HostPath,
    /// `/var/lib/chom/attic/NNNNNN`, for this transaction.
    pub attic: HostPath,
}
