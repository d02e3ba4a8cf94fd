//! Where backups lie, how many are kept, and for whom they are encrypted.

use serde::{Deserialize, Serialize};

use super::recipient::Recipient;
use crate::path::HostPath;

/// Where backups lie unless the inventory says otherwise.
pub const DIRECTORY: &str = "/var/lib/chom/backups";

const KEEP: u32 = 7;

/// How backups are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupPolicy {
    /// Where they lie: root's alone. Its parent must be there.
    pub dir: HostPath,
    /// So many of the newest are kept, at least one.
    pub keep: u32,
    /// What is older goes, in seconds; the newest never does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age_s: Option<u64>,
    /// Who can read them; anybody who can read the files when there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recipients: Vec<Recipient>,
    /// One is made before every installation that changes something.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub before_install: bool,
}

impl Default for BackupPolicy {
    fn default() -> Self {
        let dir = DIRECTORY.parse().unwrap_or_else(|_| HostPath::root());
        Self { dir, keep: KEEP, max_age_s: None, recipients: Vec::new(), before_install: false }
    }
}
