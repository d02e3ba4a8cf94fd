//! `chom-bundle render`: the files of each chosen host, for review.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use chom_format::exit::Explain;
use chom_format::{Exit, HostState};
use clap::Args;
use serde_json::json;

use super::hosts::Hosts;
use super::payloads::{self, Payloads};
use super::{Ctx, Error};
use crate::assemble;
use crate::build;
use crate::fetch;
use crate::lock::{LockFile, LockRequest};
use crate::render::{Rendered, Renderer, Sources};
use crate::resolve::{Fleet, Host};

/// Render the files of each chosen host, for review; nothing needs to be locked or fetched
#[derive(Debug, Args)]
pub struct Render {
    #[command(flatten)]
    hosts: Hosts,
    /// Write the files below this folder instead of printing them: `DIR/HOST/PATH`
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    #[command(flatten)]
    payloads: Payloads,
}

/// A file that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}", .path.display())]
struct WriteError {
    path: PathBuf,
    source: io::Error,
}

impl Explain for WriteError {
    fn exit(&self) -> Exit {
        Exit::Failed
    }

    fn hint(&self) -> Option<String> {
        Some("name a folder that you may write to with --output".to_owned())
    }

    fn host(&self) -> HostState {
        HostState::NotConcerned
    }
}

impl Render {
    /// Runs the command.
    pub fn run(self, ctx: &mut Ctx) -> Result<Exit, Error> {
        let (fleet, catalog) = ctx.fleet()?;
        let sources = Sources::new(&catalog);
        let renderer = Renderer::new(&fleet, &sources)?;
        let mut shown = Vec::new();
        for name in self.hosts.pick(&fleet)? {
            let Some(host) = fleet.hosts.get(&name) else { continue };
            let payloads = self.known(ctx, &fleet, host)?;
            if payloads.is_none() {
                ctx.printer.say(format_args!(
                    "{name}: not locked and fetched yet, so the ids of releases are zeros"
                ));
            }
            let rendered = build::rendered(&renderer, host, payloads.as_ref())?;
            rendered.warnings.iter().for_each(|warning| ctx.printer.warn(warning));
            match &self.output {
                Some(folder) => {
                    let count = write(&folder.join(name.as_str()), &rendered)?;
                    ctx.printer.say(format_args!(
                        "{name}: {count} files in {}",
                        folder.join(name.as_str()).display()
                    ));
                }
                None if ctx.printer.json_wanted() => shown.push(to_json(&rendered)),
                None => print(ctx, &rendered),
            }
        }
        if ctx.printer.json_wanted() {
            ctx.printer.json(&json!({ "format": 1, "hosts": shown }));
        }
        Ok(Exit::Done)
    }

    // The payloads, when the lock is there, fits, and all that it names is in the cache.
    fn known(&self, ctx: &Ctx, fleet: &Fleet, host: &Host) -> Result<Option<assemble::Payloads>, Error> {
        let Ok(file) = LockFile::read(&payloads::lock_path(ctx)) else { return Ok(None) };
        let mut request = LockRequest::of(fleet)?;
        request.hosts.retain(|wanted| wanted.host == host.name);
        let cache = self.payloads.open()?;
        let whole = file.lock.matches(&request).is_ok()
            && fetch::missing(&file.lock, std::slice::from_ref(&host.name), &cache)?.is_empty();
        Ok(if whole { Some(assemble::payloads(host, &file.lock, &cache)?) } else { None })
    }
}

// Path, mode, owner and text of every file.
fn files(rendered: &Rendered) -> Vec<(String, String, &str)> {
    let mut files = Vec::new();
    for component in &rendered.components {
        for file in &component.files {
            let file = &file.value;
            let about = format!("{} {}:{}", file.mode, file.owner.user, file.owner.group);
            files.push((file.path.to_string(), about, file.content.as_str()));
        }
        for unit in &component.units {
            if let (Some(path), Some(text)) = (unit.value.path(), &unit.value.content) {
                files.push((path.to_string(), "0644 root:root".to_owned(), text.as_str()));
            }
        }
    }
    files.sort();
    files
}

fn print(ctx: &Ctx, rendered: &Rendered) {
    for (path, about, text) in files(rendered) {
        ctx.printer.line(format_args!("==> {}:{path} ({about})", rendered.host));
        ctx.printer.data(text);
        ctx.printer.line(if text.ends_with('\n') || text.is_empty() { "" } else { "\n" });
    }
}

fn to_json(rendered: &Rendered) -> serde_json::Value {
    let files: Vec<_> = files(rendered)
        .into_iter()
        .map(|(path, about, text)| json!({ "path": path, "about": about, "content": text }))
        .collect();
    json!({ "host": rendered.host, "files": files })
}

fn write(folder: &Path, rendered: &Rendered) -> Result<usize, WriteError> {
    let files = files(rendered);
    for (path, _, text) in &files {
        let path = folder.join(path.trim_start_matches('/'));
        let failed = |source| WriteError { path: path.clone(), source };
        fs::create_dir_all(path.parent().unwrap_or(folder)).map_err(failed)?;
        fs::write(&path, text).map_err(failed)?;
    }
    Ok(files.len())
}
