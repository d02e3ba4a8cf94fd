//! What every command is given.

use std::sync::Arc;

use chom_format::Exit;

use super::globals::Globals;
use crate::logger;
use crate::run::Outcome;
use crate::ui::{Printer, Progress};

/// The printer and the global options.
pub struct Ctx {
    /// Where results and talk go.
    pub printer: Arc<Printer>,
    /// What the user asked of every command.
    pub globals: Globals,
}

impl Ctx {
    /// The context of one run.
    pub fn new(globals: Globals) -> Self {
        let printer = Arc::new(Printer::new(globals.color, globals.talk(), globals.json));
        logger::install(printer.clone(), globals.talk());
        Self { printer, globals }
    }

    /// Prints how a command that changes the host ended.
    pub fn end(&self, outcome: &Outcome) -> Exit {
        if self.printer.json_wanted() {
            self.printer.json_line(outcome);
        } else {
            self.printer.data(outcome);
        }
        if let Some(error) = &outcome.error {
            self.printer.error(&error.message);
            self.printer.always(format_args!("host is now: {}", outcome.host));
            if let Some(hint) = &error.hint {
                self.printer.hint(hint);
            }
        } else {
            self.printer.say(format_args!("host is now: {}", outcome.host));
        }
        outcome.code()
    }

    /// A display of how far a run is.
    pub fn progress(&self) -> Progress {
        Progress::new(Arc::clone(&self.printer))
    }
}
