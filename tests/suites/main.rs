//! The suites on real hosts, side by side in one program: `cargo test -p chom-tests --test suites odd::` runs one of them.
//!
//! Each scene has hosts of its own, and waits for them in `chom_tests::places`.

mod adversary;
mod afterwards;
mod alert_rules;
mod backup;
mod confirm;
mod crowd;
mod dpkg;
mod effects;
mod faults;
mod hostile;
mod hosts;
mod lived_in;
mod newstack;
mod odd;
mod power;
mod refusals;
mod space;
mod stacks;
mod standalone;
mod trace;
mod ways;
