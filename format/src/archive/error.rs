//! What is wrong with an archive, and in which member.

use std::io;

use super::gzip::GzipError;

/// Why an archive is refused, or could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The source of the bytes failed.
    #[error("cannot read the archive: {0}")]
    Read(#[source] io::Error),
    /// The destination of the bytes failed.
    #[error("cannot write {what}: {source}")]
    Write {
        /// Which member, or the archive.
        what: String,
        /// The system's reason.
        source: io::Error,
    },
    /// It does not begin as a bundle does.
    #[error("this is no bundle: it is neither gzip nor tar")]
    NotAnArchive,
    /// The gzip layer is damaged or not as written.
    #[error("the archive is damaged: {0}")]
    Gzip(#[from] GzipError),
    /// It ends too early.
    #[error("the archive is cut off in {member}")]
    Truncated {
        /// The member in which it ends.
        member: String,
    },
    /// A member that a bundle cannot hold.
    #[error("the archive's member `{member}` {reason}")]
    Member {
        /// Its path, or its number when the path cannot be told.
        member: String,
        /// What is wrong with it.
        reason: Refusal,
    },
    /// More than [`super::Limits`] allows.
    #[error("the archive holds more than {limit} {what}, more than any bundle")]
    Limit {
        /// Members or bytes.
        what: &'static str,
        /// How many are allowed.
        limit: u64,
    },
    /// Bytes follow the end mark.
    #[error("bytes follow the end of the archive")]
    Trailing,
}

/// What is wrong with one member.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The header's sum does not fit its bytes.
    #[error("has a damaged header")]
    Checksum,
    /// Neither file nor directory.
    #[error("is {0}: a bundle holds files and directories only")]
    Type(&'static str),
    /// Not a path that stays inside.
    #[error("has a path that is not allowed: {0}")]
    Path(String),
    /// Not below the first folder.
    #[error("is outside of the bundle's one folder `{0}`")]
    Outside(String),
    /// A number that is not octal digits.
    #[error("has a {0} that is no number")]
    Number(&'static str),
    /// Set-user-id, set-group-id or sticky.
    #[error("has set-id or sticky bits in its mode")]
    SetId,
    /// A directory with content.
    #[error("is a directory with a content")]
    DirectoryContent,
    /// The same path again.
    #[error("is there twice")]
    Duplicate,
    /// The same path but for upper and lower case.
    #[error("differs from another member in upper and lower case only")]
    CaseTwin,
    /// Something below a file, or below a directory that was not announced.
    #[error("comes without its directory before it")]
    NoParent,
    /// An extended header other than one long path.
    #[error("has an extended header other than a long path")]
    Pax,
    /// Non-zero bytes between content and next header.
    #[error("is followed by hidden bytes")]
    Padding,
    /// Any other difference from what the writer makes.
    #[error("has a header in another form than chom-bundle writes")]
    Form,
    /// Its path is too long for the format.
    #[error("has too long a path")]
    TooLong,
    /// A content with another length than announced.
    #[error("has a content of {found} bytes where {wanted} were announced")]
    Length {
        /// Announced.
        wanted: u64,
        /// Found.
        found: u64,
    },
}

impl ArchiveError {
    /// The typed error inside an I/O error that came out of [`super::Entry`]'s `Read`, or a read error.
    pub fn from_io(error: io::Error) -> Self {
        let error = match error.downcast::<Self>() {
            Ok(inner) => return inner,
            Err(other) => other,
        };
        match error.downcast::<GzipError>() {
            Ok(inner) => Self::Gzip(inner),
            Err(other) => Self::Read(other),
        }
    }

    /// Like [`Self::from_io`], with an early end told as such.
    pub(super) fn reading(error: io::Error, member: &str) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return Self::Truncated { member: format!("`{member}`") };
        }
        Self::from_io(error)
    }
}
