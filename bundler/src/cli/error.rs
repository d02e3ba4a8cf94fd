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
        let message = self.message();
        let hint = self.0.hint();
        if printer.json_wanted() {
            printer.json_line(&json!({
                "format": 1,
                "error": { "message": message, "hint": hint, "exit": self.exit().code(), "host": self.0.host().to_string() },
            }));
        }
        printer.error(&message);
        if let Some(hint) = hint {
            printer.hint(hint);
        }
        printer.always(format_args!("host is now: {}", self.0.host()));
    }

    /// The message and its causes. A cause that the message already quotes is not said twice.
    fn message(&self) -> String {
        let mut message = self.0.to_string();
        let mut cause = self.0.source();
        while let Some(error) = cause {
            let text = error.to_string();
            if !message.contains(&text) {
                message = format!("{message}: {text}");
            }
            cause = StdError::source(error);
        }
        message
    }
}

#[cfg(test)]
mod tests {
    use chom_format::HostState;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("read inventory.yaml")]
    struct Outer(#[source] std::io::Error);

    impl Explain for Outer {
        fn exit(&self) -> Exit {
            Exit::BadInput
        }
        fn host(&self) -> HostState {
            HostState::NotConcerned
        }
    }

    #[test]
    fn causes_are_said_once() {
        let error = Error::from(Outer(std::io::Error::other("disk on fire")));
        assert_eq!(error.message(), "read inventory.yaml: disk on fire");
        assert_eq!(error.exit(), Exit::BadInput);
    }
}
