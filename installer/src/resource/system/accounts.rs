//! The accounts that packages made: they go with the packages, but for those that somebody still holds; and accounts that
//! others made since stay.
//!
//! The account files are the last that is put back, each by one write: until then, and should that be cut off, every
//! account is there.

use std::collections::BTreeSet;

use chom_format::HostPath;

use super::super::Store;
use super::super::holds::Account;
use super::before::{Before, text};
use super::delta::Delta;
use crate::sys::{Attrs, Effect, Source, Sys, SysError, named, text_at};

const FILES: [&str; 4] = ["/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow"];

/// Whether a path is one of these files.
pub(super) fn is_one(path: &str) -> bool {
    FILES.contains(&path)
}

/// The names of accounts that the step made.
pub(super) fn made(sys: &dyn Sys, store: &Store, before: &Before) -> Result<BTreeSet<String>, SysError> {
    let mut names = BTreeSet::new();
    for file in FILES {
        let known = text(sys, store, before, &named(file)?)?;
        names.extend(new_names(&known, &text_at(sys, file)?).into_iter().map(str::to_owned));
    }
    Ok(names)
}

/// Accounts that stay.
#[derive(Debug, Default)]
pub(super) struct Staying {
    names: BTreeSet<String>,
    /// Why, in words.
    pub(super) told: Vec<String>,
}

impl Staying {
    /// Of all that are there and were not before. Asked when everything else is back.
    pub(super) fn find(
        sys: &dyn Sys,
        store: &Store,
        before: &Before,
        delta: &Delta,
    ) -> Result<Self, SysError> {
        let mut staying = Self::default();
        let (passwd, group) = (text_at(sys, "/etc/passwd")?, text_at(sys, "/etc/group")?);
        for name in made(sys, store, before)? {
            let account = Account { name: &name, uid: number(&passwd, &name), gid: number(&group, &name) };
            let theirs = delta.accounts.as_ref().is_some_and(|ours| !ours.contains(&name));
            let reason = match account.is_held(sys)? {
                None if theirs => Some(format!("account `{name}` was made by others, and stays")),
                reason => reason,
            };
            if let Some(reason) = reason {
                staying.told.push(reason);
                staying.names.insert(name);
            }
        }
        Ok(staying)
    }

    /// Writes a file as it was, with the lines of those that stay.
    pub(super) fn put_back(
        &self,
        sys: &mut dyn Sys,
        store: &Store,
        before: &Before,
        path: &HostPath,
        attrs: &Attrs,
    ) -> Result<(), SysError> {
        let now = text_at(sys, path.as_str())?;
        let mut wanted = text(sys, store, before, path)?;
        for line in now.lines().filter(|line| self.names.contains(first(line))) {
            wanted.push_str(line);
            wanted.push('\n');
        }
        if wanted != now {
            sys.effect(&Effect::Write { path, source: Source::Bytes(wanted.as_bytes()), attrs })?;
        }
        Ok(())
    }
}

/// The account files as they are before dpkg runs scripts that may take accounts away.
pub(super) struct Lines(Vec<(HostPath, String)>);

impl Lines {
    pub(super) fn read(sys: &dyn Sys) -> Result<Self, SysError> {
        let read = |file: &&str| Ok((named(file)?, text_at(sys, file)?));
        FILES.iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// Brings the lines of accounts back that somebody still holds. Why, in words.
    pub(super) fn bring_back(&self, sys: &mut dyn Sys, delta: &Delta) -> Result<Vec<String>, SysError> {
        let mut told = Vec::new();
        for name in delta.accounts.iter().flatten() {
            let of = |at: usize| self.0.get(at).and_then(|(_, text)| number(text, name));
            let gone = |file| text_at(sys, file).map(|text| !text.lines().any(|line| first(line) == name));
            if !gone("/etc/passwd")? && !gone("/etc/group")? {
                continue;
            }
            let Some(reason) = Account { name, uid: of(0), gid: of(1) }.is_held(sys)? else { continue };
            for (path, text) in &self.0 {
                let now = text_at(sys, path.as_str())?;
                let known = now.lines().any(|line| first(line) == name);
                let Some(line) = text.lines().find(|line| first(line) == name && !known) else { continue };
                let Some(attrs) = sys.attrs(path)? else { continue };
                let wanted = format!("{now}{line}\n");
                sys.effect(&Effect::Write { path, source: Source::Bytes(wanted.as_bytes()), attrs: &attrs })?;
            }
            told.push(reason);
        }
        Ok(told)
    }
}

fn new_names<'a>(known: &str, now: &'a str) -> Vec<&'a str> {
    let known: BTreeSet<&str> = known.lines().map(first).collect();
    now.lines().map(first).filter(|name| !known.contains(name)).collect()
}

fn first(line: &str) -> &str {
    line.split(':').next().unwrap_or_default()
}

fn number(text: &str, name: &str) -> Option<u32> {
    text.lines().find(|line| first(line) == name)?.split(':').nth(2)?.parse().ok()
}
