//! Everything that changes the host, one variant each.

use std::path::Path;

use chom_format::{Digest, HostPath};

use super::command::Command;
use super::meta::Attrs;
use super::{Sys, SysError};

/// One change. Each is whole when it returns, or has not happened; a crash in between leaves at most a
/// temporary name that begins with [`super::TEMPORARY`].
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
    /// Mode, owner, mtime and xattrs become these; content stays. A file that others may hold open or exchange is replaced
    /// by a new one.
    SetAttrs {
        /// Where.
        path: &'a HostPath,
        /// To what.
        attrs: &'a Attrs,
        /// Of what: nothing else gets them, whoever may have put it there.
        of: Of,
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
    /// A path goes with all below it, of whatever depth and under whatever names. Cut off, it can be begun again.
    RemoveTree {
        /// Which; nothing need be there.
        path: &'a HostPath,
        /// A directory that others can write to is not entered: it stays unless it is empty.
        only_roots: bool,
    },
    /// A path moves within one file system.
    Rename {
        /// From.
        from: &'a HostPath,
        /// To; nothing is there.
        to: &'a HostPath,
    },
    /// A second name for a file.
    HardLink {
        /// The name that is there.
        original: &'a HostPath,
        /// The new one, which takes the path's place.
        path: &'a HostPath,
    },
    /// A program that changes something.
    Run(&'a Command),
    /// Many small effects in this order, made durable together: a crash leaves any part of them done.
    /// For restores and releases, where a sync for each of a thousand files would take a minute.
    Batch(&'a [Effect<'a>]),
    /// Everything that was written so far, by whatever program, is on the disk.
    Sync,
    /// Bytes are written at the end of the journal and are on the disk when this returns. What lies beyond
    /// them, the torn frame of a run that was cut off, becomes zeros: the file never gives space back.
    Append {
        /// The journal.
        journal: &'a HostPath,
        /// Length of what is whole in it.
        at: u64,
        /// One frame.
        frame: &'a [u8],
    },
    /// A file owns this many bytes of the disk from now on, written or not, so that no later write to it
    /// can meet a full disk. Made when it is not there; its content stays.
    Reserve {
        /// Which.
        path: &'a HostPath,
        /// From its start.
        bytes: u64,
    },
}

/// What gets attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// A directory.
    Dir,
    /// A file with this content.
    File(Digest),
    /// Whatever it is, where nobody but root could have put it.
    Any,
}

impl Effect<'_> {
    /// The effect in a few words, for traces and for the place of a deliberate fault.
    pub fn describe(&self) -> String {
        match self {
            Self::Write { path, .. } => format!("write {path}"),
            Self::MakeDir { path, .. } => format!("make directory {path}"),
            Self::MakeLink { path, .. } => format!("make link {path}"),
            Self::SetAttrs { path, .. } => format!("set attributes of {path}"),
            Self::Remove { path } => format!("remove {path}"),
            Self::RemoveDir { path } => format!("remove directory {path}"),
            Self::RemoveTree { path, .. } => format!("remove {path} and all below it"),
            Self::Rename { from, to } => format!("rename {from} to {to}"),
            Self::HardLink { path, .. } => format!("make hard link {path}"),
            Self::Run(command) => format!("run {}", command.argv.join(" ")),
            Self::Batch(effects) => format!("{} effects at once", effects.len()),
            Self::Sync => "sync all file systems".to_owned(),
            Self::Append { journal, .. } => format!("append to {journal}"),
            Self::Reserve { path, bytes } => format!("reserve {bytes} bytes for {path}"),
        }
    }
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
    /// A stretch of a file on the host, such as one member of a packed object.
    Part {
        /// Which.
        path: &'a HostPath,
        /// First byte.
        offset: u64,
        /// How many.
        size: u64,
        /// Wanted.
        sha256: Digest,
    },
    /// Several files on the host, one after the other.
    Joined {
        /// Which.
        paths: &'a [HostPath],
        /// Wanted, of all of them together.
        sha256: Digest,
    },
    /// Whatever this writes, for what has no digest before it is made.
    Made(&'a dyn Make),
}

/// Makes the bytes of a file while it is written.
pub trait Make: std::fmt::Debug {
    /// Writes all of it; called again when the effect is tried again.
    fn make(&self, sys: &dyn Sys, out: &mut dyn std::io::Write) -> Result<(), SysError>;
}
