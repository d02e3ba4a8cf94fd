//! Who holds dpkg's lock, from the kernel's table of locks.

use crate::sys::{Sys, SysError, named, text_at};

/// Locks that apt and dpkg take, in their order.
const LOCKS: [&str; 2] = ["/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock"];

/// A process that holds a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Process.
    pub pid: u32,
    /// Its program.
    pub program: String,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (pid {})", self.program, self.pid)
    }
}

/// Who works with dpkg now; none when nobody does.
pub fn holder(sys: &dyn Sys) -> Result<Option<Holder>, SysError> {
    let table = text_at(sys, "/proc/locks")?;
    for lock in LOCKS {
        let Some(meta) = sys.meta(&named(lock)?)? else { continue };
        let Some(pid) = find(&table, meta.dev, meta.ino) else { continue };
        let program = text_at(sys, &format!("/proc/{pid}/comm"))?.trim().to_owned();
        return Ok(Some(Holder { pid, program }));
    }
    Ok(None)
}

// A line: `12: POSIX  ADVISORY  WRITE 4321 fe:01:131 0 EOF`; a waiting one has `->` after its number.
fn find(table: &str, dev: u64, ino: u64) -> Option<u32> {
    let device = format!("{:02x}:{:02x}:{ino}", nix::sys::stat::major(dev), nix::sys::stat::minor(dev));
    table.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().filter(|field| *field != "->").collect();
        let (pid, place) = (fields.get(4)?, fields.get(5)?);
        (**place == device).then(|| pid.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_names_the_holder() {
        let dev = nix::sys::stat::makedev(0xfe, 1);
        let table =
            "1: FLOCK  ADVISORY  WRITE 9 fe:01:7 0 EOF\n2: POSIX  ADVISORY  WRITE 4321 fe:01:131 0 EOF\n";
        assert_eq!(find(table, dev, 131), Some(4321));
        assert_eq!(find(table, dev, 132), None);
    }
}
