//! Stacks and components: read from `targets/`, built in or laid over, and checked once.
//!
//! [`sources`] gathers the texts, [`parse`] reads one of them, [`catalog`] holds what all of them say, and
//! [`check`] finds what no single file can know. The rest of the program sees a [`Catalog`] without problems.

pub mod catalog;
pub mod check;
pub mod component;
pub mod parse;
pub mod setting;
pub mod sources;

pub use catalog::{Catalog, LoadedComponent, Stack};
pub use sources::{Sources, TextFile};
