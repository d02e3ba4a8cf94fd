//! Which transactions are kept: the newest ones, the newest ones that are committed, whatever is open, and the objects and
//! attics of those. Of the one that the oldest of the way back was built on the manifest is kept: a host that has gone
//! back as far as it can still knows what it has.

use std::collections::BTreeSet;

use chom_format::Digest;

use super::list::ids;
use super::reserve::release;
use super::{Files, TransactionRecord, Way, list};
use crate::journal::JournalError;
use crate::resource::{below, remove_tree};
use crate::sys::Sys;

/// Removes transactions with their attics, and the objects that no transaction names any longer. What is open is never
/// removed, and neither is anything when a journal cannot be read.
pub fn prune(sys: &mut dyn Sys, files: &Files, keep: usize) -> Result<(), JournalError> {
    let known = list(sys, files)?;
    let way = Way::of(&known);
    let kept = kept(&known, &way, keep);
    let ground = way.back.iter().copied().find(|id| !kept.contains(id)).unwrap_or(way.floor);
    let mut named = BTreeSet::new();
    for known in known.iter().filter(|known| kept.contains(&known.id)) {
        named.extend(known.objects()?.into_keys());
    }
    // The attic and the directory first: objects without a transaction are found again, the reverse is not.
    for id in ids(sys, files)?.into_iter().filter(|id| !kept.contains(id)) {
        release(sys, files, id)?;
        remove_tree(sys, &files.store(id)?.attic)?;
        match id == ground {
            true => strip(sys, files, id)?,
            false => remove_tree(sys, &files.transaction(id)?)?,
        }
    }
    // What no transaction came of goes with those that are older than the oldest kept one.
    let oldest = kept.first().copied().unwrap_or(0);
    let detached = files.detached()?;
    for name in sys.list(&detached)? {
        let id = name.split('.').next().and_then(|stem| stem.parse::<u64>().ok());
        if id.is_some_and(|id| id < oldest) {
            remove_tree(sys, &below(&detached, &name)?)?;
        }
    }
    let objects = files.store(0)?.objects;
    for name in sys.list(&objects)? {
        if name.parse::<Digest>().is_ok_and(|digest| named.contains(&digest)) {
            continue;
        }
        remove_tree(sys, &below(&objects, &name)?)?;
    }
    Ok(())
}

/// Leaves what tells what a transaction brought, and nothing that it could be rolled back with.
fn strip(sys: &mut dyn Sys, files: &Files, id: u64) -> Result<(), JournalError> {
    let dir = files.transaction(id)?;
    for name in
        sys.list(&dir)?.iter().filter(|name| !["manifest.json", "receipt.json"].contains(&name.as_str()))
    {
        remove_tree(sys, &below(&dir, name)?)?;
    }
    Ok(())
}

/// The newest `keep`, so that a person can read what happened of late, and as many of the way back, however many attempts
/// have failed since. And the one that brought the bundle that the host has now, however often a backup
/// was restored over it: without it nobody would know what is installed here.
fn kept(known: &[TransactionRecord], way: &Way, keep: usize) -> BTreeSet<u64> {
    let stand = || known.iter().rev().filter(|known| known.state.stands());
    let back = known.iter().filter(|known| way.back.iter().take(keep).any(|id| *id == known.id));
    let manifest = |known: &TransactionRecord| known.state.begin.as_ref().map(|begin| begin.manifest);
    let now = stand().next().map(manifest);
    let brought = stand().take_while(|known| Some(manifest(known)) == now).last();
    let open = known.iter().filter(|known| known.state.is_open());
    let all = known.iter().rev().take(keep).chain(back).chain(brought).chain(open);
    all.map(|known| known.id).collect()
}
