//! What a person or a script sees: data on stdout, talk on stderr, never mixed.
//!
//! This room knows no command and changes nothing on the host. It keeps one promise: a reader or terminal
//! that goes away is never the reason why a run stops, fails or panics; the transaction's own log has it all.

mod event;
mod printer;
mod progress;
mod prompt;
mod watcher;

pub use event::Event;
pub use printer::{Color, Printer};
pub use progress::Progress;
pub(crate) use prompt::somebody;
pub use prompt::{Answer, ask, ask_within};
pub use watcher::Watcher;
