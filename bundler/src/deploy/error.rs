//! Why a bundle is not on its host, in this machine's words and in the host's.

use std::io;
use std::path::PathBuf;

use chom_format::exit::Explain;
use chom_format::{Exit, HostState};

use crate::remote::error::{CallError, remedy};

/// The acts that come before anything of the host changes.
const BEFORE: [&str; 2] = [super::target::RECEIVE_ACT, super::target::VERIFY_ACT];

/// Why a deployment ended otherwise than it should.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// A file of this machine.
    #[error("cannot read {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// ssh did not get there, or what it ran failed.
    #[error("cannot {act} on host `{host}` over ssh")]
    Ssh {
        /// What for.
        act: &'static str,
        /// The host.
        host: String,
        /// How ssh ended.
        #[source]
        source: CallError,
    },
    /// What it answered is none of ours.
    #[error("host `{host}` gave no answer that is understood when asked to {act}: {said}")]
    Answer {
        /// What for.
        act: &'static str,
        /// The host.
        host: String,
        /// As whom it was asked.
        user: String,
        /// The end of what it said.
        said: String,
    },
    /// The installer there said no, or has taken everything back.
    #[error("{host}: {message}")]
    Refused {
        /// The host.
        host: String,
        /// Its exit code.
        exit: Exit,
        /// In its words.
        message: String,
        /// What mends it, in its words.
        hint: Option<String>,
        /// The state that the host is in, in its words.
        state: String,
    },
    /// Another run was quicker.
    #[error("{host}: transaction {id} is the run of somebody else, who installs {bundle}")]
    Overtaken {
        /// The host.
        host: String,
        /// The number that was to be ours.
        id: u64,
        /// What it installs.
        bundle: String,
    },
    /// The host does not answer any more.
    #[error("host `{host}` does not answer: how transaction {id} ends is not known here")]
    Unknown {
        /// The host.
        host: String,
        /// The transaction.
        id: u64,
        /// What it said last.
        last: String,
        /// How ssh ended the last time.
        #[source]
        source: Box<DeployError>,
    },
}

/// The exit code with this number.
pub(super) fn exit_of(number: u64) -> Exit {
    let all = [
        Exit::Done,
        Exit::Failed,
        Exit::BadInput,
        Exit::Refused,
        Exit::Restored,
        Exit::NeedsPerson,
        Exit::Busy,
        Exit::AwaitingConfirm,
    ];
    all.into_iter().find(|exit| u64::from(exit.code()) == number).unwrap_or(Exit::Failed)
}

// What a line of /etc/sudoers.d mends.
fn sudo(user: &str, said: &str) -> String {
    let (what, line) = if said.contains("must have a tty") {
        ("do it without a terminal", format!("Defaults:{user} !requiretty"))
    } else {
        ("do it without a password", format!("{user} ALL=(ALL) NOPASSWD: ALL"))
    };
    format!("log in as root, or let `{user}` {what}: `{line}` in a file of /etc/sudoers.d")
}

impl Explain for DeployError {
    fn exit(&self) -> Exit {
        match self {
            Self::Refused { exit, .. } => *exit,
            Self::Read { .. } => Exit::BadInput,
            Self::Ssh { .. } | Self::Answer { .. } => Exit::Failed,
            Self::Overtaken { .. } => Exit::Busy,
            Self::Unknown { .. } => Exit::NeedsPerson,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Ssh { host, source, .. } => Some(remedy(host, source)),
            Self::Refused { hint, .. } => hint.clone(),
            Self::Unknown { id, .. } => Some(format!(
                "log in, and ask the host: chom-install status --transaction {id}; what is not confirmed it takes back"
            )),
            Self::Overtaken { .. } => {
                Some("wait for it, look at what it has brought, and deploy again".to_owned())
            }
            Self::Answer { user, said, .. } if said.contains("sudo:") => Some(sudo(user, said)),
            Self::Read { .. } | Self::Answer { .. } => None,
        }
    }

    fn host(&self) -> HostState {
        match self {
            Self::Refused { state, .. } => HostState::Told(state.clone()),
            Self::Overtaken { .. } => HostState::Told("in the hands of another run".to_owned()),
            Self::Unknown { last, .. } => HostState::Told(format!("not known; it said last: {last}")),
            Self::Ssh { act, .. } | Self::Answer { act, .. } if !BEFORE.contains(act) => {
                HostState::Told("not known: it did not answer".to_owned())
            }
            Self::Read { .. } | Self::Ssh { .. } | Self::Answer { .. } => HostState::Unchanged,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hint_is_for_what_sudo_said() {
        for (said, line) in [
            ("sudo: a password is required", "debian ALL=(ALL) NOPASSWD: ALL"),
            ("sudo: sorry, you must have a tty to run sudo", "Defaults:debian !requiretty"),
        ] {
            let (host, user, said) = ("mentat".to_owned(), "debian".to_owned(), said.to_owned());
            let hint = DeployError::Answer { act: "verify", host, user, said }.hint().unwrap();
            assert!(hint.contains(&format!("`{line}`")), "{hint}");
        }
    }
}
