//! YAML as a tree that knows where each part stands.
//!
//! serde gives one error at a time and forgets places; a person wants all of them, and the editor of the
//! inventory needs byte ranges. So the events of saphyr's parser are read into [`Node`]s, bounded in size and
//! depth, and [`walk`] compares a tree with the JSON schema of the types that it is meant for. Nothing here
//! knows what an inventory is.

mod calendar;
pub mod formats;
pub mod node;
pub mod read;
pub mod scalar;
pub mod shape;
pub mod walk;

pub use node::{Entry, Kind, Node, Place};
pub use read::read;
