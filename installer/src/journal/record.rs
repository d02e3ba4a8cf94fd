//! What a journal says. Every record is durable before the effect that it announces.

use chom_format::{Digest, HostPath, StepId};
use serde::{Deserialize, Serialize};

use super::expected::Expected;
use super::exposure::Exposure;
use crate::resource::{Fingerprint, Resource, Restored, Saved, Sought};

/// One record. New variants and fields may be added; none may change its meaning, for old journals are read for ever.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum Record {
    /// A transaction begins.
    Begin(Begin),
    /// A resource is saved: its original is durable in the store.
    Saved {
        /// Which.
        resource: Resource,
        /// How it was.
        saved: Saved,
    },
    /// A step is about to have effects.
    Intent {
        /// Which.
        step: StepId,
        /// What it may change: until it is done, whatever is found there is its work.
        touches: Vec<Resource>,
        /// What it will make of paths, where that can be said: anything else that is found there is somebody else's.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        expects: Vec<(HostPath, Expected)>,
        /// How temporary names begin from now on, see `Sys::announce`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        token: Option<String>,
    },
    /// A step has had its effects.
    Done {
        /// Which.
        step: StepId,
        /// What each touched resource needs remembered, see `ResourceHandler::after`.
        after: Vec<(Resource, serde_json::Value)>,
    },
    /// Something failed; the run turns back.
    Failed {
        /// The step, when it was one.
        step: Option<StepId>,
        /// The first error.
        cause: String,
    },
    /// What had changed by the end of all steps although nobody declared it: it will not be put back.
    Sought {
        /// That, and what was not looked into.
        sought: Sought,
    },
    /// All checks passed.
    Healthy,
    /// The firewall is changed and all checks passed: somebody must confirm, or it is taken back.
    Exposed {
        /// Until when, and by which word.
        exposure: Exposure,
    },
    /// Somebody confirmed in time: the transaction stands. This append, under the lock, is the decision.
    Confirmed {
        /// Wall clock, RFC 3339.
        at: String,
        /// Who, and from where.
        by: String,
    },
    /// The transaction stands.
    Committed {
        /// Wall clock, RFC 3339.
        at: String,
    },
    /// The host is being put back, after a failure or because a person asked.
    RollingBack {
        /// Why.
        cause: String,
    },
    /// One resource is back.
    Restored {
        /// Which.
        resource: Resource,
        /// How it went.
        restored: Restored,
    },
    /// All is back, proved by reading everything again.
    RolledBack {
        /// Every touched resource with its fingerprint now, equal to the saved one.
        proof: Vec<(Resource, Fingerprint)>,
        /// What others changed meanwhile, and where their version is kept.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        exceptions: Vec<String>,
        /// Wall clock, RFC 3339.
        at: String,
    },
    /// Not all could be put back.
    Stuck {
        /// What needs a person.
        conflicts: Vec<String>,
    },
}

/// The first record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begin {
    /// Format of the journal.
    pub format: u32,
    /// Number of the transaction.
    pub id: u64,
    /// Name of the bundle.
    pub bundle: String,
    /// Of the bundle's manifest.
    pub manifest: Digest,
    /// Wall clock, RFC 3339, for people.
    pub at: String,
    /// Boot id, to tell a reboot from a pause.
    pub boot_id: String,
    /// Who called it, and from where.
    pub by: String,
    /// The backup that was made for it, just before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<u64>,
    /// How temporary names begin until the first step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The transaction that was committed then, 0 when none was. None in journals from before this was noted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upon: Option<u64>,
    /// Nothing was known of what the host had, and what was as wanted was taken over as it was.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub adopts: bool,
}
