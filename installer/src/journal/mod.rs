//! The write-ahead journal of a transaction.
//!
//! A transaction is what its journal says, and nothing else is asked: not a variable of a process that may
//! be gone, not a guess at the host. One record is written, and is on the disk, before whatever it
//! announces happens:
//!
//! ```text
//! Begin, Saved (units)                          nothing has happened yet
//! Saved (paths of the step), Intent, -effects-, Done     for each step of the plan
//! Healthy, Committed                            the transaction stands
//! Healthy, Exposed ... Confirmed                the same, when somebody must confirm it first
//!
//! Failed, RollingBack, -resource back-, Restored ..., RolledBack | Stuck
//! ```
//!
//! So at every moment, also in the middle of an effect and after a power cut, the journal tells what may
//! have been touched and where its original lies. `Intent` without `Done` means: look at the host.
//! What is found there is as before, or what the intent said that it would be, or somebody else's, which is kept.
//! `RollingBack` without an end means: go on, from the first resource that is not yet `Restored`.
//!
//! Each record is one [`frame`]: length, sequence, and a digest chained to the frame before. A torn last
//! frame is what a power cut leaves: the record was not durable, so what it announced did not happen, and
//! it is cut. Damage before that is no accident that we can reason about: it is an error that names the
//! record, and nothing is touched.
//!
//! `decode` and [`fold()`] are pure and total: any bytes give records or an error, any records give a state.
//!
//! The journal never holds contents. Originals and secrets lie in the object store, readable by root alone.

mod expected;
mod exposure;
mod file;
mod fold;
mod frame;
mod record;

pub use expected::Expected;
pub use exposure::{BootTime, Exposure};
pub use file::{Journal, JournalError};
pub use fold::{Confirmer, Standing, State, fold};
pub use frame::{Corrupt, Decoded, Tail, decode, encode};
pub use record::{Begin, Record};

#[cfg(test)]
mod arbitrary;
#[cfg(test)]
mod golden;
