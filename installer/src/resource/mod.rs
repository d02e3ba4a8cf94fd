//! Resources: the things on a host that steps touch, and the only code that knows how to put them back.
//!
//! The engine asks a step what it touches, saves each resource once per transaction before the first
//! effect on it, and after a failure restores all of them in the reverse order of saving. Restoring is
//! idempotent: it looks at what is there now and decides, so it can be cut off and begun again.

// A kind that is new must be thought of wherever kinds are told apart.
#![cfg_attr(not(test), deny(clippy::wildcard_enum_match_arm))]

mod account;
mod database;
mod firewall;
mod folder;
mod holds;
mod kind;
mod listing;
mod path;
mod system;
mod unit;
mod written;

pub use database::Database;
pub(crate) use kind::{Pass, ResourceKind};
pub use system::{Declared, Found, Look, Sought};

pub use crate::state::Store;
pub(crate) use crate::state::attic::missing_parents;
pub(crate) use crate::state::tree::{remove as remove_tree, take_away, walk};
pub(crate) use crate::state::{below, private};

use std::collections::BTreeSet;

use chom_format::{AccountName, Digest, HostPath, PackageName, UnitName};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::state::{attic, store, tree};
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
        /// Paths outside its data that change when it starts, reloads or stops; they are part of it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        writes: Vec<HostPath>,
    },
    /// The firewall: ufw's files and the live rules.
    Firewall,
    /// What is in a database.
    Database {
        /// Which, and how it is reached.
        database: Database,
    },
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

impl Fingerprint {
    /// The fingerprint of a state.
    pub fn of(state: &impl Serialize) -> Self {
        // Everything that is fingerprinted is a plain structure, which can always be written as JSON.
        Self(Digest::of(&serde_json::to_vec(state).unwrap_or_default()))
    }
}

impl Saved {
    /// A state with its fingerprint and the objects that it names.
    fn new(state: &impl Serialize, objects: Vec<Digest>) -> Result<Self, SysError> {
        Ok(Self { state: to_value(state)?, objects, fingerprint: Fingerprint::of(state) })
    }

    /// The state as the kind of resource wrote it.
    fn read<T: DeserializeOwned>(&self) -> Result<T, SysError> {
        from_value(&self.state)
    }
}

fn to_value(state: &impl Serialize) -> Result<serde_json::Value, SysError> {
    serde_json::to_value(state).map_err(|error| SysError::other("write", "a state", error.to_string()))
}

fn from_value<T: DeserializeOwned>(value: &serde_json::Value) -> Result<T, SysError> {
    T::deserialize(value).map_err(|error| SysError::other("understand", "a saved state", error.to_string()))
}

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
    /// It is put back as far as others have left it to us: what they changed since is theirs and stays.
    Left {
        /// Each thing that they changed or that stays because of them, in words.
        told: Vec<String>,
        /// Where things are kept that had to leave their place.
        kept: Vec<HostPath>,
        /// It is not as before.
        differs: bool,
    },
    /// It could not be put back.
    Stuck {
        /// Why, and what a person should do.
        reason: String,
    },
}

/// Why a resource cannot be put back now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obstacle {
    /// What stands in the way.
    pub reason: String,
    /// What mends it.
    pub remedy: String,
}

/// How a kind of resource is saved, told apart and put back.
pub(crate) trait ResourceHandler: ResourceKind {
    /// Copies into the store whatever `restore` will need. All of it is durable when this returns.
    fn save(&self, sys: &mut dyn Sys, store: &Store) -> Result<Saved, SysError>;

    /// How the resource looks now.
    fn fingerprint(&self, sys: &dyn Sys) -> Result<Fingerprint, SysError>;

    /// What is to be remembered once the step is done, so that a later rollback can tell our change from
    /// somebody else's.
    fn after(&self, sys: &mut dyn Sys, store: &Store, saved: &Saved) -> Result<serde_json::Value, SysError>;

    /// The objects that such a value names: retention keeps them as long as the transaction.
    fn objects_of_after(&self, after: &serde_json::Value) -> Result<Vec<Digest>, SysError> {
        let _ = after;
        Ok(Vec::new())
    }

    /// Before any path is put back: units stop, so that no service writes into what is being restored.
    fn quiesce(
        &self,
        sys: &mut dyn Sys,
        store: &Store,
        saved: &Saved,
        after: Option<&serde_json::Value>,
    ) -> Result<(), SysError> {
        let _ = (sys, store, saved, after);
        Ok(())
    }

    /// Directories whose listing changes with the resource, beside that of a path's own parent.
    fn listings(&self, sys: &dyn Sys) -> Result<Vec<HostPath>, SysError> {
        let _ = sys;
        Ok(Vec::new())
    }

    /// What of the host may be another by now because of it, beside its own paths.
    fn declared(
        &self,
        sys: &dyn Sys,
        store: &Store,
        saved: &Saved,
        after: Option<&serde_json::Value>,
    ) -> Result<Declared, SysError> {
        let _ = (sys, store, saved, after);
        Ok(Declared::default())
    }

    /// How `/etc`, `/usr` and dpkg's database looked when it was saved, if that is part of it.
    fn look(&self, sys: &dyn Sys, store: &Store, saved: &Saved) -> Result<Option<Look>, SysError> {
        let _ = (sys, store, saved);
        Ok(None)
    }

    /// Which of the resources that were saved later are settled with this one: a file of a release that is
    /// gone, a path that a package brought. What they were is part of what this one takes away.
    fn covered(
        &self,
        sys: &dyn Sys,
        store: &Store,
        saved: &Saved,
        after: Option<&serde_json::Value>,
        later: &[&Resource],
    ) -> Result<BTreeSet<Resource>, SysError> {
        let _ = (sys, store, saved, after, later);
        Ok(BTreeSet::new())
    }

    /// Reads the resource again, after everything is back. Nothing here means that it is as it was saved;
    /// otherwise each line names a difference. `earlier` are paths that were saved by themselves before this
    /// was: they are what they were then, and not what they were when this was saved.
    fn differences(
        &self,
        sys: &dyn Sys,
        store: &Store,
        saved: &Saved,
        after: Option<&serde_json::Value>,
        earlier: &BTreeSet<HostPath>,
    ) -> Result<Vec<String>, SysError> {
        let _ = (store, after, earlier);
        let same = self.fingerprint(sys)? == saved.fingerprint;
        Ok(if same { Vec::new() } else { vec!["it is not as it was saved".to_owned()] })
    }

    /// What nothing can put back, and what therefore is no part of the fingerprint: in words, when it is not as it was.
    fn lost(&self, sys: &dyn Sys, saved: &Saved) -> Result<Option<String>, SysError> {
        let _ = (sys, saved);
        Ok(None)
    }

    /// What stands in the way of putting it back now. Asked before a rollback that somebody wants touches anything.
    fn obstacles(
        &self,
        sys: &dyn Sys,
        store: &Store,
        saved: &Saved,
        after: Option<&serde_json::Value>,
    ) -> Result<Vec<Obstacle>, SysError> {
        let _ = (sys, store, saved, after);
        Ok(Vec::new())
    }

    /// Puts back what lies on the disk, while the host comes up and before anything reads it: nothing may be
    /// waited for that only comes up later. None when the rest is to be put back once the host is up.
    fn restore_early(
        &self,
        sys: &mut dyn Sys,
        store: &Store,
        saved: &Saved,
        after: Option<&serde_json::Value>,
    ) -> Result<Option<Restored>, SysError>;

    /// Puts the resource back. `after` is none when the step was cut off: then what is there now is ours.
    fn restore(
        &self,
        sys: &mut dyn Sys,
        store: &Store,
        saved: &Saved,
        after: Option<&serde_json::Value>,
    ) -> Result<Restored, SysError>;
}

impl Resource {
    /// The code that knows this kind: the one place where the kinds are told apart.
    pub(crate) fn handler(&self) -> Box<dyn ResourceHandler + '_> {
        match self {
            Self::Path { path, data } => Box::new(path::PathResource { path, data: *data }),
            Self::Folder { path } => Box::new(folder::FolderResource { path }),
            Self::Listing { path } => Box::new(listing::ListingResource { path }),
            Self::Unit { unit, writes } => Box::new(unit::UnitResource { unit, writes }),
            Self::Firewall => Box::new(firewall::FirewallResource),
            Self::System { replaces, brings } => Box::new(system::SystemResource { replaces, brings }),
            Self::Database { database } => Box::new(database::DatabaseResource { database }),
            Self::Account { name } => Box::new(account::AccountResource { name }),
        }
    }

    /// The path that it is about, when it is about one.
    pub fn path(&self) -> Option<&HostPath> {
        match self {
            Self::Path { path, .. } | Self::Folder { path } | Self::Listing { path } => Some(path),
            Self::System { .. }
            | Self::Account { .. }
            | Self::Unit { .. }
            | Self::Firewall
            | Self::Database { .. } => None,
        }
    }
}

impl Resource {
    /// A path that no service fills.
    pub fn at(path: HostPath) -> Self {
        Self::Path { path, data: false }
    }

    /// The names in a directory.
    pub fn listing(path: HostPath) -> Self {
        Self::Listing { path }
    }

    /// A unit that changes nothing outside its data.
    pub fn unit(unit: UnitName) -> Self {
        Self::Unit { unit, writes: Vec::new() }
    }
}

impl std::fmt::Display for Restored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Restored => f.write_str("put back"),
            Self::AlreadyBefore => f.write_str("as before"),
            Self::Foreign { kept } if kept.is_empty() => f.write_str("changed by others"),
            Self::Foreign { kept } => {
                let places: Vec<&str> = kept.iter().map(HostPath::as_str).collect();
                write!(f, "changed by others, kept as {}", places.join(", "))
            }
            Self::Left { told, .. } => write!(f, "put back as far as it is ours: {}", told.join("; ")),
            Self::Stuck { reason } => write!(f, "not put back: {reason}"),
        }
    }
}

impl std::fmt::Display for Resource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.handler().words())
    }
}
