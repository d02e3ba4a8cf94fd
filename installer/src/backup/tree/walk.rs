//! What lies on the disk, as entries.

use chom_format::HostPath;
use chom_format::backup::PathsSource;

use super::entry::{Entry, Is};
use super::{header, padding};
use crate::resource::below;
use crate::sys::{Kind, Meta, Sys, SysError, text_at};

/// Names of owners by number.
#[derive(Debug, Default)]
pub struct Names {
    users: Vec<(u32, String)>,
    groups: Vec<(u32, String)>,
}

impl Names {
    /// The host's account files.
    pub fn read(sys: &dyn Sys) -> Result<Self, SysError> {
        Ok(Self { users: numbers(sys, "/etc/passwd")?, groups: numbers(sys, "/etc/group")? })
    }

    /// The numbers that an entry's owner has on this host: by name where that is known here.
    pub fn owner(&self, entry: &Entry) -> (u32, u32) {
        let number = |names: &[(u32, String)], name: &str, otherwise: u32| {
            let found = names.iter().find(|(_, known)| !name.is_empty() && *known == name);
            found.map_or(otherwise, |(number, _)| *number)
        };
        let Entry { attrs, user, group, .. } = entry;
        (number(&self.users, user, attrs.uid), number(&self.groups, group, attrs.gid))
    }
}

fn numbers(sys: &dyn Sys, file: &str) -> Result<Vec<(u32, String)>, SysError> {
    let line = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?.to_owned();
        Some((fields.nth(1)?.parse().ok()?, name))
    };
    Ok(text_at(sys, file)?.lines().filter_map(line).collect())
}

/// What was found.
#[derive(Debug, Default)]
pub struct Walk {
    /// Everything that can be put into a tree, parents before their children, with how it looked.
    pub entries: Vec<(Entry, Meta)>,
    /// Sockets, pipes and devices: nothing that could be kept.
    pub left_out: Vec<HostPath>,
}

impl Walk {
    /// The bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.entries.iter().map(|(entry, _)| entry.size()).sum()
    }

    /// The bytes of a tree of it, before it is squeezed.
    pub fn size(&self) -> u64 {
        let of = |(entry, _): &(Entry, Meta)| {
            header::encode(entry).len() as u64 + entry.size() + padding(entry.size()) as u64
        };
        self.entries.iter().map(of).sum::<u64>() + 1024
    }
}

/// Goes through the paths of a part. A path that is not there is an error: it would be missing from every backup.
pub fn walk(sys: &dyn Sys, source: &PathsSource) -> Result<Walk, SysError> {
    let names = Names::read(sys)?;
    let mut walk = Walk::default();
    let mut roots: Vec<&HostPath> = source.paths.iter().collect();
    roots.sort();
    for root in roots {
        if sys.meta(root)?.is_none() {
            return Err(SysError::other("back up", root, "it is not there"));
        }
        add(sys, root, source, &names, &mut walk)?;
    }
    Ok(walk)
}

fn add(
    sys: &dyn Sys,
    path: &HostPath,
    source: &PathsSource,
    names: &Names,
    walk: &mut Walk,
) -> Result<(), SysError> {
    if source.excludes(path) {
        return Ok(());
    }
    // What goes while it is looked at is missed by the second look, which tells.
    let (Some(meta), Some(attrs)) = (sys.meta(path)?, sys.attrs(path)?) else { return Ok(()) };
    let is = match meta.kind {
        Kind::Dir => Is::Dir,
        Kind::File => Is::File(meta.size),
        Kind::Link => Is::Link(sys.link(path)?),
        Kind::Fifo | Kind::Socket | Kind::Block | Kind::Char => {
            walk.left_out.push(path.clone());
            return Ok(());
        }
    };
    if let Some(name) = attrs.xattrs.keys().find(|name| name.contains('=')) {
        return Err(SysError::other(
            "back up",
            path,
            format!("the name of its attribute `{name}` has no place in a tar"),
        ));
    }
    // The first of two names of a number is the one that programs show.
    let name = |names: &[(u32, String)], number: u32| {
        let found = names.iter().find(|(known, _)| *known == number).map(|(_, name)| name);
        found.filter(|name| name.len() <= 31).cloned().unwrap_or_default()
    };
    let (user, group) = (name(&names.users, meta.uid), name(&names.groups, meta.gid));
    let is_dir = is == Is::Dir;
    walk.entries.push((Entry { path: path.clone(), is, attrs, user, group }, meta));
    if is_dir {
        for name in names_in(sys, path)? {
            add(sys, &below(path, &name)?, source, names, walk)?;
        }
    }
    Ok(())
}

// The door leaves out names that no path type of ours can hold; a backup must not do so without a word.
fn names_in(sys: &dyn Sys, dir: &HostPath) -> Result<Vec<String>, SysError> {
    let names = sys.list(dir)?;
    if sys.count(dir)? > names.len() {
        let why =
            "it holds a name that is no text or changes while it is looked at: rename it, or exclude it";
        return Err(SysError::other("back up", dir, why));
    }
    Ok(names)
}
