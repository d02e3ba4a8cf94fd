//! From the checked inventory and the stacks to one value a setting, each with its origin.
//!
//! Layers, lowest first: component default, inventory defaults, host, environment, `--set`. What comes out, a
//! [`Fleet`], is complete: no later stage knows of layers, defaults or files.

pub mod fleet;
pub mod origin;

pub use fleet::{Address, Component, Fleet, Host, Mirrors, Specs, Ssh, Tls, TlsMode};
pub use origin::{Layer, Origin, Origins};
