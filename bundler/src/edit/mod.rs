//! Writing measured facts back into the inventory, which belongs to a person.
//!
//! The inventory is edited as text: [`patch`] asks the parser where the five values stand and replaces exactly
//! those bytes, so that comments, order, quotes, blank lines and line ends stay as they are, whatever the style.
//! It is not believed: [`prove`] reads the result again and compares it with what was meant before [`replace`]
//! lets it take the file's place. What is shared through an anchor is not edited at all, for that would change
//! another host too.

pub mod error;
pub mod patch;
pub mod prove;
pub mod replace;
pub mod specs;

pub use error::EditError;
pub use replace::Saved;
pub use specs::write_specs;
