//! What the commands do, as functions: arguments in, an outcome out, no printing.
//!
//! ```text
//! open -> right host? -> (recover) -> plan -> may it be done? -> every byte -> agreed? -> engine -> outcome
//! ```
//!
//! The order of an installation is the safety of it and stands in one place, [`install()`]. Nothing outside the
//! bundle's staging and our own lock is written before a person, or `--yes`, has agreed to the plan.

mod backup;
mod confirm;
mod detach;
mod early;
mod error;
mod figures;
mod follow;
mod install;
mod look;
mod outcome;
mod proof;
mod recorded;
mod rollback;
mod session;
mod status;
mod verify;
mod watchdog;
mod way_back;
mod window;

pub use backup::{
    Created, Listed, Listing, RestoreAsked, Verdict, backup_create, backup_list, backup_restore,
    backup_verify,
};
pub use confirm::{Waiting, confirm};
pub use detach::Detached;
pub use error::RunError;
pub use follow::{Followed, follow};
pub use install::{Consent, Install, Proposal, install};
pub use look::{Looked, look};
pub use outcome::{CheckLine, Outcome, Problem};
pub use proof::{Proof, proof};
pub use recorded::Recorded;
pub use rollback::{recover, recover_at_boot, rollback};
pub use session::Session;
pub use status::{History, Status, history, status};
pub use verify::{Verified, verify};
pub use watchdog::watchdog;
pub use way_back::WayBack;
pub use window::Confirming;
