//! Archives from a project's own site: pinned by what the project publishes, taken apart member by member.

mod pin;
mod sums;
mod unpack;

pub(crate) use pin::pins;
pub use unpack::{UpstreamError, members};
