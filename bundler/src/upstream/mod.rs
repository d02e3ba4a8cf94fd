//! Archives from a project's own site: pinned by what the project publishes, taken apart member by member.

mod expand;
mod pin;
mod sums;
#[cfg(test)]
mod tests;
mod unpack;

pub use expand::expand;
pub(crate) use pin::pins;
pub use unpack::{UpstreamError, members};
