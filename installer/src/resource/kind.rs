//! What each kind of resource states about itself. The engine asks, and knows no kind.
//!
//! Owns no state and touches nothing, but for the files that [`ResourceKind::files`] lists. Whatever a kind must decide is
//! a method or a field without a default: a new kind that forgets one does not compile.

use chom_format::HostPath;

use crate::sys::{Sys, SysError};

/// What the smallest file or directory takes of a disk.
pub(super) const BLOCK: u64 = 4 << 10;

/// When a kind comes back, in the order of a usual way back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pass {
    /// First: what lies on the disk, and what is made from it.
    Paths,
    /// Then units, which start with the files of before.
    Units,
    /// Listings last, so that only those are left that nothing else has put back.
    Listings,
}

/// What is true of every resource of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Policy {
    /// When it comes back.
    pub(crate) pass: Pass,
    /// It is made at its path: what lists that path and what misses above it is saved before.
    pub(crate) made_at_path: bool,
    /// Any step may change it, not only one that names it: it is saved before the first one.
    pub(crate) any_step_changes: bool,
    /// Services write into it, or read it: they stop before it is put back.
    pub(crate) services_stop: bool,
    /// Programs that a run has left behind may go on to change it: they are waited for.
    pub(crate) outlived_by_children: bool,
    /// The service manager reads from it: it must read again once it is back.
    pub(crate) manager_reloads: bool,
    /// What others made in it stays in its place, and is named.
    pub(crate) keeps_what_others_made: bool,
    /// To be compared it must be known which paths were saved before it.
    pub(crate) asks_for_earlier: bool,
}

/// What a resource states, as far as its kind decides.
pub(crate) trait ResourceKind {
    /// What it is called in messages.
    fn words(&self) -> String;

    /// What is true of its kind.
    fn policy(&self) -> Policy;

    /// The directory in whose file system it takes room when it is put back.
    fn room_at(&self) -> Result<HostPath, SysError>;

    /// What putting it back may take of the disk. `objects` are the sizes of what it has saved, in its order.
    fn room(&self, objects: &[u64]) -> u64;

    /// Whether a step that touches it may have changed this path, so that it need not be as the plan saw it.
    fn may_change(&self, path: &HostPath) -> bool;

    /// Paths that are put back with it, one by one.
    fn own_paths(&self) -> Vec<HostPath>;

    /// Files that are read once after the commit, so that the next run need not.
    fn files(&self, sys: &dyn Sys) -> Result<Vec<HostPath>, SysError>;

    /// How it is said that others changed it, and where their version is kept.
    fn changed_by_others(&self, kept: &[HostPath]) -> String {
        let words = self.words();
        match kept {
            [] => left_as_it_is(&words),
            kept => format!("{words} was changed by others: their version is {}", joined(kept)),
        }
    }
}

/// How it is said that others changed something, and nothing of it was put aside.
pub(super) fn left_as_it_is(words: &str) -> String {
    format!("{words} was changed by others, and was left as it is")
}

/// The room of a kind that needs none when it has saved nothing.
pub(super) fn room_of_saved(objects: &[u64]) -> u64 {
    if objects.is_empty() { 0 } else { whole_blocks(objects) }
}

/// One block, and all objects in whole blocks.
pub(super) fn whole_blocks(objects: &[u64]) -> u64 {
    objects.iter().map(|size| size.div_ceil(BLOCK) * BLOCK).sum::<u64>() + BLOCK
}

/// Paths as a sentence names them.
pub(super) fn joined(paths: &[HostPath]) -> String {
    let places: Vec<&str> = paths.iter().map(HostPath::as_str).collect();
    places.join(", ")
}

#[cfg(test)]
mod tests {
    use super::{BLOCK, room_of_saved, whole_blocks};

    #[test]
    fn room_is_counted_in_whole_blocks() {
        assert_eq!([whole_blocks(&[]), room_of_saved(&[])], [BLOCK, 0]);
        assert_eq!(whole_blocks(&[0]), BLOCK);
        assert_eq!(whole_blocks(&[1, BLOCK, BLOCK + 1]), 5 * BLOCK);
        assert_eq!(room_of_saved(&[1]), 2 * BLOCK);
    }
}
