//! `inventory.yaml`: read once, with all its mistakes told at once.
//!
//! [`load()`] reads the file into a tree and turns the old shape of two roles into hosts ([`legacy`]); [`model`] holds
//! the types, from which the schema and so the checks come; `check` finds what no schema can say. Nothing here
//! knows layers: what a value *is* in the end, `resolve` decides.

pub mod init;
pub mod legacy;
pub mod load;
pub mod model;
pub mod placeholder;
pub mod schema;

pub use load::{Inventory, load};
