//! The rehearsal: the same bundle, installed, installed again, broken and rolled back on a throw-away
//! Debian host before it meets the real one.
//!
//! ```text
//! need   what this machine must have, all of it said at once
//! base   one root file system per Debian release, made once, kept in the cache
//! lab    one rehearsal's room: its folder, its control group, its switch; sweeps what a killed one left
//! host   one Debian host in it: systemd as init, sshd, an own network namespace with no way out
//! capture  everything that the host is, read from outside, and the comparison of two such readings
//! run    the play: capture, copy, install, install again, roll back, capture, compare
//! ```
//!
//! What must always hold:
//!
//! - Nothing is left behind. Every process of a rehearsal is in one control group and dies with the
//!   thread that started it (`--keep` excepted), mounts and network namespaces live only in those
//!   processes, and the folder is locked by one of them: whoever finds it unlocked may sweep it. So even
//!   a rehearsal that is killed with SIGKILL leaves one folder, which the next one removes.
//! - Nothing on this machine is changed outside the cache folder.
//! - A rehearsed host reaches nothing but its switch: a download in an installer fails here.
//! - What is reported equal was read again and compared, except the paths that [`capture::skip`] names,
//!   each with its reason.

pub mod base;
pub mod bundle;
pub mod cancel;
pub mod capture;
pub mod cgroup;
mod disk;
pub mod error;
mod event;
pub mod host;
pub mod installer;
pub mod lab;
pub mod mirror;
pub mod need;
mod netns;
mod nspawn;
mod reach;
pub mod report;
mod root;
pub mod run;
pub mod talk;
pub mod tool;

pub use cancel::Cancel;
pub use capture::Capture;
pub use disk::{Survives, duplicate};
pub use error::RehearseError;
pub use host::{Host, HostPlan};
pub use lab::{Lab, LabOptions};
pub use report::Report;
pub use run::{Fault, PrepareHook, RunOptions, rehearse};
pub use talk::Talk;
