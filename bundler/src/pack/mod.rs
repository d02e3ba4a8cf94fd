//! The bundle as a file: written from an assembled manifest, and read back by whoever wants to look at it.
//!
//! ```text
//! Assembled + installer --pack--> dist/<host>-<version>-<8 digits>.tar.gz (+ .sha256)
//!                                            '--read--> Bundle --> verify, inspect, diff
//! ```
//!
//! What a bundle's bytes depend on: the manifest, what it draws on, the installer, `SOURCE_DATE_EPOCH`. Not the
//! path, the time, the locale, the umask or the order of a directory. A payload is squeezed once for all bundles
//! and then copied ([`body`]), for the most part while the manifest is still being made ([`draft`]); nothing is visible under its name before it is whole.

mod body;
pub mod diff;
mod draft;
pub mod elf;
mod epoch;
pub mod installer;
mod output;
pub mod read;
mod sbom;
pub mod summary;
mod write;

pub use draft::Draft;
pub use epoch::{EpochError, mtime};
pub use installer::{Installer, InstallerError};
pub use read::{Bundle, ReadError};
pub use write::{PackError, Packed, pack};

/// The installer's name in a bundle.
pub const INSTALLER: &str = "chom-install";
/// The manifest's name in a bundle.
pub const MANIFEST: &str = "manifest.json";
/// The name of the list of digests.
pub const SUMS: &str = "SHA256SUMS";
/// The name of its signature.
pub const SIGNATURE: &str = "SHA256SUMS.sig";
/// The name of the bill of materials.
pub const SBOM: &str = "sbom.cdx.json";

#[cfg(test)]
mod tests;
