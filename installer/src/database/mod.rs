//! Databases of services, each as its own program sees it: what there is, a dump, and the same put back.
//!
//! They are reached over their local sockets. Both who saves a database for the way back ([`crate::resource`]) and who
//! backs it up ([`crate::backup`]) read it here, and neither knows the other.

pub mod mariadb;
pub mod postgresql;
pub mod redis;

use std::time::Duration;

use chom_format::UnitName;

use crate::redact;
use crate::sys::{Command, Output, Sys, SysError};
use crate::systemd;

/// Asks a program for a text; an exit code other than 0 is an error with its words.
fn ask(sys: &dyn Sys, command: &Command) -> Result<String, SysError> {
    let output = sys.ask(command)?;
    let text = output.text();
    finished(command, output).map(|()| text)
}

/// An exit code other than 0 as an error, with what the program said.
pub(crate) fn finished(command: &Command, output: Output) -> Result<(), SysError> {
    if output.success() {
        return Ok(());
    }
    let complaint = redact::text(&output.complaint());
    Err(SysError::Failed { command: command.argv.join(" "), code: output.code, complaint })
}

/// Starts or stops a service.
pub(crate) fn systemctl(
    sys: &mut dyn Sys,
    verb: &str,
    unit: &UnitName,
    timeout: Duration,
) -> Result<(), SysError> {
    let output = systemd::run(sys, verb, unit, timeout)?;
    finished(&Command::new(["systemctl", verb, unit.as_str()]), output)
}

/// A number that a program has printed.
fn number(command: &Command, text: &str) -> Result<u64, SysError> {
    let wrong =
        || SysError::other("understand", command.argv.join(" "), format!("`{}` is no size", text.trim()));
    text.trim().parse().map_err(|_| wrong())
}
