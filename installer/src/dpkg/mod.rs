//! What dpkg knows, read from its own files: no child process is needed to see that nothing is to be done.
//!
//! This module only reads. Whatever is changed is changed by apt and dpkg themselves.

mod left;
mod lock;
mod stanza;
mod status;
pub mod version;

pub use left::{CONFIG, end, left_behind};
pub use lock::{Holder, holder};
pub use stanza::{Stanza, stanzas};
pub use status::{Package, Status};

use chom_format::PackageName;

use crate::sys::{Sys, SysError, named, text_of};

const INFO: &str = "/var/lib/dpkg/info";

/// The lists of files of a package as it is installed now, one for each architecture.
pub fn file_lists(sys: &dyn Sys, package: &PackageName) -> Result<Vec<String>, SysError> {
    let mut lists = Vec::new();
    for name in [format!("{package}.list"), format!("{package}:amd64.list"), format!("{package}:arm64.list")]
    {
        lists.extend(text_of(sys, &named(&format!("{INFO}/{name}"))?)?);
    }
    Ok(lists)
}

/// Whether two paths are one on a system whose `/lib` is `/usr/lib`.
pub fn same_place(left: &str, right: &str) -> bool {
    let merged = |path: &str| path.strip_prefix("/usr").unwrap_or(path).to_owned();
    merged(left) == merged(right)
}
