//! chom-install: one bundle in; the host is afterwards what the bundle says, or exactly what it was.
//!
//! ```text
//! open -> preflight -> observe -> plan -> begin -> apply -> check -> expose -> confirm -> commit
//!                                            \__ any failure, signal, crash __/
//!                                                 restore, prove, report
//! ```
//!
//! `step` knows how to go forward and never back. `resource` knows how to put things back and never
//! forward. `engine` knows neither kind: it saves, announces, runs, and restores. All of them touch the
//! host through one door, [`sys::Sys`].

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests make hosts of their own"))]

pub mod backup;
pub mod caller;
pub mod check;
pub mod cli;
pub mod database;
pub mod dpkg;
pub mod engine;
pub mod facts;
pub mod journal;
pub mod logger;
pub mod nonce;
pub mod open;
pub mod plan;
pub mod preflight;
pub mod receipt;
pub mod redact;
pub mod resource;
pub mod run;
pub mod state;
pub mod step;
pub mod sys;
pub mod systemd;
pub mod transaction;
pub mod ufw;
pub mod ui;
