//! chom-bundle: one inventory in, one verified and reproducible bundle per host out.
//!
//! Data moves one way: `inventory` -> `resolve` -> `render` -> `assemble` -> `pack`. No module reaches
//! back to an earlier one.

pub mod advice;
pub mod assemble;
pub mod build;
pub mod cache;
pub mod child;
pub mod cli;
pub mod deb;
pub mod deploy;
pub mod edit;
pub mod facts;
pub mod fetch;
pub mod inventory;
pub mod lock;
pub mod pack;
pub mod problem;
pub mod rehearse;
pub mod remote;
pub mod render;
pub mod resolve;
pub mod stack;
pub mod ui;
pub mod unpack;
pub mod upstream;
pub mod yaml;
