//! What a backup says of itself: `backup.json`, in clear, so that a person finds the right one without a key.

use std::io::Read as _;

use chom_format::backup::{BackupPart, BackupSource, Recipient};
use chom_format::{DatabaseName, Digest, HostName, HostPath, RelPath};
use serde::{Deserialize, Serialize};

use crate::sys::SysError;

/// The format that this build writes, and the newest that it reads.
pub const FORMAT: u32 = 1;

// A part for each database of a large host, with room to spare.
const LARGEST: u64 = 16 << 20;

/// `backup.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Label {
    /// [`FORMAT`] of the writer.
    pub format: u32,
    /// Its number, and its folder's name.
    pub id: u64,
    /// When it was begun, RFC 3339.
    pub at: String,
    /// Of which host.
    pub host: HostName,
    /// Of which bundle: the one that stood.
    pub bundle: String,
    /// The transaction that stood.
    pub stood: u64,
    /// The transaction before which it was made, when it was made for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction: Option<u64>,
    /// Who asked for it.
    pub by: String,
    /// What wrote it.
    pub tool: String,
    /// Who can read it; anybody who can read its files when there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recipients: Vec<Recipient>,
    /// What is in it.
    pub parts: Vec<Kept>,
}

/// One part with the file that holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// What it is.
    pub part: BackupPart,
    /// The file beside `backup.json`.
    pub file: RelPath,
    /// Of the bytes that are restored.
    pub clear: Sum,
    /// Of the file.
    pub stored: Sum,
    /// Sockets, pipes and devices, which nothing can keep.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<HostPath>,
    /// The databases in it, when there may be several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub databases: Vec<DatabaseName>,
}

/// Digest and length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sum {
    /// SHA-256.
    pub sha256: Digest,
    /// In bytes.
    pub size: u64,
}

impl Label {
    /// The bytes of the file.
    pub fn to_bytes(&self) -> Result<Vec<u8>, SysError> {
        let mut bytes = serde_json::to_vec_pretty(self)
            .map_err(|error| SysError::other("write", "backup.json", error.to_string()))?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Reads what was written, by this or an older build. The reason why not, in words.
    pub fn read(input: impl std::io::Read) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Head {
            format: u32,
        }
        let mut bytes = Vec::new();
        input.take(LARGEST).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        let wrong = |error: serde_json::Error| format!("backup.json cannot be read: {error}");
        let Head { format } = serde_json::from_slice(&bytes).map_err(wrong)?;
        if format != FORMAT {
            return Err(format!("it has format {format}, and this program reads {FORMAT}"));
        }
        let label: Self = serde_json::from_slice(&bytes).map_err(wrong)?;
        let plain = |kept: &Kept| kept.file.as_str() == file_of(&kept.part, !label.recipients.is_empty());
        match label.parts.iter().all(plain) {
            true => Ok(label),
            false => Err("backup.json names a file that is none of ours".to_owned()),
        }
    }

    /// Bytes on the disk.
    pub fn size(&self) -> u64 {
        self.parts.iter().map(|kept| kept.stored.size).sum()
    }

    /// `sha256sum -c` of the files.
    pub fn sums(&self) -> String {
        self.parts.iter().map(|kept| format!("{}  {}\n", kept.stored.sha256, kept.file)).collect()
    }
}

/// The name of a part's file: its form can be seen by it.
pub fn file_of(part: &BackupPart, sealed: bool) -> String {
    let form = match part.source {
        BackupSource::Paths(_) => "tar.gz",
        BackupSource::Postgresql(_) => "pgdump",
        BackupSource::Mariadb(_) => "sql.gz",
        BackupSource::Redis(_) => "rdb.gz",
    };
    let age = if sealed { ".age" } else { "" };
    format!("{}.{form}{age}", part.name)
}

/// Whether the file is squeezed by us; a dump of PostgreSQL squeezes itself.
pub fn is_squeezed(source: &BackupSource) -> bool {
    !matches!(source, BackupSource::Postgresql(_))
}
