//! From the checked inventory and the stacks to one value a setting, each with its origin.
//!
//! Layers, lowest first: built in, component default, inventory defaults, host, environment, `--set`. Each layer is
//! read into [`leaves`], the leaves of a host are [`merge`]d, [`build`] gives them their types, and [`check`] looks
//! at all hosts together. What comes out, a [`Fleet`], is complete: no later stage knows of layers, defaults or
//! files. Problems are collected through all of it and told at once.

pub mod build;
pub mod check;
pub mod choose;
pub mod fleet;
pub mod leaves;
pub mod merge;
pub mod origin;
pub mod outline;
pub mod overrides;
pub mod trace;

use std::path::{Path, PathBuf};

use crate::inventory::{self, Inventory};
use crate::problem::{Problem, Problems};
use crate::stack::Catalog;

pub use fleet::{Address, Backup, Component, Fleet, Host, Mirrors, Specs, Ssh, Tls, TlsMode};
pub use origin::{Layer, Origin, Origins};
pub use trace::{Step, Trace};

/// What there is to resolve.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The inventory's path.
    pub inventory: PathBuf,
    /// `--targets`, later ones over earlier ones.
    pub targets: Vec<PathBuf>,
    /// `--set`, later ones over earlier ones.
    pub set: Vec<String>,
    /// The environment; variables that are not ours are passed over.
    pub environment: Vec<(String, String)>,
}

impl Request {
    /// The folder of the inventory, whose `targets/` and `templates/` are laid over the built-in ones.
    pub fn beside(&self) -> &Path {
        self.inventory.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
    }
}

/// All that is known of an inventory, also of one that has problems.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// The inventory as it was read.
    pub inventory: Inventory,
    /// The stacks.
    pub catalog: Catalog,
    /// Every value of every layer.
    pub trace: Trace,
    /// The fleet; none while there are problems.
    pub fleet: Option<Fleet>,
    /// What is wrong.
    pub problems: Vec<Problem>,
}

/// Reads and resolves an inventory. The error is what made it impossible to read on; what is merely wrong stands in
/// [`Resolved::problems`].
pub fn resolve(request: &Request) -> Result<Resolved, Problems> {
    // Both are read before either is judged: a mistake in one does not hide those in the other.
    let catalog = Catalog::load(request.beside(), &request.targets);
    let inventory = inventory::load(&request.inventory);
    match (catalog, inventory) {
        (Ok(catalog), Ok(inventory)) => Ok(layers(inventory, catalog, request)),
        (Err(one), Err(other)) => {
            Problems::check(one.iter().chain(other.iter()).cloned().collect())?;
            Err(one)
        }
        (Err(problems), _) | (_, Err(problems)) => Err(problems),
    }
}

/// The fleet of an inventory without problems.
pub fn fleet(request: &Request) -> Result<(Fleet, Catalog), Problems> {
    let resolved = resolve(request)?;
    Problems::check(resolved.problems)?;
    match resolved.fleet {
        Some(fleet) => Ok((fleet, resolved.catalog)),
        None => Err(Problem::whole(
            &*resolved.inventory.file,
            "the inventory has no hosts",
            "add one below `hosts`",
        )
        .into()),
    }
}

fn layers(inventory: Inventory, catalog: Catalog, request: &Request) -> Resolved {
    let mut problems = inventory.problems.clone();
    let merged = merge::Merger::new(&inventory, &catalog, &mut problems).run(request);
    // The old shape tells what it misses in its own words.
    if !inventory.legacy {
        problems.extend(check::missing(&inventory, &merged));
    }
    problems.extend(check::fleet(&inventory, &merged));
    let mut trace = Trace::default();
    let built = build::fleet(&inventory, &catalog, &merged, &mut trace, &mut problems);
    problems.sort();
    problems.dedup();
    let fleet = built.filter(|_| problems.is_empty());
    Resolved { inventory, catalog, trace, fleet, problems }
}

#[cfg(test)]
mod tests;
