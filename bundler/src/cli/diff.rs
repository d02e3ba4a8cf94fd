//! `chom-bundle diff`: in what two bundles differ.

use std::path::PathBuf;

use chom_format::Exit;
use clap::Args;
use serde_json::{Value, json};

use super::{Ctx, Error};
use crate::pack::Bundle;
use crate::pack::diff::Difference;

/// Show in what two bundles differ; exit code 0 when in nothing, 1 when in something
#[derive(Debug, Args)]
pub struct Diff {
    /// The first bundle, tarball or unpacked folder
    a: PathBuf,
    /// The second bundle
    b: PathBuf,
}

impl Diff {
    /// Runs the command.
    pub fn run(self, ctx: &mut Ctx) -> Result<Exit, Error> {
        let (a, b) = (Bundle::read(&self.a)?, Bundle::read(&self.b)?);
        let difference = Difference::between(&a, &b);
        if ctx.printer.json_wanted() {
            let sections: serde_json::Map<String, Value> = difference
                .sections
                .iter()
                .map(|(title, changes)| ((*title).to_owned(), json!(changes)))
                .collect();
            ctx.printer.json(&json!({
                "format": 1, "a": a.name, "b": b.name, "same": difference.is_empty(),
                "sections": sections, "files": difference.files,
            }));
        } else {
            ctx.printer.data(difference.to_text());
        }
        if difference.is_empty() {
            ctx.printer.say(format_args!("{} and {} do the same", a.name, b.name));
            return Ok(Exit::Done);
        }
        Ok(Exit::Failed)
    }
}
