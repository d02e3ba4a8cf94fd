//! Transactions on a directory as host: whatever fails, wherever, the host is before or after.

mod adversary;
mod chance;
mod expose;
mod faults;
mod host;
mod restore;
mod steps;
mod way;
mod whole;
