//! Which hosts of a fleet a person means.

use chom_format::exit::Explain;
use chom_format::{Exit, HostName, HostState};

use super::fleet::Fleet;
use crate::yaml::walk::nearest;

/// Why the choice of a host or key is none.
#[derive(Debug, thiserror::Error)]
pub enum ChoiceError {
    /// A name that the inventory does not have.
    #[error("the inventory has no host `{name}`")]
    Host {
        /// The name.
        name: String,
        /// What may have been meant, or all there are.
        hint: String,
    },
    /// A key that the host does not have.
    #[error("no host of the inventory has a key `{name}`")]
    Key {
        /// The key.
        name: String,
        /// What may have been meant.
        hint: String,
    },
    /// Several hosts and no word on which.
    #[error("the inventory has several hosts, and none was chosen")]
    Unchosen {
        /// How to choose.
        hint: String,
    },
}

impl Explain for ChoiceError {
    fn exit(&self) -> Exit {
        Exit::BadInput
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Host { hint, .. } | Self::Key { hint, .. } | Self::Unchosen { hint } => Some(hint.clone()),
        }
    }

    fn host(&self) -> HostState {
        HostState::NotConcerned
    }
}

/// The hosts with these names, sorted, each once; all of them when `all` is said or when there is but one.
pub fn hosts(fleet: &Fleet, wanted: &[String], all: bool) -> Result<Vec<HostName>, ChoiceError> {
    let names: Vec<&str> = fleet.hosts.keys().map(HostName::as_str).collect();
    if all || (wanted.is_empty() && names.len() == 1) {
        return Ok(fleet.hosts.keys().cloned().collect());
    }
    if wanted.is_empty() {
        let hint = format!("--host NAME, with one of {}, or --all", names.join(", "));
        return Err(ChoiceError::Unchosen { hint });
    }
    let known = |name: &String| {
        let found = fleet.hosts.get_key_value(name.as_str());
        found.map(|(known, _)| known.clone()).ok_or_else(|| unknown_host(name, &names))
    };
    let mut picked = wanted.iter().map(known).collect::<Result<Vec<_>, _>>()?;
    picked.sort();
    picked.dedup();
    Ok(picked)
}

/// The error of a name that is none of `names`.
pub fn unknown_host(name: &str, names: &[&str]) -> ChoiceError {
    ChoiceError::Host { name: name.to_owned(), hint: meant(name, names) }
}

/// The error of a key that is none of `keys`.
pub fn unknown_key(name: &str, keys: &[&str]) -> ChoiceError {
    ChoiceError::Key { name: name.to_owned(), hint: meant(name, keys) }
}

fn meant(name: &str, all: &[&str]) -> String {
    match nearest(name, all) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("there are: {}", all.join(", ")),
    }
}
