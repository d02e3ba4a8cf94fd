//! The system calls by which paths are reached: those of `rustix`, and in tests the same with an adversary who acts in the
//! very moment before each of them.

#[cfg(not(test))]
pub(super) use rustix::fs::{
    chmod, chownat, lgetxattr, linkat, llistxattr, mkdirat, openat, readlinkat, renameat, renameat_with,
    statx, symlinkat, unlinkat, utimensat,
};

#[cfg(test)]
pub(crate) use self::watched::before_each;
#[cfg(test)]
pub(super) use self::watched::*;

#[cfg(test)]
mod watched {
    use std::cell::RefCell;
    use std::ffi::{CStr, OsStr};
    use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
    use std::os::unix::ffi::OsStrExt as _;
    use std::path::{Path, PathBuf};

    use rustix::fs::{self, AtFlags, Gid, Mode, OFlags, RenameFlags, Statx, StatxFlags, Timestamps, Uid};
    use rustix::io::Result;
    use rustix::path::Arg;

    type Adversary = Box<dyn FnMut(&Path)>;

    thread_local! {
        static ADVERSARY: RefCell<Option<Adversary>> = const { RefCell::new(None) };
    }

    /// Tells somebody of the path of each call of this thread, before it is made; nobody any more when there is none.
    pub(crate) fn before_each(adversary: Option<Adversary>) {
        ADVERSARY.with_borrow_mut(|known| *known = adversary);
    }

    fn tell(dir: BorrowedFd<'_>, name: &CStr) {
        // What the adversary does itself is not told again.
        let Some(mut adversary) = ADVERSARY.take() else { return };
        let held = format!("/proc/thread-self/fd/{}", dir.as_raw_fd());
        let dir = std::fs::read_link(held).unwrap_or_else(|_| PathBuf::from("/"));
        let name = OsStr::from_bytes(name.to_bytes());
        adversary(&if name.is_empty() || name == "." { dir } else { dir.join(name) });
        ADVERSARY.set(Some(adversary));
    }

    /// A call with one directory and one name in it.
    macro_rules! watched {
        ($($name:ident($($argument:ident: $type:ty),*) -> $result:ty;)*) => {$(
            pub(crate) fn $name<D: AsFd, P: Arg>(dir: D, path: P, $($argument: $type),*) -> Result<$result> {
                path.into_with_c_str(|path| {
                    tell(dir.as_fd(), path);
                    fs::$name(&dir, path, $($argument),*)
                })
            }
        )*};
    }

    watched! {
        openat(flags: OFlags, mode: Mode) -> OwnedFd;
        statx(flags: AtFlags, mask: StatxFlags) -> Statx;
        mkdirat(mode: Mode) -> ();
        unlinkat(flags: AtFlags) -> ();
        chownat(user: Option<Uid>, group: Option<Gid>, flags: AtFlags) -> ();
        utimensat(times: &Timestamps, flags: AtFlags) -> ();
        readlinkat(reuse: Vec<u8>) -> std::ffi::CString;
    }

    pub(crate) fn symlinkat<P: Arg, D: AsFd, Q: Arg>(target: P, dir: D, path: Q) -> Result<()> {
        path.into_with_c_str(|path| {
            tell(dir.as_fd(), path);
            target.into_with_c_str(|target| fs::symlinkat(target, &dir, path))
        })
    }

    /// A call with two names.
    macro_rules! watched_two {
        ($($name:ident($($argument:ident: $type:ty),*);)*) => {$(
            pub(crate) fn $name<D: AsFd, P: Arg, E: AsFd, Q: Arg>(
                from: D, old: P, to: E, new: Q, $($argument: $type),*
            ) -> Result<()> {
                old.into_with_c_str(|old| new.into_with_c_str(|new| {
                    tell(from.as_fd(), old);
                    tell(to.as_fd(), new);
                    fs::$name(&from, old, &to, new, $($argument),*)
                }))
            }
        )*};
    }

    watched_two! {
        renameat();
        renameat_with(flags: RenameFlags);
        linkat(flags: AtFlags);
    }

    /// The name of a descriptor, or one below it.
    fn tell_path(path: &CStr) {
        tell(fs::CWD, path);
    }

    pub(crate) fn chmod<P: Arg>(path: P, mode: Mode) -> Result<()> {
        path.into_with_c_str(|path| {
            tell_path(path);
            fs::chmod(path, mode)
        })
    }

    pub(crate) fn llistxattr<P: Arg>(path: P, list: &mut [u8]) -> Result<usize> {
        path.into_with_c_str(|path| {
            tell_path(path);
            fs::llistxattr(path, &mut *list)
        })
    }

    pub(crate) fn lgetxattr<P: Arg, N: Arg>(path: P, name: N, value: &mut [u8]) -> Result<usize> {
        path.into_with_c_str(|path| {
            tell_path(path);
            name.into_with_c_str(|name| fs::lgetxattr(path, name, &mut *value))
        })
    }
}
