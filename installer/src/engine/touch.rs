//! What a step touches beside what it names: the listing of each directory, and parents that are missing.

use chom_format::HostPath;

use super::EngineError;
use crate::resource::{Resource, missing_parents};
use crate::sys::{Kind, Sys};

/// The resources in the order in which they are to be saved, each once: a listing before the first path in
/// its directory, a missing parent before what will be in it.
pub(super) fn complete(sys: &dyn Sys, named: Vec<Resource>) -> Result<Vec<Resource>, EngineError> {
    let mut all = Vec::new();
    for resource in named {
        let mut dirs = resource.handler().listings(sys)?;
        if let Some(path) = resource.path().filter(|_| resource.handler().policy().made_at_path) {
            let missing = missing_parents(sys, path)?;
            dirs.extend(missing.first().unwrap_or(path).parent());
            // The time of a directory that is there belongs to its own listing.
            dirs.push(path.clone());
            add_listings(sys, &mut all, dirs)?;
            for path in missing {
                add(&mut all, Resource::at(path));
            }
        } else {
            add_listings(sys, &mut all, dirs)?;
        }
        add(&mut all, resource);
    }
    Ok(all)
}

fn add_listings(sys: &dyn Sys, all: &mut Vec<Resource>, dirs: Vec<HostPath>) -> Result<(), EngineError> {
    for path in dirs {
        match sys.meta(&path)?.map(|meta| meta.kind) {
            Some(Kind::Dir) => add(all, Resource::listing(path)),
            // What is written there changes the directory that the link leads to.
            Some(Kind::Link) => {
                if let Some(path) = sys.resolve(&path)?
                    && sys.meta(&path)?.is_some_and(|meta| meta.kind == Kind::Dir)
                {
                    add(all, Resource::listing(path));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn add(all: &mut Vec<Resource>, resource: Resource) {
    if !all.contains(&resource) {
        all.push(resource);
    }
}
