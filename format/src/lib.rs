//! What both programs agree on.
//!
//! `chom-bundle` writes these types, `chom-install` reads them, and neither owns a second
//! definition. Everything here is parsed once into a form that cannot be wrong afterwards: a
//! [`HostPath`] is absolute and has no `..`, a [`Digest`] is 32 bytes, a [`Step`] of one phase cannot
//! stand in another. No module here does I/O beyond `Read` and `Write`.

pub mod archive;
pub mod backup;
pub mod check;
pub mod diff;
pub mod digest;
pub mod exit;
pub mod facts;
pub mod manifest;
pub mod mode;
pub mod name;
pub mod path;
pub mod shown;
pub mod step;
pub mod sums;

pub use backup::BackupSpec;
pub use check::{CheckSpec, Probe, Severity};
pub use digest::Digest;
pub use exit::{Exit, HostState};
pub use facts::Facts;
pub use manifest::Manifest;
pub use mode::Mode;
pub use name::{AccountName, ComponentName, DatabaseName, HostName, PackageName, PartName, StepId, UnitName};
pub use path::{HostPath, RelPath};
pub use shown::{shown, shown_json};
pub use step::{Step, StepSpec};
