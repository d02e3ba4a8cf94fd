//! What the commands do, as functions: arguments in, an outcome out, no printing.
//!
//! The order of an installation is the safety of it, and stands in one place each: open, preflight, plan,
//! begin, apply, check, expose, commit.

mod verify;

pub use verify::{Verified, verify};
