//! Writing measured facts back into the inventory, which belongs to a person.
//!
//! The inventory is edited as text: [`patch`] asks the parser where the five values stand and replaces exactly
//! those bytes, so that comments, order, quotes, blank lines and line ends stay as they are, whatever the style.
//! It is not believed: [`prove`] reads the result again and compares it with what was meant before [`replace`]
//! lets it take the file's place. What is shared through an anchor is not edited at all, for that would change
//! another host too.
//!
//! An editor of syntax trees was measured and left out: it needs the same proof, knows fewer styles, and a span of
//! bytes is all that is needed here.

pub mod error;
pub mod patch;
pub mod prove;
pub mod replace;
pub mod specs;

pub use error::EditError;
pub use replace::Saved;
pub use specs::write_specs;
