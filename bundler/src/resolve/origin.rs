//! Where a value came from.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

/// The layers, lowest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// What this program assumes when nobody says anything.
    BuiltIn,
    /// The component's file.
    ComponentDefault,
    /// The inventory's `defaults`.
    Defaults,
    /// The inventory's entry of the host.
    Host,
    /// An environment variable.
    Environment,
    /// `--set`.
    CommandLine,
}

/// One place that stated one value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Origin {
    /// The layer.
    pub layer: Layer,
    /// The file, the variable or the option.
    pub source: String,
    /// Line in the file, from 1; 0 where there is no file.
    pub line: usize,
    /// Column in the file, from 1; 0 where there is no file.
    pub column: usize,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.layer {
            Layer::BuiltIn => f.write_str("built in"),
            Layer::ComponentDefault if self.line == 0 => write!(f, "{} (component)", self.source),
            Layer::ComponentDefault => {
                write!(f, "{}:{}:{} (component)", self.source, self.line, self.column)
            }
            Layer::Environment => write!(f, "environment {}", self.source),
            Layer::CommandLine => write!(f, "--set {}", self.source),
            Layer::Defaults => write!(f, "{}:{}:{} (defaults)", self.source, self.line, self.column),
            Layer::Host => write!(f, "{}:{}:{}", self.source, self.line, self.column),
        }
    }
}

/// The origin of every leaf of a [`super::Fleet`], by dotted key: `version`, `hosts.mentat.ssh.port`,
/// `hosts.mentat.components.prometheus.retention`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Origins(pub BTreeMap<String, Origin>);

impl Origins {
    /// Where the value with this key came from. A value inside a list or map that is one setting has the
    /// origin of the setting.
    pub fn of(&self, key: &str) -> Option<&Origin> {
        let mut key = key;
        loop {
            if let Some(origin) = self.0.get(key) {
                return Some(origin);
            }
            key = key.rsplit_once('.')?.0;
        }
    }
}
