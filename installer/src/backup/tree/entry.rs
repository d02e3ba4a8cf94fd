//! One path of a tree.

use chom_format::HostPath;

use crate::sys::Attrs;

/// One path with everything that comes back, but for a file's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where.
    pub path: HostPath,
    /// What.
    pub is: Is,
    /// Mode, owner, time, extended attributes.
    pub attrs: Attrs,
    /// The owner's name, empty when it had none.
    pub user: String,
    /// The group's name, empty when it had none.
    pub group: String,
}

/// What a path is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Is {
    /// A directory.
    Dir,
    /// A regular file of so many bytes.
    File(u64),
    /// A symbolic link with this text.
    Link(String),
}

impl Entry {
    /// The bytes that follow its header.
    pub fn size(&self) -> u64 {
        match self.is {
            Is::File(size) => size,
            Is::Dir | Is::Link(_) => 0,
        }
    }
}
