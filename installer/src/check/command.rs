//! A command whose exit code and output tell.

use std::time::Duration;

use chom_format::AccountName;

use super::{Answer, Miss};
use crate::sys::{Command, Sys, SysError};

/// Runs it once.
pub(super) fn ask(
    sys: &dyn Sys,
    argv: &[String],
    user: Option<&AccountName>,
    exit: i32,
    contains: Option<&str>,
    timeout: Duration,
) -> Answer {
    let program = argv.first().map_or("", String::as_str);
    let mut command = Command::new(argv.iter().cloned()).timeout(timeout);
    command.user = user.map(ToString::to_string);
    let output = match sys.ask(&command) {
        Ok(output) => output,
        Err(SysError::Timeout { timeout, .. }) => {
            return Err(Miss::new(format!("`{program}` did not end within {} s", timeout.as_secs())));
        }
        Err(error) => return Err(Miss::new(error.to_string())),
    };
    let text = output.text();
    let said = if output.stderr.is_empty() { text.clone() } else { output.complaint() };
    if output.code != exit {
        return Err(Miss::with(format!("`{program}` ended with {}, not with {exit}", output.code), &said));
    }
    match contains {
        Some(wanted) if !text.contains(wanted) => {
            Err(Miss::with(format!("the output of `{program}` does not contain {wanted:?}"), &text))
        }
        _ => Ok(format!("`{program}` ended with {exit}")),
    }
}
