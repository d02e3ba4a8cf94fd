//! `chom-install history`: the transactions that the host knows.

use chom_format::Exit;
use clap::Args;

use super::{Ctx, Error};
use crate::run;

/// List the transactions that this host knows, oldest first
#[derive(Debug, Args)]
pub struct History {
    /// Only this transaction
    #[arg(requires = "proof")]
    id: Option<u64>,
    /// What was read again after it was taken back, with fingerprints
    #[arg(long, requires = "id")]
    proof: bool,
}

impl History {
    /// Runs the command.
    pub fn run(self, ctx: &mut Ctx) -> Result<Exit, Error> {
        if let Some(id) = self.id {
            let proof = run::proof(id)?;
            if ctx.printer.json_wanted() {
                ctx.printer.json_line(&proof);
            } else {
                ctx.printer.data(&proof);
            }
            return Ok(Exit::Done);
        }
        let history = run::history()?;
        if ctx.printer.json_wanted() {
            ctx.printer.json_line(&history);
        } else {
            ctx.printer.data(history);
        }
        Ok(Exit::Done)
    }
}
