//! What a file system had not got when an effect failed: said with the place, what was wanted and what was left,
//! because "no space left on device" names no device.

use std::fmt;
use std::io;

/// A file system that could not take what was written to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lack {
    /// Where it is mounted.
    pub place: String,
    /// Bytes that the effect wanted, at least.
    pub wanted: u64,
    /// Bytes that are free after it has failed, and has cleared up.
    pub free_bytes: u64,
    /// Inodes that are free then; `u64::MAX` where they are not counted.
    pub free_inodes: u64,
    /// What was not there.
    pub of: Lacking,
}

/// What a file system can be short of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lacking {
    /// Space.
    Space,
    /// Inodes.
    Inodes,
    /// Space within a quota, which the free space does not show.
    Quota,
    /// The right to be written at all.
    Writing,
}

impl Lack {
    /// What kind of lack an error tells of; none when it is something else.
    pub(super) fn told_by(error: &io::Error) -> Option<Lacking> {
        match error.kind() {
            io::ErrorKind::StorageFull => Some(Lacking::Space),
            io::ErrorKind::QuotaExceeded => Some(Lacking::Quota),
            io::ErrorKind::ReadOnlyFilesystem => Some(Lacking::Writing),
            _ => None,
        }
    }

    /// The act that mends it.
    pub fn remedy(&self) -> String {
        let place = &self.place;
        match self.of {
            Lacking::Space => format!("make room on {place}: du -xh {place} | sort -h | tail"),
            Lacking::Inodes => format!(
                "remove files on {place}, there are too many: du -x --inodes {place} | sort -n | tail"
            ),
            Lacking::Quota => {
                format!("raise the quota of {place}, or make room there: du -xh {place} | sort -h | tail")
            }
            Lacking::Writing => {
                format!("mount -o remount,rw {place}; when the system did it by itself, look into: dmesg")
            }
        }
    }
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kib = |bytes: u64| bytes.div_ceil(1 << 10);
        let Self { place, wanted, free_bytes, .. } = self;
        match self.of {
            Lacking::Writing => write!(f, "{place} is read-only"),
            Lacking::Quota => write!(f, "{place} is under a quota, and {} KiB are wanted", kib(*wanted)),
            Lacking::Space | Lacking::Inodes => {
                write!(f, "on {place} {} KiB are wanted, {} KiB", kib(*wanted), free_bytes >> 10)?;
                if self.free_inodes != u64::MAX {
                    write!(f, " and {} inodes", self.free_inodes)?;
                }
                f.write_str(" are free")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn place_need_and_remedy_are_told() {
        let lack =
            |of, free_inodes| Lack { place: "/srv".into(), wanted: 5000, free_bytes: 4096, free_inodes, of };
        let space = lack(Lacking::Space, 7);
        assert_eq!(space.to_string(), "on /srv 5 KiB are wanted, 4 KiB and 7 inodes are free");
        assert!(space.remedy().starts_with("make room on /srv: "));
        assert_eq!(lack(Lacking::Space, u64::MAX).to_string(), "on /srv 5 KiB are wanted, 4 KiB are free");
        assert_eq!(lack(Lacking::Quota, 7).to_string(), "/srv is under a quota, and 5 KiB are wanted");
        assert_eq!(lack(Lacking::Writing, 7).to_string(), "/srv is read-only");
        assert_eq!(Lack::told_by(&io::Error::from_raw_os_error(28)), Some(Lacking::Space));
        assert_eq!(Lack::told_by(&io::Error::from_raw_os_error(122)), Some(Lacking::Quota));
        assert_eq!(Lack::told_by(&io::Error::from_raw_os_error(30)), Some(Lacking::Writing));
        assert_eq!(Lack::told_by(&io::Error::other("no")), None);
    }
}
