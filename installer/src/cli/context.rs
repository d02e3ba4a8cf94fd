//! What every command is given.

use super::globals::Globals;
use crate::ui::Printer;

/// The printer and the global options.
pub struct Ctx {
    /// Where results and talk go.
    pub printer: Printer,
    /// What the user asked of every command.
    pub globals: Globals,
}

impl Ctx {
    /// The context of one run.
    pub fn new(globals: Globals) -> Self {
        Self { printer: Printer::new(globals.color, globals.talk(), globals.json), globals }
    }
}
