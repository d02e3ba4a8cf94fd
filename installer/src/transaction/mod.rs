//! Transactions on the disk: where they lie, who may work on them, which are kept.
//!
//! ```text
//! /var/lib/chom/              0700
//!   objects/<sha256>          originals saved, shared by all transactions
//!   transactions/000001/      manifest.json, journal, receipt.json, log, reserve/, reserves.json; of the one that the
//!                             oldest kept one was built on the manifest and the receipt alone
//!   attic/000001/             what a person may want
//!   detached/000001.json      what a unit that installs by itself has said
//!   index                     digests of files read before, a memory that may be lost
//!   chom-install              this program, for units that must run when the bundle is gone
//!   lock                      flock: one run at a time
//! ```
//!
//! This module finds and lists; it decides nothing about the host. What a transaction is, its journal says.

mod hold;
mod installed;
mod list;
mod reserve;
mod retention;
mod way;

pub use hold::{Busy, Hold, Holder};
pub use installed::{Installed, Unreadable, installed};
pub use list::{TransactionRecord, list, load};
pub use reserve::{Reserve, release};
pub use retention::prune;
pub use way::{Way, WayError};

pub use crate::state::Files;
