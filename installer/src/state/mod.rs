//! The state directory as a place: the names in it, the object store, the attic, and how whole trees go there or go away.
//!
//! Everything above keeps what it must not lose here, and this knows nothing of what it keeps: no resource, no
//! transaction. What lies where is told in [`crate::transaction`].

pub(crate) mod attic;
mod names;
pub(crate) mod store;
pub(crate) mod tree;

pub use names::Files;
pub use store::Store;
pub(crate) use store::{below, private};
