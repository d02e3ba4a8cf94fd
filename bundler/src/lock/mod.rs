//! `chom.lock`: every payload of every host, pinned by version, address, size and digest.
//!
//! ```text
//! LockRequest --resolve--> Lock --LockFile::write--> chom.lock --LockFile::read--> Lock --fetch--> objects
//!                           ^                                                       |
//!                           '--- what is still an answer stays --- matches? --------'
//! ```
//!
//! Debian packages are resolved by apt in a private root, against what the *host* has and never against the
//! control machine, so that the closure holds whatever may be missing on a host that has no network.
//! Upstream archives are pinned by the checksums that their project publishes, or by a digest in the
//! component file. Mirrors are not part of the lock: what is locked is the same bytes from everywhere.

mod apt;
mod archive_id;
mod changes;
mod emit;
mod error;
mod file;
mod machine;
mod matching;
mod mirrors;
mod model;
mod payload;
mod request;
mod resolve;
mod sources;
#[cfg(test)]
mod tests;
mod wanted;

pub use archive_id::{ArchiveId, ArchiveIdError};
pub use changes::changes;
pub use error::LockError;
pub use file::{LOCK_FILE, LockFile, LockFileError};
pub use machine::mirrors as machine_mirrors;
pub use matching::LockMismatch;
pub use mirrors::{MirrorUrl, MirrorUrlError, Mirrors};
pub use model::{
    Archive, BasePin, Closure, HostPins, LOCK_FORMAT, Lock, PackagePin, PoolPath, ReleasePin, UpstreamPin,
};
pub use request::{Base, HostRequest, LockRequest, UpstreamRequest};
pub use resolve::{LockOptions, resolve};
pub use sources::MirrorSet;
