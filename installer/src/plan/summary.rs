//! What becomes of each unit of the bundle, the ones that are left alone among them.

use chom_format::UnitName;
use serde::Serialize;

use crate::step::{Decision, Detail, Entry, Planned, Run, stated};

/// One unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnitFate {
    /// Which.
    pub unit: UnitName,
    /// What happens to its processes.
    pub fate: Fate,
    /// Why, line by line.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub why: Vec<String>,
}

/// What happens to the processes of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "the names say it")]
pub enum Fate {
    Started,
    Stopped,
    Restarted,
    Reloaded,
    LeftAlone,
    Refused,
}

impl Fate {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Started => "is started",
            Self::Stopped => "is stopped",
            Self::Restarted => "is restarted",
            Self::Reloaded => "is reloaded",
            Self::LeftAlone => "is left alone",
            Self::Refused => "cannot be dealt with",
        }
    }
}

/// The units of a plan. `planned` are the decisions for `entries`, one for one.
pub(super) fn fates(entries: &[Entry], planned: &[Planned]) -> Vec<UnitFate> {
    let fate = |(entry, planned): (&Entry, &Planned)| {
        let unit = stated(&entry.spec).unit?.clone();
        let (fate, why) = of(&planned.decision);
        Some(UnitFate { unit, fate, why })
    };
    entries.iter().zip(planned).filter_map(fate).collect()
}

fn of(decision: &Decision) -> (Fate, Vec<String>) {
    match decision {
        Decision::Keep { why } => (Fate::LeftAlone, vec![why.clone()]),
        Decision::Refuse { conflict, .. } => (Fate::Refused, vec![conflict.clone()]),
        Decision::Change(change) => {
            let run = match &change.detail {
                Detail::Unit(planned) => planned.run,
                Detail::None | Detail::Packages { .. } | Detail::Account { .. } | Detail::Firewall(_) => None,
            };
            let fate = match run {
                None => Fate::LeftAlone,
                Some(Run::Start) => Fate::Started,
                Some(Run::Stop) => Fate::Stopped,
                Some(Run::Reload) => Fate::Reloaded,
                Some(Run::Restart) => Fate::Restarted,
            };
            (fate, change.diff.clone())
        }
    }
}
