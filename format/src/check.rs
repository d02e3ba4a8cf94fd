//! Checks: probes with a deadline. A check is polled until it passes or its deadline is over; no sleep is fixed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::name::{AccountName, ComponentName, StepId, UnitName};
use crate::path::HostPath;

/// One check of a manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckSpec {
    /// `component/what`, unique among the checks.
    pub id: StepId,
    /// Whose health it tells.
    pub component: ComponentName,
    /// What a failure means for the transaction.
    pub severity: Severity,
    /// Polled until then, in seconds from the start of the check phase.
    pub deadline_s: u32,
    /// The probe.
    pub probe: Probe,
}

/// What a failed check means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The transaction is rolled back, unless the check was red before it began.
    Fail,
    /// It is reported and nothing else.
    Warn,
}

/// How health is asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub enum Probe {
    /// An HTTP or HTTPS request; redirects are not followed.
    Http {
        /// Absolute address.
        url: String,
        /// Header lines to send.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        headers: BTreeMap<String, String>,
        /// Accepted status codes.
        status: Vec<u16>,
        /// Response headers that must have exactly this value.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        expect_headers: BTreeMap<String, String>,
        /// Text that the body must contain.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        contains: Option<String>,
        /// What the JSON body must hold.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        json: Vec<JsonExpect>,
        /// Trust this certificate file instead of the system's roots.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ca_file: Option<HostPath>,
        /// Accept any certificate: for a probe of the local host under another name.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        insecure: bool,
    },
    /// A TCP connection is accepted.
    Tcp {
        /// `address:port`.
        address: String,
    },
    /// A unit is active, and its restart counter has stood still since `dwell_s` seconds.
    Unit {
        /// Which unit.
        unit: UnitName,
        /// How long it must have run without a restart, in seconds.
        dwell_s: u32,
    },
    /// A command ends with the exit code wanted.
    Command {
        /// Program and arguments; never a shell string.
        argv: Vec<String>,
        /// Run as this user instead of root.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user: Option<AccountName>,
        /// Wanted exit code.
        #[serde(default)]
        exit: i32,
        /// Text that standard output must contain.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        contains: Option<String>,
    },
    /// A TLS handshake succeeds and the certificate lasts for a while.
    Tls {
        /// `address:port`.
        address: String,
        /// Server name to ask for.
        name: String,
        /// Days that must be left.
        min_days: u32,
    },
    /// An instant query of a Prometheus server gives a single number that fits.
    Query {
        /// Base address with the route prefix: `http://127.0.0.1:9090/prometheus`.
        url: String,
        /// The expression; no result counts as 0.
        expr: String,
        /// How the number is compared.
        op: Op,
        /// With what.
        value: f64,
    },
}

/// Something that a JSON body must hold. With several expectations, all must hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JsonExpect {
    /// RFC 6901 pointer: `/data/activeAlertmanagers`.
    pub pointer: String,
    /// The value must equal this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub equals: Option<serde_json::Value>,
    /// An array or object must have at least this many entries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<u64>,
}

/// Comparison of a query's number with the value wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op {
    /// Equal.
    #[serde(rename = "==")]
    Eq,
    /// Greater or equal.
    #[serde(rename = ">=")]
    Ge,
    /// Less or equal.
    #[serde(rename = "<=")]
    Le,
}
