//! What a person or a script sees: data on stdout, talk on stderr, never mixed.
//!
//! This room knows no command and no inventory. It keeps one promise: a reader or terminal that goes away
//! is never the reason why a run stops or fails.

pub mod manual;
pub mod printer;

pub use printer::{Color, Printer, Talk};
