//! What dpkg knows, read from its own files: no child process is needed to see that nothing is to be done.
//!
//! This module only reads. Whatever is changed is changed by apt and dpkg themselves.

mod brought;
mod left;
mod lock;
mod needs;
mod stanza;
mod status;
pub mod version;

pub use brought::is_as_brought;
pub use left::{CONFIG, end, left_behind};
pub use lock::{Holder, holder};
pub use needs::needed;
pub use stanza::{Stanza, stanzas};
pub use status::{Package, Status};

use chom_format::PackageName;

use crate::sys::{Sys, SysError, named, text_of};

const INFO: &str = "/var/lib/dpkg/info";
const UPDATES: &str = "/var/lib/dpkg/updates";
const MOST_NAMED: usize = 5;

/// The lists of files of a package as it is installed now, one for each architecture.
pub fn file_lists(sys: &dyn Sys, package: &PackageName) -> Result<Vec<String>, SysError> {
    let mut lists = Vec::new();
    for name in [format!("{package}.list"), format!("{package}:amd64.list"), format!("{package}:arm64.list")]
    {
        lists.extend(text_of(sys, &named(&format!("{INFO}/{name}"))?)?);
    }
    Ok(lists)
}

/// What dpkg has not brought to its end, in words; nothing when it is at rest.
pub fn unfinished(sys: &dyn Sys) -> Result<Vec<String>, SysError> {
    let status = Status::read(sys)?;
    let state = |package: &Package| match package.state.as_str() {
        "" => format!("{} is in an unknown state", package.name),
        state => format!("{} is {state}", package.name),
    };
    let mut named: Vec<String> = status.broken().into_iter().map(state).collect();
    let more = named.len().saturating_sub(MOST_NAMED);
    named.truncate(MOST_NAMED);
    if more > 0 {
        named.push(format!("and {more} more"));
    }
    // Where dpkg notes what it does until the status file is written anew.
    let updates = sys.list(&crate::sys::named(UPDATES)?)?;
    if updates.iter().any(|name| name.bytes().all(|byte| byte.is_ascii_digit())) {
        named.push("a run of dpkg was interrupted".to_owned());
    }
    Ok(named)
}

/// Whether two paths are one on a system whose `/lib` is `/usr/lib`.
pub fn same_place(left: &str, right: &str) -> bool {
    let merged = |path: &str| path.strip_prefix("/usr").unwrap_or(path).to_owned();
    merged(left) == merged(right)
}
