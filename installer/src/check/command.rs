//! A command whose exit code and output tell.

use std::time::Duration;

use chom_format::{AccountName, UnitName};

use super::kind::{Asking, CheckKind};
use super::{Answer, Miss};
use crate::redact;
use crate::sys::{Command, SysError};

/// See [`chom_format::Probe::Command`].
pub(super) struct CommandCheck<'a> {
    pub(super) argv: &'a [String],
    pub(super) user: Option<&'a AccountName>,
    pub(super) exit: i32,
    pub(super) contains: Option<&'a str>,
}

impl CheckKind for CommandCheck<'_> {
    fn ask(&self, asking: &Asking<'_>, timeout: Duration) -> Answer {
        let Self { argv, user, exit, contains } = *self;
        let program = argv.first().map_or("", String::as_str);
        let mut command = Command::new(argv.iter().cloned()).timeout(timeout);
        command.user = user.map(ToString::to_string);
        let output = match asking.sys.ask(&command) {
            Ok(output) => output,
            Err(SysError::Timeout { timeout, .. }) => {
                return Err(Miss::new(format!("`{program}` did not end within {} s", timeout.as_secs())));
            }
            Err(error) => return Err(Miss::new(error.to_string())),
        };
        let text = output.text();
        let said = if output.stderr.is_empty() { text.clone() } else { output.complaint() };
        if output.code != exit {
            return Err(Miss::with(
                format!("`{program}` ended with {}, not with {exit}", output.code),
                &said,
            ));
        }
        match contains {
            Some(wanted) if !text.contains(wanted) => {
                Err(Miss::with(format!("the output of `{program}` does not contain {wanted:?}"), &text))
            }
            _ => Ok(format!("`{program}` ended with {exit}")),
        }
    }

    fn remedy(&self) -> String {
        format!("run it by hand: {}", redact::text(&self.argv.join(" ")))
    }

    fn unit(&self) -> Option<&UnitName> {
        None
    }
}
