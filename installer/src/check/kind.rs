//! What each kind of check knows: how it asks once, and where a person looks when it fails.
//!
//! Owns the one place where probes are told apart. Each kind lies in a file of its own, and states all of it.

use std::time::Duration;

use chom_format::{Probe, UnitName};

use super::Answer;
use super::command::CommandCheck;
use super::http::{self, HttpCheck};
use super::query::QueryCheck;
use super::tcp::TcpCheck;
use super::tls::TlsCheck;
use super::unit::{self, UnitCheck};
use crate::sys::Sys;

/// What the checks of a run share.
pub(super) struct Asking<'a> {
    pub(super) sys: &'a dyn Sys,
    pub(super) http: &'a http::Client,
    pub(super) units: &'a unit::Units<'a>,
}

/// One kind of check.
pub(super) trait CheckKind {
    /// Asks once.
    fn ask(&self, asking: &Asking<'_>, timeout: Duration) -> Answer;

    /// Where to look next, when it failed.
    fn remedy(&self) -> String;

    /// The unit that systemd is asked for; all of them are one question.
    fn unit(&self) -> Option<&UnitName>;
}

/// The code that knows this kind.
pub(super) fn of(probe: &Probe) -> Box<dyn CheckKind + '_> {
    match probe {
        Probe::Http { url, headers, status, expect_headers, contains, json, ca_file, insecure } => {
            let get = http::Get { url, headers, ca_file: ca_file.as_ref(), insecure: *insecure };
            Box::new(HttpCheck { get, status, expect_headers, contains: contains.as_deref(), json })
        }
        Probe::Tcp { address } => Box::new(TcpCheck { address }),
        Probe::Unit { unit, dwell_s } => Box::new(UnitCheck { unit, dwell_s: *dwell_s }),
        Probe::Command { argv, user, exit, contains } => {
            let (user, contains) = (user.as_ref(), contains.as_deref());
            Box::new(CommandCheck { argv, user, exit: *exit, contains })
        }
        Probe::Tls { address, name, min_days } => Box::new(TlsCheck { address, name, min_days: *min_days }),
        Probe::Query { url, expr, op, value } => Box::new(QueryCheck { url, expr, op: *op, value: *value }),
    }
}
