//! Fetches what a lock names into the cache.
//!
//! ```text
//! Lock --plan--> items (digest, size, addresses in order) --run, some at once--> objects
//! ```
//!
//! One object is fetched by one process at a time, resumed where a former try broke off, tried again with
//! growing pauses, and taken from the next mirror when one does not have it. Nothing becomes an object before
//! its digest is the locked one; bytes with another digest are not kept, not even for a resume.

mod bars;
mod download;
mod error;
mod http;
mod options;
mod plain;
mod plan;
mod progress;
mod proxy;
mod run;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) mod web;

pub use bars::Bars;
pub use error::{FetchError, FetchProblem};
pub use options::FetchOptions;
pub use plain::Plain;
pub use progress::{Progress, Silent};
pub use run::{FetchReport, fetch, missing};

pub(crate) use plan::file_name;
pub(crate) use run::{pinned, text};
