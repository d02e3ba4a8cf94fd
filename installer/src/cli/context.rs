//! What every command is given.

use std::sync::Arc;

use super::globals::Globals;
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
        Self { printer: Arc::new(Printer::new(globals.color, globals.talk(), globals.json)), globals }
    }

    /// A display of how far a run is.
    pub fn progress(&self) -> Progress {
        Progress::new(Arc::clone(&self.printer))
    }
}
