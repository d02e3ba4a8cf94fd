//! Why a backup was not made, is not good, or cannot be used.

use chom_format::exit::Explain;
use chom_format::{Exit, HostPath, HostState};

use super::age::IdentityError;
use super::verify::Damage;
use crate::sys::SysError;
use crate::transaction::Unreadable;

/// Why a backup was not made, is not good, or cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// No transaction of ours stands here.
    #[error("no transaction stands on this host, so nothing says what is to be backed up")]
    NothingStands,
    /// What stands says nothing of backups.
    #[error("what stands on this host names nothing that is to be backed up")]
    NothingNamed,
    /// What stands says what must not be.
    #[error("what is to be backed up cannot be: {}", .0.join("; "))]
    Spec(Vec<String>),
    /// Nothing was written.
    #[error("no backup was begun: {}", .0.join("; "))]
    Refused(Vec<String>),
    /// A part failed; nothing of the backup is left.
    #[error("the backup failed at `{part}`: {source}")]
    Part {
        /// Its name.
        part: String,
        /// Why.
        source: SysError,
    },
    /// What was written is not what was read; nothing of the backup is left.
    #[error("the backup was not good when it was read again: {0}")]
    NotGood(Damage),
    /// There is no such backup.
    #[error("there is no backup {id} in {dir}")]
    NoSuch {
        /// As asked for.
        id: u64,
        /// Where it was looked for.
        dir: HostPath,
    },
    /// There is none at all.
    #[error("there is no backup in {0}")]
    None(HostPath),
    /// It is damaged.
    #[error("backup {id} is not good: {}", list(.damages))]
    Damaged {
        /// Which.
        id: u64,
        /// All that was found.
        damages: Vec<Damage>,
    },
    /// It is encrypted, and no identity was given.
    #[error("backup {0} is encrypted")]
    Encrypted(u64),
    /// The identity file.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// `--only` names no part.
    #[error("backup {id} has no part `{name}`: it has {}", .parts.join(", "))]
    NoPart {
        /// Which backup.
        id: u64,
        /// As asked for.
        name: String,
        /// What there is.
        parts: Vec<String>,
    },
    /// It is of another host.
    #[error("backup {id} is of host `{of}`, and this is `{here}`")]
    OtherHost {
        /// Which backup.
        id: u64,
        /// Whose.
        of: String,
        /// This host.
        here: String,
    },
    /// It cannot be restored here, now.
    #[error("it cannot be restored: {}", .0.join("; "))]
    NotNow(Vec<String>),
    /// What says what is to be backed up.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// The door said no.
    #[error(transparent)]
    Sys(#[from] SysError),
}

fn list(damages: &[Damage]) -> String {
    damages.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl Explain for BackupError {
    fn exit(&self) -> Exit {
        match self {
            Self::Unreadable(error) => error.exit(),
            Self::Refused(_) | Self::OtherHost { .. } | Self::NotNow(_) => Exit::Refused,
            Self::Part { .. } | Self::NotGood(_) | Self::Sys(_) => Exit::Failed,
            _ => Exit::BadInput,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NothingStands => "install a bundle first".to_owned(),
            Self::NothingNamed => "components name it under `backup:`".to_owned(),
            Self::Spec(_) => {
                "mend `backup:` of the component or of the inventory, and install the bundle".to_owned()
            }
            Self::Refused(_) => {
                "make room, exclude what need not be kept, or raise the limit where the component sets it"
                    .to_owned()
            }
            Self::NoSuch { .. } | Self::None(_) => "chom-install backup list".to_owned(),
            Self::Damaged { .. } => "use another one: chom-install backup list".to_owned(),
            Self::Encrypted(_) => "--identity FILE, the file that age-keygen has written".to_owned(),
            Self::OtherHost { .. } => "--any-host, when that is what is meant".to_owned(),
            Self::Identity(_) => "name the file that age-keygen has written".to_owned(),
            Self::Unreadable(error) => return error.hint(),
            Self::NoPart { .. } => "chom-install backup list --verbose names the parts".to_owned(),
            Self::Part { .. } | Self::NotGood(_) | Self::NotNow(_) | Self::Sys(_) => return None,
        })
    }

    fn host(&self) -> HostState {
        HostState::Unchanged
    }
}
