//! The system calls that the checker understands: where each names something, whether it follows a link there, and what
//! it does. A call that takes a path and is not here is a breach in itself.

/// Where a call names something, by the number of an argument.
#[derive(Debug, Clone, Copy)]
pub(super) enum At {
    /// A path alone, from the root or the working directory.
    Path(usize),
    /// A descriptor, and behind it a path below that.
    Below(usize),
    /// What a descriptor holds.
    Held(usize),
}

/// Whether a link at the end of a path is followed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Follows {
    Always,
    Never,
    /// Unless this flag is given.
    Unless(&'static str),
    /// Only when this flag is given.
    With(&'static str),
}

/// What a call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Does {
    /// It looks, or prepares something.
    Looks,
    /// It opens, and may make or cut off what it opens.
    Opens,
    /// It changes attributes.
    Sets,
    /// A name comes or goes.
    Names,
    /// Two names change.
    Renames,
    /// It writes.
    Writes,
    /// What a descriptor holds is on the disk.
    Syncs,
    /// All is on the disk.
    SyncsAll,
    /// A program takes over.
    Runs,
    /// The thread sees mounts of its own from now on.
    Leaves,
}

use At::{Below, Held, Path};
use Does::{Leaves, Looks, Names, Opens, Renames, Runs, Sets, Syncs, SyncsAll, Writes};
use Follows::{Always, Never, Unless, With};

/// A known call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    pub(super) name: &'static str,
    pub(super) at: &'static [At],
    pub(super) follows: Follows,
    pub(super) does: Does,
}

const fn row(name: &'static str, at: &'static [At], follows: Follows, does: Does) -> Known {
    Known { name, at, follows, does }
}

const NO_LINK: Follows = Unless("AT_SYMLINK_NOFOLLOW");

const KNOWN: &[Known] = &[
    row("open", &[Path(0)], Unless("O_NOFOLLOW"), Opens),
    row("openat", &[Below(0)], Unless("O_NOFOLLOW"), Opens),
    row("openat2", &[Below(0)], Unless("O_NOFOLLOW"), Opens),
    row("creat", &[Path(0)], Always, Opens),
    row("stat", &[Path(0)], Always, Looks),
    row("lstat", &[Path(0)], Never, Looks),
    row("newfstatat", &[Below(0)], NO_LINK, Looks),
    row("statx", &[Below(0)], NO_LINK, Looks),
    row("statfs", &[Path(0)], Always, Looks),
    row("access", &[Path(0)], Always, Looks),
    row("faccessat", &[Below(0)], Always, Looks),
    row("faccessat2", &[Below(0)], NO_LINK, Looks),
    row("readlink", &[Path(0)], Never, Looks),
    row("readlinkat", &[Below(0)], Never, Looks),
    row("getxattr", &[Path(0)], Always, Looks),
    row("lgetxattr", &[Path(0)], Never, Looks),
    row("listxattr", &[Path(0)], Always, Looks),
    row("llistxattr", &[Path(0)], Never, Looks),
    row("name_to_handle_at", &[Below(0)], With("AT_SYMLINK_FOLLOW"), Looks),
    row("inotify_add_watch", &[Path(1)], Unless("IN_DONT_FOLLOW"), Looks),
    row("chdir", &[Path(0)], Always, Looks),
    row("chroot", &[Path(0)], Always, Looks),
    row("chmod", &[Path(0)], Always, Sets),
    row("fchmod", &[Held(0)], Never, Sets),
    row("fchmodat", &[Below(0)], Always, Sets),
    row("fchmodat2", &[Below(0)], NO_LINK, Sets),
    row("chown", &[Path(0)], Always, Sets),
    row("lchown", &[Path(0)], Never, Sets),
    row("fchown", &[Held(0)], Never, Sets),
    row("fchownat", &[Below(0)], NO_LINK, Sets),
    row("utime", &[Path(0)], Always, Sets),
    row("utimes", &[Path(0)], Always, Sets),
    row("futimesat", &[Below(0)], Always, Sets),
    row("utimensat", &[Below(0)], NO_LINK, Sets),
    row("setxattr", &[Path(0)], Always, Sets),
    row("lsetxattr", &[Path(0)], Never, Sets),
    row("fsetxattr", &[Held(0)], Never, Sets),
    row("removexattr", &[Path(0)], Always, Sets),
    row("lremovexattr", &[Path(0)], Never, Sets),
    row("fremovexattr", &[Held(0)], Never, Sets),
    row("mkdir", &[Path(0)], Never, Names),
    row("mkdirat", &[Below(0)], Never, Names),
    row("mknod", &[Path(0)], Never, Names),
    row("mknodat", &[Below(0)], Never, Names),
    row("rmdir", &[Path(0)], Never, Names),
    row("unlink", &[Path(0)], Never, Names),
    row("unlinkat", &[Below(0)], Never, Names),
    row("symlink", &[Path(1)], Never, Names),
    row("symlinkat", &[Below(1)], Never, Names),
    row("link", &[Path(0), Path(1)], Never, Names),
    row("linkat", &[Below(0), Below(2)], With("AT_SYMLINK_FOLLOW"), Names),
    row("rename", &[Path(0), Path(1)], Never, Renames),
    row("renameat", &[Below(0), Below(2)], Never, Renames),
    row("renameat2", &[Below(0), Below(2)], Never, Renames),
    row("write", &[Held(0)], Never, Writes),
    row("writev", &[Held(0)], Never, Writes),
    row("pwrite64", &[Held(0)], Never, Writes),
    row("pwritev", &[Held(0)], Never, Writes),
    row("pwritev2", &[Held(0)], Never, Writes),
    row("truncate", &[Path(0)], Always, Writes),
    row("ftruncate", &[Held(0)], Never, Writes),
    row("fallocate", &[Held(0)], Never, Writes),
    row("copy_file_range", &[Held(2)], Never, Writes),
    row("sendfile", &[Held(0)], Never, Writes),
    row("splice", &[Held(2)], Never, Writes),
    row("fsync", &[Held(0)], Never, Syncs),
    row("fdatasync", &[Held(0)], Never, Syncs),
    row("syncfs", &[], Never, SyncsAll),
    row("sync", &[], Never, SyncsAll),
    row("execve", &[], Never, Runs),
    row("unshare", &[], Never, Leaves),
    row("setns", &[], Never, Leaves),
    // Of a layer that one child alone sees.
    row("mount", &[Path(1)], Always, Looks),
    row("umount2", &[Path(0)], Unless("UMOUNT_NOFOLLOW"), Looks),
    // They give descriptors.
    row("fcntl", &[], Never, Looks),
    row("dup", &[], Never, Looks),
    row("dup3", &[], Never, Looks),
];

/// What is known of a call.
pub(super) fn known(name: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.name == name)
}

/// What `strace -e` is told: every call that takes a path, known here or not, and those by descriptor.
pub fn traced() -> String {
    let by_descriptor = KNOWN.iter().filter(|known| !known.at.iter().any(|at| !matches!(at, Held(_))));
    let names: Vec<&str> = by_descriptor.map(|known| known.name).collect();
    format!("trace=%file,open_by_handle_at,{}", names.join(","))
}
