//! The private half of an age key: given by file when a backup is read, never kept, never in a command line.

use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use chom_format::backup::{Recipient, key};
use curve25519_dalek::MontgomeryPoint;

const PREFIX: &str = "age-secret-key-";
const LARGEST: u64 = 1 << 20;
// The ladder alone: tables for the base point would be larger than all else here.
const BASE: MontgomeryPoint = MontgomeryPoint({
    let mut nine = [0; 32];
    nine[0] = 9;
    nine
});

/// A private X25519 key.
#[derive(Clone)]
pub struct Identity([u8; 32]);

/// Why a file gives no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// It cannot be read.
    #[error("read the identity file {}", .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There is none in it.
    #[error("{} holds no age identity: a line AGE-SECRET-KEY-1... is wanted", .path.display())]
    None {
        /// Which.
        path: PathBuf,
    },
}

impl Identity {
    /// All identities of a file as `age-keygen` writes it.
    #[allow(clippy::disallowed_methods, reason = "the operator has named it")]
    pub fn from_file(path: &Path) -> Result<Vec<Self>, IdentityError> {
        let wrong = |source| IdentityError::Read { path: path.to_path_buf(), source };
        let mut text = String::new();
        // The operator has named it, and may have given a link, or a pipe from a program that decrypts.
        std::fs::File::open(path).map_err(wrong)?.take(LARGEST).read_to_string(&mut text).map_err(wrong)?;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let found: Option<Vec<Self>> = lines.map(Self::parse).collect();
        found
            .filter(|found| !found.is_empty())
            .ok_or_else(|| IdentityError::None { path: path.to_path_buf() })
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        key::parse(PREFIX, text).map(Self)
    }

    /// Its public half.
    pub fn recipient(&self) -> Recipient {
        BASE.mul_clamped(self.0).to_bytes().into()
    }

    /// The secret shared with the holder of the other half; none for a point that gives everybody the same.
    pub(super) fn agree(&self, share: &[u8; 32]) -> Option<MontgomeryPoint> {
        let secret = MontgomeryPoint(*share).mul_clamped(self.0);
        (secret.to_bytes() != [0; 32]).then_some(secret)
    }
}

impl From<[u8; 32]> for Identity {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity of {}", self.recipient())
    }
}
