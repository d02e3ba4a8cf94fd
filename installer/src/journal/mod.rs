//! The write-ahead journal of a transaction.

mod record;

pub use record::Record;
