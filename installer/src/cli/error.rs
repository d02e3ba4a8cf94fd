//! The end of every error: printed once, with its causes, its remedy and what it says of the host.

use std::error::Error as StdError;

use chom_format::Exit;
use chom_format::exit::Explain;
use serde_json::json;

use crate::ui::Printer;

/// Any error of any room. It is made by `?` from whatever implements [`Explain`].
#[derive(Debug)]
pub struct Error(Box<dyn Explain + Send + Sync>);

impl<E: Explain + Send + Sync + 'static> From<E> for Error {
    fn from(error: E) -> Self {
        Self(Box::new(error))
    }
}

impl Error {
    /// The exit code that it leads to.
    pub fn exit(&self) -> Exit {
        self.0.exit()
    }

    /// Prints it on stderr, and with `--json` also as an object on stdout.
    pub fn print(&self, printer: &Printer) {
        let message = chain(&*self.0);
        let (hint, host) = (self.0.hint(), self.0.host());
        if printer.json_wanted() {
            printer.json_line(&json!({
                "format": 1,
                "exit": self.exit().code(),
                "transaction": null,
                "changed": [],
                "effects": 0,
                "checks": [],
                "proof": null,
                "host": host.to_string(),
                "error": { "message": message, "hint": hint },
            }));
        }
        printer.error(&message);
        printer.always(format_args!("host is now: {host}"));
        if let Some(hint) = hint {
            printer.hint(hint);
        }
    }
}

/// An error's message and its causes. A cause that the message already quotes is not said twice.
pub(crate) fn chain<E: StdError + ?Sized>(error: &E) -> String {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !message.contains(&text) {
            message = format!("{message}: {text}");
        }
        cause = error.source();
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("read manifest.json")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn causes_are_said_once() {
        let error = Outer(std::io::Error::other("disk on fire"));
        assert_eq!(chain(&error), "read manifest.json: disk on fire");
    }
}
