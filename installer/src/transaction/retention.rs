//! Which transactions are kept: the newest ones, the newest ones that stand, whatever is open, and the objects and attics
//! of those.

use std::collections::BTreeSet;

use chom_format::Digest;

use super::list::ids;
use super::reserve::release;
use super::{Files, Known, list};
use crate::journal::JournalError;
use crate::resource::{below, remove_tree};
use crate::sys::Sys;

/// Removes transactions with their attics, and the objects that no transaction names any longer. What is open is never
/// removed, and neither is anything when a journal cannot be read.
pub fn prune(sys: &mut dyn Sys, files: &Files, keep: usize) -> Result<(), JournalError> {
    let known = list(sys, files)?;
    let kept = kept(&known, keep);
    let mut named = BTreeSet::new();
    for known in known.iter().filter(|known| kept.contains(&known.id)) {
        named.extend(known.objects()?.into_keys());
    }
    // The attic and the directory first: objects without a transaction are found again, the reverse is not.
    for id in ids(sys, files)?.into_iter().filter(|id| !kept.contains(id)) {
        release(sys, files, id)?;
        remove_tree(sys, &files.store(id)?.attic)?;
        remove_tree(sys, &files.transaction(id)?)?;
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

/// The newest `keep`, so that a person can read what happened of late, and as many that stand, however many attempts have
/// failed since: they are the way back. And the one that brought the bundle that the host has now, however often a backup
/// was restored over it: without it nobody would know what is installed here.
fn kept(known: &[Known], keep: usize) -> BTreeSet<u64> {
    let stand = || known.iter().rev().filter(|known| known.state.stands());
    let manifest = |known: &Known| known.state.begin.as_ref().map(|begin| begin.manifest);
    let now = stand().next().map(manifest);
    let brought = stand().take_while(|known| Some(manifest(known)) == now).last();
    let open = known.iter().filter(|known| known.state.is_open());
    let all = known.iter().rev().take(keep).chain(stand().take(keep)).chain(brought).chain(open);
    all.map(|known| known.id).collect()
}
