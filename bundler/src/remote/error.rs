//! Why a host gave no answer.

use std::fmt;

use chom_format::exit::Explain;
use chom_format::{Exit, HostState};

use crate::child::ChildError;
use crate::facts::FactsError;
use crate::pack::installer::InstallerError;

/// Why a script did not come to its end on a host.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// ssh did not get there, or the script failed.
    #[error(transparent)]
    Child(#[from] ChildError),
    /// Something answers there that is no POSIX shell. It was sent nothing.
    #[error("no POSIX shell answers there, so nothing was sent{}", Said(.said))]
    NoShell {
        /// What the account's login shell said instead.
        said: String,
    },
}

struct Said<'a>(&'a str);

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = self.0.lines().map(str::trim).filter(|line| !line.is_empty());
        lines
            .next()
            .map_or(Ok(()), |first| write!(f, "; it said: {}", first.chars().take(200).collect::<String>()))
    }
}

/// Why a host gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// ssh did not get there, or what it ran failed.
    #[error("cannot measure host `{host}` over ssh")]
    Ssh {
        /// The host.
        host: String,
        /// How ssh ended.
        #[source]
        source: CallError,
    },
    /// A file of this machine.
    #[error("cannot prepare the connection to `{host}`")]
    Prepare {
        /// The host.
        host: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// There is nothing to measure with.
    #[error(transparent)]
    Installer(#[from] InstallerError),
    /// What it answered is none.
    #[error(transparent)]
    Answer(#[from] FactsError),
}

impl Explain for RemoteError {
    fn exit(&self) -> Exit {
        match self {
            Self::Installer(error) => error.exit(),
            Self::Ssh { .. } | Self::Prepare { .. } | Self::Answer(_) => Exit::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Ssh { host, source } => Some(remedy(host, source)),
            Self::Prepare { .. } => None,
            Self::Installer(error) => error.hint(),
            Self::Answer(error) => error.hint(),
        }
    }

    fn host(&self) -> HostState {
        HostState::Unchanged
    }
}

pub(crate) fn remedy(host: &str, error: &CallError) -> String {
    let error = match error {
        CallError::Child(error) => error,
        CallError::NoShell { .. } => {
            return format!(
                "`ssh.user` of `{host}` must be able to run /bin/sh: give it a shell with `chsh -s /bin/sh`, or take a key \
                 without a forced command (`command=` in authorized_keys)"
            );
        }
    };
    let said = error.stderr();
    let known = [
        (
            "Host key verification failed",
            "its key is not known: log in once by hand, or set `ssh.host_key` to the line of /etc/ssh/ssh_host_ed25519_key.pub",
        ),
        (
            "Permission denied",
            "check `ssh.user` and `ssh.key`, or load the key into your agent: no password is asked for",
        ),
        ("Connection refused", "check `address` and `ssh.port`, and that sshd runs"),
        ("Connection timed out", "check `address` and `ssh.port`, and any firewall on the way"),
        ("No route to host", "check `address`, and that the host is up"),
        ("Could not resolve hostname", "check `address`"),
        ("Exec format error", "check `arch`: the installer is for another processor"),
    ];
    let found = known.iter().find(|(mark, _)| said.contains(mark)).map(|(_, remedy)| *remedy);
    if error.is_missing() {
        return "install openssh-client, or carry the facts by hand: --from FILE".to_owned();
    }
    found.map_or_else(
        || format!("or without ssh: run `chom-install facts --json` on `{host}`, then --from FILE here"),
        str::to_owned,
    )
}
