//! What every command is given.

use super::error::Error;
use super::globals::Globals;
use crate::problem::Problems;
use crate::resolve::{self, Fleet, Request, Resolved};
use crate::stack::Catalog;
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
        let printer = Printer::new(globals.color, globals.talk(), globals.json);
        Self { printer, globals }
    }

    /// What the global options and the environment say about the inventory.
    pub fn request(&self) -> Request {
        Request {
            inventory: self.globals.inventory.clone(),
            targets: self.globals.targets.clone(),
            set: self.globals.set.clone(),
            environment: std::env::vars_os()
                .filter_map(|(name, value)| {
                    Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
                })
                .collect(),
        }
    }

    /// The fleet and the stacks; an inventory with problems is an error that names them all.
    pub fn fleet(&self) -> Result<(Fleet, Catalog), Error> {
        Ok(resolve::fleet(&self.request())?)
    }

    /// The stacks alone, for commands that need no inventory.
    pub fn catalog(&self) -> Result<Catalog, Error> {
        let request = self.request();
        Ok(Catalog::load(request.beside(), &request.targets)?)
    }

    /// All that is known of the inventory, also when it has problems.
    pub fn resolve(&self) -> Result<Resolved, Problems> {
        resolve::resolve(&self.request())
    }
}
