//! The window of an exposure: until when somebody must have confirmed it.
//!
//! It is measured on the boot clock, which no correction of the time of day moves, and it belongs to one boot:
//! after a reboot there is no window any more, for whoever was to confirm may be locked out by what came up.

use chom_format::Digest;
use serde::{Deserialize, Serialize};

/// The firewall is changed, and the transaction waits for somebody to say so over a fresh connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exposure {
    /// The boot that the two times belong to.
    pub boot_id: String,
    /// When the window opened, in milliseconds of the boot clock.
    pub at_ms: u64,
    /// When it closes, the same.
    pub deadline_ms: u64,
    /// The same by the wall clock, RFC 3339, for people: nothing is decided by it.
    pub until: String,
    /// Of the word that a confirmation must bring, so that one that is meant for another run confirms nothing.
    pub nonce: Digest,
    /// `SSH_CONNECTION` of the run: this one has seen nothing of the new rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<String>,
}

/// A moment of one boot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BootTime {
    /// Which boot.
    pub boot_id: String,
    /// Milliseconds since then, sleep included.
    pub ms: u64,
}

impl Exposure {
    /// Milliseconds until the window closes; none when it is closed.
    pub fn left_ms(&self, now: &BootTime) -> Option<u64> {
        if self.boot_id != now.boot_id {
            return None;
        }
        self.deadline_ms.checked_sub(now.ms).filter(|left| *left > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_closes_with_its_time_and_with_its_boot() {
        let exposure = Exposure {
            boot_id: "one".into(),
            at_ms: 5_000,
            deadline_ms: 125_000,
            until: String::new(),
            nonce: Digest::of(b"word"),
            connection: None,
        };
        let left = |boot: &str, ms| exposure.left_ms(&BootTime { boot_id: boot.into(), ms });
        assert_eq!(left("one", 5_000), Some(120_000));
        assert_eq!(left("one", 124_999), Some(1));
        assert_eq!((left("one", 125_000), left("one", 999_999)), (None, None));
        assert_eq!(left("two", 5_000), None);
    }
}
