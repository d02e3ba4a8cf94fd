//! One path, one meaning: two entries must not want different things of it, and every name must lead somewhere.

use std::collections::BTreeMap;

use chom_format::{AccountName, HostPath, UnitName};

use crate::problem::Problem;
use crate::render::wanted::{Dir, Rendered, Spot};
use crate::resolve::Host;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Claim<'a> {
    Dir(&'a Dir),
    Leaf(&'static str),
}

pub(super) fn broken(rendered: &Rendered, host: &Host) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut claims: BTreeMap<HostPath, (Claim<'_>, &Spot)> = BTreeMap::new();
    for (path, claim, at) in all(rendered) {
        match claims.get(&path) {
            None => {
                claims.insert(path, (claim, at));
            }
            Some((first, _)) if matches!(claim, Claim::Dir(_)) && *first == claim => {}
            Some((_, first)) => {
                let message = format!("{path} is wanted a second time; the first is at {first}");
                problems.push(at.problem(message, "let one component own the path"));
            }
        }
    }
    for (path, (_, at)) in &claims {
        let mut above = path.parent();
        while let Some(parent) = above {
            if let Some((Claim::Leaf(kind), other)) = claims.get(&parent) {
                let message = format!("{path} lies below {parent}, which is {kind} ({other})");
                problems.push(at.problem(message, "choose another path"));
            }
            above = parent.parent();
        }
        problems.extend(reserved(host, path, at));
    }
    problems.extend(names(rendered));
    problems
}

// What the release and its link own.
fn reserved(host: &Host, path: &HostPath, at: &Spot) -> Option<Problem> {
    let taken = host.stack_files.values().flat_map(|stack| {
        ["bin", "releases"]
            .into_iter()
            .filter_map(|name| format!("{}/{name}", stack.root).parse::<HostPath>().ok())
    });
    let inside = taken.into_iter().find(|taken| path.is_within(taken) && path != taken)?;
    let message = format!("{path} lies in {inside}, which belongs to the releases");
    Some(at.problem(
        message,
        "programs come from `payload`; everything else lies outside of `bin` and `releases`",
    ))
}

fn all(rendered: &Rendered) -> Vec<(HostPath, Claim<'_>, &Spot)> {
    let mut all = Vec::new();
    for component in &rendered.components {
        all.extend(
            component.dirs.iter().map(|dir| (dir.value.path.clone(), Claim::Dir(&dir.value), &dir.at)),
        );
        all.extend(
            component.files.iter().map(|file| (file.value.path.clone(), Claim::Leaf("a file"), &file.at)),
        );
        all.extend(
            component.links.iter().map(|link| (link.value.path.clone(), Claim::Leaf("a link"), &link.at)),
        );
        all.extend(
            component
                .absent
                .iter()
                .map(|gone| (gone.value.path.clone(), Claim::Leaf("to be absent"), &gone.at)),
        );
        all.extend(
            component
                .units
                .iter()
                .filter_map(|unit| Some((unit.value.path()?, Claim::Leaf("the file of a unit"), &unit.at))),
        );
        for unit in &component.units {
            let written = Claim::Leaf("written by a unit");
            all.extend(unit.value.writes.iter().map(|path| (path.clone(), written, &unit.at)));
        }
    }
    all
}

// Units and accounts that are there twice, and units that are named but not there.
fn names(rendered: &Rendered) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut units: BTreeMap<&UnitName, &Spot> = BTreeMap::new();
    let mut accounts: BTreeMap<&AccountName, (&HostPath, &Spot)> = BTreeMap::new();
    for component in &rendered.components {
        for unit in &component.units {
            if let Some(first) = units.insert(&unit.value.name, &unit.at) {
                let message =
                    format!("unit {} is there a second time; the first is at {first}", unit.value.name);
                problems.push(unit.at.problem(message, "let one component own the unit"));
            }
        }
        for account in &component.accounts {
            let Some(own) = &account.value.home else { continue };
            match accounts.insert(&account.value.name, (own, &account.at)) {
                Some((home, first)) if home != own => {
                    let message =
                        format!("account {} has another home at {first}: {home}", account.value.name);
                    problems.push(account.at.problem(message, "give it the same home everywhere"));
                }
                _ => {}
            }
        }
    }
    for component in &rendered.components {
        let files = component.files.iter().map(|file| (&file.at, &file.value.restart, &file.value.reload));
        let links = component.links.iter().map(|link| (&link.at, &link.value.restart, &link.value.reload));
        let absent = component.absent.iter().map(|gone| (&gone.at, &gone.value.restart, &gone.value.reload));
        for (at, restart, reload) in files.chain(links).chain(absent) {
            for unit in restart.iter().chain(reload).filter(|unit| !units.contains_key(*unit)) {
                let message = format!("no enabled component of this host has a unit {unit}");
                problems
                    .push(at.problem(message, "name a unit of `units:`, or stand the entry under `when`"));
            }
        }
    }
    problems
}
