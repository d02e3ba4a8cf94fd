//! Everything that changes the host, one variant each.

use std::path::Path;

use chom_format::{Digest, HostPath};

use super::command::Command;
use super::meta::Attrs;

/// One change. Each is whole when it returns, or has not happened; a crash in between leaves at most a
/// temporary name that carries the transaction's id.
#[derive(Debug)]
pub enum Effect<'a> {
    /// A file with this content takes the path's place by one rename.
    Write {
        /// Where.
        path: &'a HostPath,
        /// From where the bytes come.
        source: Source<'a>,
        /// Mode, owner, mtime, xattrs.
        attrs: &'a Attrs,
    },
    /// A directory is made.
    MakeDir {
        /// Where.
        path: &'a HostPath,
        /// Mode, owner, mtime, xattrs.
        attrs: &'a Attrs,
    },
    /// A symbolic link takes the path's place by one rename.
    MakeLink {
        /// Where.
        path: &'a HostPath,
        /// Its text.
        target: &'a str,
        /// Owner and mtime, when they matter.
        attrs: Option<&'a Attrs>,
    },
    /// Mode, owner, mtime and xattrs become these; content stays.
    SetAttrs {
        /// Where.
        path: &'a HostPath,
        /// To what.
        attrs: &'a Attrs,
    },
    /// A file, link or special file goes.
    Remove {
        /// Which.
        path: &'a HostPath,
    },
    /// An empty directory goes.
    RemoveDir {
        /// Which.
        path: &'a HostPath,
    },
    /// A path moves within one file system.
    Rename {
        /// From.
        from: &'a HostPath,
        /// To; nothing is there.
        to: &'a HostPath,
    },
    /// A program that changes something.
    Run(&'a Command),
    /// Bytes are added at the end of the journal and are on the disk when this returns.
    Append {
        /// The journal.
        journal: &'a HostPath,
        /// One frame.
        frame: &'a [u8],
    },
}

/// Where the bytes of a written file come from.
#[derive(Debug, Clone, Copy)]
pub enum Source<'a> {
    /// Memory.
    Bytes(&'a [u8]),
    /// A file outside the host's root, such as a bundle's; its digest is checked while it is copied.
    File {
        /// Which.
        file: &'a Path,
        /// Wanted.
        sha256: Digest,
    },
    /// A file on the host, such as an object of the store; its digest is checked while it is copied.
    Host {
        /// Which.
        path: &'a HostPath,
        /// Wanted.
        sha256: Digest,
    },
}
