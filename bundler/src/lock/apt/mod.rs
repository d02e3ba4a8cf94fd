//! apt as a resolver, in a tree of its own.
//!
//! A private root in the cache holds sources, keys, indexes and package state of one release and processor.
//! apt reads nothing of the machine's own tree but its proxy settings, needs no root, and changes nothing
//! outside. The answers are those of the very program that will install the packages, and the signature
//! chain (InRelease by gpgv, indexes by InRelease, archives by the indexes) is apt's own.

mod base;
mod parse;
mod query;
mod root;
#[cfg(test)]
mod tests;

pub(super) use query::{Query, Status};
pub(super) use root::{AptOptions, AptRoot};
