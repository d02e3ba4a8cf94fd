//! Brings a bundle to its host and sees it installed, without ever being needed there.
//!
//! ```text
//! upload -> digest, verify -> install --detach -> status, status, ... -> exposed -> confirm -> status
//!  one connection               another           one each              a fresh one
//! ```
//!
//! 1. **The host decides.** From `install --detach` on the run is a unit of the host's own systemd. A cut link, or
//!    the end of this process, changes nothing: what nobody confirms takes itself back.
//! 2. **The confirmation is the proof.** It goes over a connection that is made for it, to the address and port that
//!    operators use, never over one that was there before the firewall changed.
//! 3. **Nothing is assumed.** What is reported is what the host has said last. Where it does not answer any more,
//!    that is reported, with the time at which the host decides by itself.

mod error;
mod follow;
mod target;

pub use error::DeployError;
pub use follow::{Deployed, Patience, Terms, deploy};
pub use target::{Place, Target};
