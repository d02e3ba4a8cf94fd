//! The boot clock and the boot that it belongs to. Nothing that waits is measured on the time of day, which
//! somebody may set.

use crate::journal::{BootTime, Standing};
use crate::sys::{Sys, SysError, text_at};
use crate::transaction::TransactionRecord;

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
const UPTIME: &str = "/proc/uptime";

/// Now. An error where the kernel does not tell: a window must not stay open for that.
pub fn boot_time(sys: &dyn Sys) -> Result<BootTime, SysError> {
    let uptime = text_at(sys, UPTIME)?;
    let ms = milliseconds(&uptime)
        .ok_or_else(|| SysError::other("understand", UPTIME, format!("`{}` is no time", uptime.trim())))?;
    let boot_id = text_at(sys, BOOT_ID)?.trim().to_owned();
    if boot_id.is_empty() {
        return Err(SysError::other("read", BOOT_ID, "the kernel does not tell which boot this is"));
    }
    Ok(BootTime { boot_id, ms })
}

/// Now, for telling whether windows of these transactions are still open. Not asked where none has one; where one has, not
/// to know is an error: it would be rolled back under whoever is about to confirm it.
pub fn time_for(sys: &dyn Sys, known: &[TransactionRecord]) -> Result<BootTime, SysError> {
    let exposed = |known: &TransactionRecord| matches!(known.state.standing, Standing::Exposed { .. });
    if known.iter().any(exposed) { boot_time(sys) } else { Ok(BootTime::default()) }
}

/// Names this boot, for people; empty where the kernel does not tell.
pub(super) fn boot_id(sys: &dyn Sys) -> String {
    text_at(sys, BOOT_ID).map(|id| id.trim().to_owned()).unwrap_or_default()
}

// `12345.67 23456.78`: seconds since the boot, and what the processors idled.
fn milliseconds(uptime: &str) -> Option<u64> {
    let (whole, part) = uptime.split_whitespace().next()?.split_once('.')?;
    let hundredths: u64 = part.get(..2)?.parse().ok()?;
    Some(whole.parse::<u64>().ok()? * 1000 + hundredths * 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::RealSys;

    #[test]
    fn the_time_since_the_boot_is_read() {
        assert_eq!(milliseconds("61.23 100.00\n"), Some(61_230));
        assert_eq!(milliseconds("0.05 0.00\n"), Some(50));
        assert_eq!((milliseconds(""), milliseconds("soon")), (None, None));
        let sys = RealSys::new(std::path::Path::new("/"));
        let (one, two) = (boot_time(&sys).unwrap(), boot_time(&sys).unwrap());
        assert!(one.ms > 0 && one.ms <= two.ms && one.boot_id == two.boot_id);
    }
}
