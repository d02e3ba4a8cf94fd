//! The immutable and append-only attributes (`chattr +i`, `+a`), which not even root can write through.

use std::path::Path;

use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};

/// Whether the file itself is so marked. Links are not followed; what cannot be asked is not marked.
pub(super) fn is_immutable(path: &Path) -> bool {
    let marks = StatxAttributes::IMMUTABLE | StatxAttributes::APPEND;
    statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS)
        .is_ok_and(|found| found.stx_attributes.intersects(marks))
}
