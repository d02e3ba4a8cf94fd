//! dpkg's locks: held while packages are put back, and lent to the dpkg that does it.
//!
//! There are two. Whoever works with packages takes the first, the front end's, and dpkg itself takes the second as
//! well. To run dpkg, the second is given up and the first is kept, as apt does it: dpkg is told so, and everybody else
//! goes on waiting for the first.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use crate::dpkg;
use crate::sys::{Access, Command, Effect, Kind, Output, Sys, SysError, named, open_own};

const FRONTEND: &str = "/var/lib/dpkg/lock-frontend";
const DATABASE: &str = "/var/lib/dpkg/lock";
/// Tells dpkg that whoever started it holds the first lock.
const LENT: &str = "DPKG_FRONTEND_LOCKED";
/// The longest that an apt that was left behind is waited for.
pub(super) const LONGEST_RUN: Duration = Duration::from_secs(900);
/// The longest that a package run of others is waited for before ours begins.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(200);

/// Both locks. Given up when dropped.
#[derive(Debug)]
pub(super) struct Lock {
    _frontend: Option<File>,
    database: Option<File>,
}

impl Lock {
    /// Waits for whoever holds them. On a directory there is nobody to wait for.
    pub(super) fn take(sys: &dyn Sys, patience: Duration) -> Result<Self, SysError> {
        let deadline = Instant::now() + patience;
        let frontend = held(sys, FRONTEND, deadline)?;
        Ok(Self { _frontend: frontend, database: held(sys, DATABASE, deadline)? })
    }

    /// Runs a dpkg that changes packages. Nobody else can before it, during it or after it.
    pub(super) fn run(&mut self, sys: &mut dyn Sys, command: Command) -> Result<Output, SysError> {
        let command = command.env(LENT, "1").timeout(LONGEST_RUN);
        self.database = None;
        let ran = sys.effect(&Effect::Run(&command));
        self.database = held(sys, DATABASE, Instant::now() + LONGEST_RUN)?;
        ran
    }
}

fn held(sys: &dyn Sys, text: &str, deadline: Instant) -> Result<Option<File>, SysError> {
    let path = named(text)?;
    if sys.root() != Path::new("/") || sys.meta(&path)?.is_none_or(|meta| meta.kind != Kind::File) {
        return Ok(None);
    }
    let Some(file) = open_own(sys.root(), &path, Access::LockTheirs)? else { return Ok(None) };
    while !lock(&file) {
        if Instant::now() >= deadline {
            let holder = dpkg::holder(sys)?;
            let who = holder.map_or_else(String::new, |holder| {
                format!(" by {} (process {})", holder.program, holder.pid)
            });
            return Err(SysError::other("lock", text, format!("it is held{who}")));
        }
        std::thread::sleep(POLL);
    }
    Ok(Some(file))
}

// Bound to the open file and not to the process, so that reading dpkg's directory does not give it up.
fn lock(file: &File) -> bool {
    #[allow(clippy::cast_possible_truncation, reason = "small constants, of another width on each C library")]
    let wanted = libc::flock {
        l_type: libc::F_WRLCK as _,
        l_whence: libc::SEEK_SET as _,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    fcntl(file, FcntlArg::F_OFD_SETLK(&wanted)).is_ok()
}
